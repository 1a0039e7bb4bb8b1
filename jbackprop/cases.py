"""The one table of cases that drives all generic tests, the comparison and the benchmarks.

A case holds shapes, not arrays: `draw` makes the arguments for a key and a dtype.  Its sizes are pairwise distinct, so
that a transpose cannot hide, and every rule with batch axes occurs with none, one and two of them.  `reference` is an
implementation that shares no code with ours: of `jax.nn`, of optax, or written out.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from . import rules

Draw = Callable[[jax.Array, DTypeLike], jax.Array]


@dataclasses.dataclass(frozen=True)
class Case:
    """A rule with the arguments to try it on.

    Attributes:
      name: what a report calls it.
      rule: the rule, its options bound by `functools.partial`.
      reference: the same function, implemented independently.
      arguments: one function (key, dtype) -> array for each argument.
      kept: the arrays that the forward pass keeps for the backward pass, as "dtype[shape]" in float32.
    """

    name: str
    rule: Callable[..., jax.Array]
    reference: Callable[..., jax.Array]
    arguments: tuple[Draw, ...]
    kept: tuple[str, ...]

    def draw(self, key: jax.Array, dtype: DTypeLike = jnp.float32) -> tuple[jax.Array, ...]:
        """Random arguments; floating point ones in the dtype."""
        keys = jax.random.split(key, len(self.arguments))
        return tuple(draw(key, dtype) for draw, key in zip(self.arguments, keys, strict=True))


def _normal(*shape: int) -> Draw:
    return lambda key, dtype: jax.random.normal(key, shape).astype(dtype)


def _probabilities(*shape: int) -> Draw:
    return lambda key, dtype: jax.nn.softmax(jax.random.normal(key, shape)).astype(dtype)


def _classes(classes: int, *shape: int) -> Draw:
    return lambda key, dtype: jax.random.randint(key, shape, 0, classes)


def _linear_reference(x, w, b=0):
    """x: (…, n_in), w: (n_in, n_out).  k is an input feature, j an output feature."""
    return jnp.einsum("...k,kj->...j", x, w) + b


_LINEAR = (
    Case(
        "linear",
        rules.linear,
        _linear_reference,
        (_normal(5, 3), _normal(3, 7), _normal(7)),
        ("float32[5,3]", "float32[3,7]", "float32[7]"),
    ),
    Case(
        "linear, no batch axis",
        rules.linear,
        _linear_reference,
        (_normal(3), _normal(3, 7), _normal(7)),
        ("float32[3]", "float32[3,7]", "float32[7]"),
    ),
    Case(
        "linear, two batch axes",
        rules.linear,
        _linear_reference,
        (_normal(2, 5, 3), _normal(3, 7), _normal(7)),
        ("float32[2,5,3]", "float32[3,7]", "float32[7]"),
    ),
    Case(
        "linear, no bias",
        rules.linear,
        _linear_reference,
        (_normal(5, 3), _normal(3, 7)),
        ("float32[5,3]", "float32[3,7]"),
    ),
)


def _elementwise(name, rule, reference, kept="float32"):
    return Case(name, rule, reference, (_normal(2, 5, 7),), (f"{kept}[2,5,7]",))


_ACTIVATIONS = (
    _elementwise("relu", rules.relu, jax.nn.relu),
    _elementwise("leaky_relu", rules.leaky_relu, jax.nn.leaky_relu, "bool"),
    _elementwise(
        "leaky_relu, slope 0.3",
        partial(rules.leaky_relu, negative_slope=0.3),
        partial(jax.nn.leaky_relu, negative_slope=0.3),
        "bool",
    ),
    _elementwise("elu", rules.elu, jax.nn.elu),
    _elementwise("elu, alpha 0.7", partial(rules.elu, alpha=0.7), partial(jax.nn.elu, alpha=0.7)),
    _elementwise("selu", rules.selu, jax.nn.selu),
    _elementwise("sigmoid", rules.sigmoid, jax.nn.sigmoid),
    _elementwise("tanh", rules.tanh, jnp.tanh),
    _elementwise("softplus", rules.softplus, jax.nn.softplus),
    _elementwise("silu", rules.silu, jax.nn.silu),
    _elementwise("gelu", rules.gelu, jax.nn.gelu),
    _elementwise("gelu, exact", partial(rules.gelu, approximate=False), partial(jax.nn.gelu, approximate=False)),
)


def _logsumexp_case(name, **options):
    rule, reference = partial(rules.logsumexp, **options), partial(jax.nn.logsumexp, **options)
    largest = jnp.max(jnp.empty((2, 5, 7)), axis=options.get("axis"), keepdims=True)
    shape = ",".join(map(str, largest.shape))
    return Case(
        name, rule, reference, (_normal(2, 5, 7),), ("float32[2,5,7]", f"float32[{shape}]", f"float32[{shape}]")
    )


_SOFTMAX = (
    _elementwise("softmax", rules.softmax, jax.nn.softmax),
    _elementwise("softmax, axis 1", partial(rules.softmax, axis=1), partial(jax.nn.softmax, axis=1)),
    _elementwise("log_softmax", rules.log_softmax, jax.nn.log_softmax),
    _elementwise(
        "log_softmax, axes 0 and 2", partial(rules.log_softmax, axis=(0, 2)), partial(jax.nn.log_softmax, axis=(0, 2))
    ),
    _logsumexp_case("logsumexp"),
    _logsumexp_case("logsumexp, axis 1", axis=1),
    _logsumexp_case("logsumexp, last axis kept", axis=-1, keepdims=True),
)


def _summed(loss):
    """optax leaves the features apart; a cost of an example is their sum."""
    return lambda prediction, target: loss(prediction, target).sum(axis=-1)


def _softmax_cross_entropy_reference(logits, targets):
    return -(targets * jnp.log(jax.nn.softmax(logits))).sum(axis=-1)


_PAIRED = ("float32[5,7]", "float32[5,7]")

_LOSSES = (
    Case(
        "squared_error",
        rules.squared_error,
        _summed(optax.l2_loss),
        (_normal(5, 7), _normal(5, 7)),
        _PAIRED,
    ),
    Case(
        "squared_error, no batch axis",
        rules.squared_error,
        _summed(optax.l2_loss),
        (_normal(7), _normal(7)),
        ("float32[7]", "float32[7]"),
    ),
    Case(
        "sigmoid_cross_entropy",
        rules.sigmoid_cross_entropy,
        _summed(optax.sigmoid_binary_cross_entropy),
        (_normal(5, 7), _probabilities(5, 7)),
        _PAIRED,
    ),
    Case(
        "sigmoid_cross_entropy, two batch axes",
        rules.sigmoid_cross_entropy,
        _summed(optax.sigmoid_binary_cross_entropy),
        (_normal(2, 5, 7), _classes(2, 2, 5, 7)),
        ("float32[2,5,7]", "int32[2,5,7]"),
    ),
    Case(
        "softmax_cross_entropy",
        rules.softmax_cross_entropy,
        optax.softmax_cross_entropy_with_integer_labels,
        (_normal(5, 7), _classes(7, 5)),
        ("float32[5,7]", "float32[5,1]", "float32[5,1]", "int32[5]"),
    ),
    Case(
        "softmax_cross_entropy, no batch axis",
        rules.softmax_cross_entropy,
        optax.softmax_cross_entropy_with_integer_labels,
        (_normal(7), _classes(7)),
        ("float32[7]", "float32[1]", "float32[1]", "int32[]"),
    ),
    Case(
        "softmax_cross_entropy, two batch axes",
        rules.softmax_cross_entropy,
        optax.softmax_cross_entropy_with_integer_labels,
        (_normal(2, 5, 7), _classes(7, 2, 5)),
        ("float32[2,5,7]", "float32[2,5,1]", "float32[2,5,1]", "int32[2,5]"),
    ),
    Case(
        "softmax_cross_entropy, soft targets",
        rules.softmax_cross_entropy,
        _softmax_cross_entropy_reference,
        (_normal(5, 7), _probabilities(5, 7)),
        (*_PAIRED, "float32[5,1]", "float32[5,1]"),
    ),
    Case(
        "softmax_cross_entropy, any weights",
        rules.softmax_cross_entropy,
        _softmax_cross_entropy_reference,
        (_normal(5, 7), _normal(5, 7)),
        (*_PAIRED, "float32[5,1]", "float32[5,1]"),
    ),
)

CASES = (*_LINEAR, *_ACTIVATIONS, *_SOFTMAX, *_LOSSES)
"""Every rule of the library, with its options."""
