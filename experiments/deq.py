"""An equilibrium network: as deep as it takes, with the memory of one layer."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp

import jbackprop as jb
from jbackprop import layers, rules

from . import classifier, comparison, data, settings
from .errors import InputError

SUMMARY = "An equilibrium network on 5,000 images of MNIST, beside the same layer 10, 20 and 40 times: three minutes."

ITERATIONS = 10, 20, 40


@dataclasses.dataclass(frozen=True)
class Settings(settings.ByAdam, classifier.Settings):
    """The settings of deq."""

    backward: Literal["manual"] = "manual"
    """Of an equilibrium there is no automatic gradient but that of the loop written out."""
    epochs: int = 12
    """Passes over the training examples."""
    learning_rate: float = 1e-3
    """η in W ← W − η ∂C/∂W; the largest where a schedule changes it."""
    weight_decay: float = 1e-3
    """λ: sgd adds λ p to the gradient of each parameter p; adam, decoupled, η λ p to the step."""
    width: int = 128
    """Of the equilibrium."""
    tolerance: float = 1e-4
    """The share of its largest entry by which an iteration may still change z when it has converged."""


@dataclasses.dataclass(frozen=True, repr=False)
class Unrolled(layers.Layer):
    """z ← f(x, z) a number of times from zeros: the equilibrium's twin, which keeps what every time needs.

    Attributes:
      inner: f.
      times: how often.
    """

    inner: layers.Layer
    times: int

    def init(self, key: jax.Array, shape: Any) -> tuple[Any, Any]:
        """Those of f."""
        return self.inner.init(key, (shape, shape))[0], shape

    def forward(self, params: Any, x: jax.Array, key: jax.Array | None = None) -> tuple[jax.Array, Any]:
        """From zeros."""
        return jax.lax.scan(lambda z, _: self.inner.forward(params, (x, z)), jnp.zeros_like(x), length=self.times)

    def backward(self, params: Any, cache: Any, dy: jax.Array) -> tuple[jax.Array, Any]:
        """From the last time to the first; x gets what every time sends back."""

        def step(carry, kept):
            dx, dz = carry
            (more, dz), delta = self.inner.backward(params, kept, dz)
            return (dx + more, dz), delta

        (dx, _), delta = jax.lax.scan(step, (jnp.zeros_like(dy), dy), cache, reverse=True)
        return dx, delta

    def factors(self, params: Any, cache: Any, delta: Any) -> Any:
        """Those of all times, which f's own name with one more axis in front."""
        several = jax.vmap(self.inner.factors, in_axes=(None, 0, 0))(params, cache, delta)
        return jax.tree.map(self._apart, several, is_leaf=layers.is_factored)

    def _apart(self, factor):
        return layers.Uses(tuple(jax.tree.map(lambda leaf, i=i: leaf[i], factor) for i in range(self.times)))


def run(settings: Settings) -> None:
    """Trains the equilibrium and its twins, and tells what each reaches and needs."""
    if settings.width < 1 or not settings.tolerance > 0:
        raise InputError(f"--width, --tolerance, wanted positive numbers, got {settings.width}, {settings.tolerance}")
    images = data.mnist_5k()
    nets = {"equilibrium": _network(settings, layers.equilibrium(_cell(settings.width), tolerance=settings.tolerance))}
    nets |= {f"{times} times": _network(settings, Unrolled(_cell(settings.width), times)) for times in ITERATIONS}
    for name, net in nets.items():
        print(f"\n{name}: {temporary_bytes(net, images.x[:50], images.y[:50]) / 1e3:,.0f} kB for a batch's gradients")
        classifier.train("deq", settings, net, images)


def _network(settings, middle):
    return layers.chain(layers.linear(settings.width), middle, layers.linear(10))


def _cell(width):
    """tanh(x U + z W + b), W small, so that z comes to rest."""
    small = layers.orthogonal(0.5)
    both = layers.parallel(
        layers.linear(width), layers.linear(width, bias=False, weights=small), join="sum", split=True
    )
    return layers.chain(both, layers.tanh())


def temporary_bytes(net: layers.Layer, x: jax.Array, y: jax.Array) -> int:
    """What a batch's gradients need beside their arguments and results."""
    params, _ = net.init(jax.random.key(0), x.shape[1:])
    gradients = jax.jit(lambda *args: jb.backprop(net, rules.softmax_cross_entropy)(*args)[1])
    return comparison.temporary_bytes(gradients.lower(params, x, y).compile())
