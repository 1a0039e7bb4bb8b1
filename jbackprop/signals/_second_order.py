"""Products of curvature matrices with a vector, and gradients whose second moment is the Fisher matrix.

With C = 1/m Σ_i C_i(f(p, x_i)), J_i = ∂f(p, x_i)/∂p and H_i the Hessian of C_i in f,

    Hessian          ∂²C/∂p² v          the backward pass, differentiated forward along v
    Gauss–Newton     1/m Σ_i J_iᵀ H_i J_i v          forward along v, times H, and the backward pass
    Fisher           E_y ∂C_i/∂pᵀ ∂C_i/∂p, y drawn from the network's own output        = Gauss–Newton for the losses
                                                                                         that are −log p(y | f)

N. N. Schraudolph, "Fast curvature matrix-vector products for second-order gradient descent", Neural Computation, 2002.
B. A. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation, 1994.
"""

from collections.abc import Callable
from typing import Any

import jax

from jbackprop.functions import automatic
from jbackprop.layers import Layer, Loss, Params, backprop

from ._passed import Factored, Signals, check_network


def hessian_vector_product(net: Layer, loss: Loss, params: Params, x: Any, y: Any, vector: Params) -> Params:
    """∂²C/∂p² v of the mean loss: the derivative of the backward pass along v, at about twice its price.

    Args:
      net: the network.
      loss: (output, target) -> one value for each example.
      params: where.
      x: inputs.
      y: targets.
      vector: v, a tree like params.

    Raises:
      TypeError: net is not a `Layer`, or the loss is not a function.
    """
    gradient = backprop(net, loss)
    plain = automatic(lambda params: gradient(params, x, y)[1])  # a half may call a rule, its own too: that refuses jvp
    return jax.jvp(plain, (params,), (vector,))[1]


def ggn_vector_product(net: Layer, loss: Loss, params: Params, x: Any, y: Any, vector: Params) -> Params:
    """1/m Σ_i J_iᵀ H_i J_i v: the curvature of the loss alone, never negative where it is convex; as the Hessian's.

    Raises:
      TypeError: net is not a `Layer`, or the loss is not a function.
    """
    check_network("ggn_vector_product", net, loss)
    plain = automatic(lambda params: net.forward(params, x)[0])
    output, moved = jax.jvp(plain, (params,), (vector,))
    mean = automatic(lambda output: loss(output, y).mean())
    signal = jax.jvp(jax.grad(mean), (output,), (moved,))[1]
    _, cache = net.forward(params, x)
    return net.backpropagate(params, cache, signal)[2]


def fisher_gradient(
    net: Layer, loss: Loss, sample: Callable[[jax.Array, Any], Any]
) -> Callable[[Params, Any, jax.Array], Signals]:
    """The factored gradient for targets that are drawn from the network's own output.

    Args:
      net: the network.
      loss: −log p(target | output), one value for each example.
      sample: (key, output) -> targets of p, such as `jax.random.categorical` for `softmax_cross_entropy`, or
        `lambda key, output: output + jax.random.normal(key, output.shape)` for `squared_error`.

    Returns:
      A function (params, x, key) -> `Signals`; the mean of g gᵀ over keys and examples is the Fisher matrix.

    Raises:
      TypeError: net is not a `Layer`, or the loss is not a function.
      ValueError: a layer mixes its examples.
    """
    check_network("fisher_gradient", net, loss)

    def gradient(params, x, key):
        def sampled(output, _):
            return loss(output, jax.lax.stop_gradient(sample(key, output)))

        return Factored(net, sampled, "fisher_gradient")(params, x, None)

    return gradient
