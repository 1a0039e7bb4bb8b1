"""Worked examples, small enough to follow by hand.  Intermediate results are named in passing."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name as named

from . import _blocks
from ._backpropagate import backpropagate
from ._backpropagation import Backpropagation
from ._trace import trace


@dataclass(frozen=True)
class Example:
    """A function with the arguments at which it is worked out, and what to look at."""

    title: str
    about: str
    function: Callable[..., jax.Array]
    arguments: tuple[Any, ...]

    def backpropagate(self) -> Backpropagation:
        """The graph of the function at its arguments, with its messages."""
        return backpropagate(trace(self.function, *self.arguments))


def shared_factors(w, x, b, y):
    """C = ½(σ(wx + b) − y)²."""
    z = named(w * x + b, "z")
    a = named(jax.nn.sigmoid(z), "a")
    return named(0.5 * (a - y) ** 2, "C")


def linear_regression(w, x, b, y):
    """J = (wx + b − y)²."""
    u = named(w * x, "u")
    prediction = named(u + b, "ŷ")
    e = named(prediction - y, "e")
    return named(e**2, "J")


def fan_out(a, b, c):
    """f = (a + b)(b + c)."""
    x = named(a + b, "x")
    y = named(b + c, "y")
    return named(x * y, "f")


def sigmoid_unit(w, x, b):
    """y = σ(wᵀx + b)."""
    u = named(jnp.dot(w, x), "wᵀx")
    z = named(u + b, "z")
    return named(jax.nn.sigmoid(z), "y")


def three_layer_chain(x, w1, b1, w2, b2, w3, b3, y):
    """C = ½(a₃ − y)², aₗ = σ(wₗaₗ₋₁ + bₗ), a₀ = x."""
    a = x
    for layer, (w, b) in enumerate([(w1, b1), (w2, b2), (w3, b3)], start=1):
        z = named(w * a + b, f"z{layer}")
        a = named(jax.nn.sigmoid(z), f"a{layer}")
    return named(0.5 * (a - y) ** 2, "C")


def two_layer_net(x, w1, b1, w2, b2, y):
    """J = 1/(2m) Σ (A2 − y)², A2 = A1 w2 + b2, A1 = relu(x w1 + b1), one sample in each row."""
    hidden = named(x @ w1 + b1, "Z1")
    active = named(jax.nn.relu(hidden), "A1")
    output = named(active @ w2 + b2, "A2")
    return named(jnp.sum((output - y) ** 2) / (2 * len(x)), "J")


_array = partial(np.array, dtype=np.float32)

EXAMPLES = {
    "shared-factors": Example(
        "½(σ(wx + b) − y)²",
        "∂C/∂a and ∂C/∂z are needed for w and for b, and computed once: both parameters read them from the node z.",
        shared_factors,
        (2.0, 1.0, -2.0, 1.0),
    ),
    "linear-regression": Example(
        "Linear regression",
        "With w = 5 and x = 1 the prediction is 6, the residual 4 and the loss J = 16; "
        "the gradients of e, ŷ, u, b and w are all 8.",
        linear_regression,
        (5.0, 1.0, 1.0, 2.0),
    ),
    "fan-out": Example(
        "A node with two successors",
        "b is used by x and by y, so it receives two messages, 7 and 2, and its gradient is their sum, 9.",
        fan_out,
        (-1.0, 3.0, 4.0),
    ),
    "sigmoid-unit": Example(
        "The sigmoid unit",
        "At z = 0 the output is ½ and the local gradient y(1 − y) is ¼; w receives x times that.",
        sigmoid_unit,
        (_array([2.0, -1.0, 0.5]), _array([1.0, 3.0, 4.0]), -1.0),
    ),
    "three-layer-chain": Example(
        "A chain of three layers",
        "Each gradient on the way back is the previous one times one local gradient; "
        "every product is used by all the layers before it.",
        three_layer_chain,
        (1.0, 2.0, -2.0, 4.0, -2.0, -2.0, 1.0, 1.0),
    ),
    "two-layer-net": Example(
        "A two-layer network and three samples",
        "Three samples with two features, four hidden units with relu, and five linear outputs, "
        "worked in matrices: ∂J/∂w is the layer's input, transposed, times δ.",
        two_layer_net,
        (
            _array([[1.0, 2.0], [-1.0, 1.0], [2.0, -1.0]]),
            _array([[1.0, -1.0, 2.0, 1.0], [1.0, 2.0, -1.0, 1.0]]),
            _array([0.0, 1.0, 2.0, -2.0]),
            _array(
                [
                    [1.0, 0.0, -1.0, 2.0, 1.0],
                    [0.0, 1.0, 1.0, -1.0, 0.0],
                    [2.0, -1.0, 0.0, 1.0, 1.0],
                    [-1.0, 1.0, 1.0, 0.0, 2.0],
                ]
            ),
            _array([1.0, 0.0, -1.0, 0.0, 2.0]),
            _array(
                [
                    [5.0, 3.0, 1.0, 4.0, 7.0],
                    [8.0, 2.0, 3.0, -1.0, 7.0],
                    [17.0, -6.0, -4.0, 11.0, 9.0],
                ]
            ),
        ),
    ),
    "softmax-cross-entropy": Example(
        "Softmax and cross-entropy",
        "∂C/∂p is −y/p; what arrives at z, over e and over the sum S, is p − y: watch the two messages of e.",
        _blocks.softmax_cross_entropy,
        (_array([[2.0, 1.0, -1.0], [0.0, -0.5, 1.5]]), _array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])),
    ),
    "softmax-regression": Example(
        "Softmax regression, a rule a node",
        "Each rule is one node, and sends back what its derivation says: p − y over the number of examples arrives at "
        "z. Open the calls to see what is inside.",
        _blocks.softmax_regression,
        (
            _array([[1.0, 2.0], [-1.0, 0.5], [0.0, -2.0], [3.0, 1.0]]),
            _array([[0.5, -1.0, 0.0], [1.0, 0.25, -0.5]]),
            _array([0.0, 0.5, -0.5]),
            _array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]),
        ),
    ),
    "convolution": Example(
        "A convolution",
        "Each entry of w is used at every place of y, so its gradient is a sum over places: x correlated with ∂C/∂y.",
        _blocks.convolution,
        (
            _array([[[[1.0, 3.0, -2.0, 0.0], [2.0, -1.0, 1.0, 4.0], [0.0, 2.0, 1.0, -3.0]]]]),
            _array([[[[2.0, -1.0], [0.5, 1.0]]]]),
            _array([[[[-1.0, 5.0, -4.0], [6.0, 2.0, 1.0]]]]),
        ),
    ),
    "max-pooling": Example(
        "Max pooling",
        "The gradient of each y goes, whole, to the entry of its window that was the largest; the others get nothing.",
        _blocks.max_pooling,
        (
            _array([[[[1.0, 5.0, 2.0, 0.0], [4.0, 3.0, 7.0, 6.0], [-1.0, 0.0, 8.0, 2.0], [-3.0, -2.0, 1.0, 4.0]]]]),
            _array([[[[4.0, 9.0], [1.0, 5.0]]]]),
        ),
    ),
    "layer-norm": Example(
        "Layer normalisation",
        "d = x − μ is used by the variance and by x̂, and x by μ besides: three ways lead back to x, and their messages "
        "add up to a row whose sum is 0.",
        _blocks.layer_norm,
        (
            _array([[1.0, 3.0, -2.0, 6.0], [0.0, 4.0, 4.0, 8.0]]),
            _array([1.0, 2.0, -1.0, 0.5]),
            _array([0.0, 1.0, 0.0, -1.0]),
            _array([[1.0, 0.0, 2.0, 1.0], [-1.0, 2.0, 0.0, 1.5]]),
        ),
    ),
    "rnn": Example(
        "A recurrence through time",
        "The weights W, U and b are used at every step and receive a message from each; from step to step the signal "
        "goes through U and the slope of tanh.",
        _blocks.rnn,
        (
            *(_array([[x]]) for x in (1.0, -1.0, 0.5)),
            _array([[0.5, -1.0]]),
            _array([[0.25, 0.5], [-0.5, 0.75]]),
            _array([0.0, 0.25]),
            _array([[0.5, 0.0]]),
        ),
    ),
    "lstm": Example(
        "An LSTM through time",
        "Two ways lead from step 2 to step 1: through the state c, where the message is multiplied with the gate f "
        "alone, and through h and its weights.",
        _blocks.lstm,
        (1.0, -0.5, dict(zip("ifgo", (0.5, 2.0, 1.5, 1.0), strict=True)), dict.fromkeys("ifgo", 0.5), 1.0),
    ),
    "attention": Example(
        "Attention",
        "O = P V sends P the product with Vᵀ and V that with Pᵀ; then a softmax, row by row; then Q gets from every "
        "key, and K from every query.",
        _blocks.attention,
        (
            _array([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]]),
            _array([[2.0, 1.0], [0.0, 1.0], [1.0, -1.0], [-2.0, 0.0]]),
            _array([[1.0, 2.0], [3.0, -1.0], [0.0, 4.0], [-2.0, 1.0]]),
            _array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]]),
        ),
    ),
    "dropout": Example(
        "Dropout",
        "The mask is a constant factor: what was dropped on the way forward is dropped on the way back.",
        _blocks.dropout,
        (_array([[1.0, 2.0, -1.0, 3.0], [4.0, -2.0, 0.5, 1.0]]), _array([[1.0, 1.0, 0.0, 8.0], [2.0, -1.0, 3.0, 0.0]])),
    ),
    "residual": Example(
        "Round a block",
        "x is used twice, so it receives two messages: one comes round the block as it is, one through it.",
        _blocks.residual,
        (
            _array([[1.0, -2.0], [0.5, 3.0]]),
            _array([[0.5, -1.0], [0.25, 0.75]]),
            _array([[1.0, 0.0], [2.0, 1.0]]),
        ),
    ),
    "tied-table": Example(
        "A tied table",
        "E is looked up at one end and multiplied with at the other; its gradient is the sum of what both send.",
        _blocks.tied_table,
        (
            _array([[1.0, 0.5], [-1.0, 2.0], [0.25, -0.5], [1.5, 1.0]]),
            _array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]),
        ),
    ),
}
