"""Other rules for what travels backward: the δ recursion through other matrices than Wᵀ.

    backprop                    δˡ = (δˡ⁺¹ Wˡ⁺¹ᵀ) ⊙ σ'(zˡ)
    feedback alignment          δˡ = (δˡ⁺¹ Bˡ⁺¹ᵀ) ⊙ σ'(zˡ)                  B drawn once, as large as W
    direct feedback alignment   δˡ = (δᴸ Bˡ⁺¹ᵀ) ⊙ σ'(zˡ)                    B drawn once, a column for each output
    sign-symmetric              δˡ = (δˡ⁺¹ s sign(Wˡ⁺¹)ᵀ) ⊙ σ'(zˡ)          s = mean |Wˡ⁺¹|
    weight mirror               δˡ = (δˡ⁺¹ Bˡ⁺¹ᵀ) ⊙ σ'(zˡ)                  B ← (1 − η) B + η/m ξᵀ (ξ W), ξ noise
    update                      aˡ⁻¹ᵀ δˡ and Σ δˡ, as ever

A cache never holds a parameter, so `backward` may be given others than `forward` was: that is all that the rules do.

T. P. Lillicrap, D. Cownden, D. B. Tweed, C. J. Akerman, "Random synaptic feedback weights support error backpropagation
for deep learning", Nature Communications 7, 2016.  A. Nøkland, "Direct feedback alignment provides learning in deep
neural networks", NeurIPS, 2016.  Q. Liao, J. Z. Leibo, T. Poggio, "How important is weight symmetry in
backpropagation?", AAAI, 2016.  M. Akrout, C. Wilson, P. C. Humphreys, T. Lillicrap, D. B. Tweed, "Deep learning without
weight transport", NeurIPS, 2019, for the mirror: since the mean of ξᵀ ξ is the identity, that of its product is W.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jbackprop import layers, rules
from jbackprop.layers import Params


@dataclasses.dataclass(frozen=True, repr=False)
class Fed(layers.Layer):
    """A chain of linear layers and activations that is taught by another rule.

    Attributes:
      net: the chain.
      seed: draws the matrices that its error signals come back through.
    """

    net: layers.Chain
    seed: int

    def init(self, key: jax.Array, shape: Any) -> tuple[Params, Any]:
        """Those of the chain."""
        return self.net.init(key, shape)

    def forward(self, params: Params, x: Any, key: jax.Array | None = None) -> tuple[Any, Any]:
        """The chain's."""
        return self.net.forward(params, x, key)

    def factors(self, params: Params, cache: Any, delta: Any) -> Any:
        """The chain's, of the δ that the rule gives."""
        return self.net.factors(params, cache, delta)

    def own(self, params: Params) -> Params:
        """Those of the chain, of a tree like what `init` gives."""
        return params

    def _drawn(self, params):
        arrays, structure = jax.tree.flatten(params)
        keys = jax.random.split(jax.random.key(self.seed), len(arrays))
        return structure.unflatten([_normal(key, *array.shape) for key, array in zip(keys, arrays, strict=True)])


class Backprop(Fed):
    """The weights themselves."""

    def backward(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any]:
        """The chain's."""
        return self.net.backward(params, cache, dy)


class FeedbackAlignment(Fed):
    """Fixed random matrices in place of the weights."""

    def backward(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any]:
        """The chain's, with other parameters."""
        return self.net.backward(self._drawn(params), cache, dy)


class SignSymmetric(Fed):
    """Of each weight its sign alone, as large as the weights of its layer are in the mean."""

    def backward(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any]:
        """The chain's, with other parameters."""
        signs = jax.tree.map(lambda array: jnp.abs(array).mean() * jnp.sign(array), params)
        return self.net.backward(signs, cache, dy)


class DirectFeedbackAlignment(Fed):
    """The error at the output, sent to every layer through a fixed random matrix of its own."""

    def backward(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any]:
        """From the last layer to the first: below a linear one its matrix times the error at the output."""
        keys = jax.random.split(jax.random.key(self.seed), len(self.net.parts))
        error, deltas = dy, []
        for part, own, kept, key in reversed(list(zip(self.net.parts, params, cache, keys, strict=True))):
            dy, delta = part.backward(own, kept, dy)
            dy = error @ _normal(key, dy.shape[-1], error.shape[-1]).T if own else dy
            deltas.append(delta)
        return dy, tuple(reversed(deltas))


@rules.factored
class Mirrored(rules.Factored):
    """B − ξᵀ z / m, against which B turns towards W.

    Attributes:
      noise: ξ, what came into the layer, (m, n_in).
      delta: z = ξ W, what left it, (m, n_out).
      mirror: B.
    """

    noise: jax.Array
    delta: jax.Array
    mirror: jax.Array

    def total(self) -> jax.Array:
        """The gradient in whose direction B shrinks, and grows by what goes in and out together."""
        return self.mirror - rules.weight_gradient(self.noise, self.delta) / len(self.noise)


class WeightMirror(Fed):
    """Matrices that learn beside the weights, of noise that goes through each layer: they never see a weight.

    They are parameters: a tree of two, the chain's and, for each of its linear layers, B.
    """

    def init(self, key: jax.Array, shape: Any) -> tuple[Params, Any]:
        """Those of the chain, and matrices to begin with that know nothing of them."""
        params, shape = self.net.init(key, shape)
        return (params, self._drawn([own and own["w"] for own in params])), shape

    def forward(self, params: Params, x: Any, key: jax.Array | None = None) -> tuple[Any, Any]:
        """The chain's; beside it noise goes through each layer, as many rows of it as there are examples."""
        own, _ = params
        y, cache = self.net.forward(own, x, key)
        keys = jax.random.split(jax.random.key(self.seed) if key is None else key, len(own))
        return y, (cache, [part and _through(key, len(x), part["w"]) for key, part in zip(keys, own, strict=True)])

    def backward(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any]:
        """The chain's, with other parameters."""
        mirrored = [own and {**own, "w": mirror} for own, mirror in zip(*params, strict=True)]
        return self.net.backward(tuple(mirrored), cache[0], dy)

    def factors(self, params: Params, cache: Any, delta: Any) -> Any:
        """The chain's, and for each B what turns it."""
        own, mirrors = params
        kept, noise = cache
        turned = [sent and Mirrored(sent[0], sent[1], mirror) for sent, mirror in zip(noise, mirrors, strict=True)]
        return self.net.factors(own, kept, delta), turned

    def own(self, params: Params) -> Params:
        """The first of the two."""
        return params[0]


def _through(key, examples, w):
    """So many rows of noise, and what a linear layer without its biases makes of them."""
    noise = jax.random.normal(key, (examples, len(w)))
    return noise, noise @ w


def _normal(key, *shape):
    """A matrix that keeps the size of what it is multiplied by, as that of `layers.he_normal` going forward does."""
    return math.sqrt(2 / shape[0]) * jax.random.normal(key, shape)


RULES: dict[str, Callable[[layers.Chain, int], Fed]] = {
    "backprop": Backprop,
    "feedback alignment": FeedbackAlignment,
    "direct feedback alignment": DirectFeedbackAlignment,
    "sign-symmetric": SignSymmetric,
    "weight mirror": WeightMirror,
}
"""For each rule, the network that it teaches, of a chain and a seed."""
