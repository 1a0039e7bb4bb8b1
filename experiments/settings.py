"""What every training can be told."""

import dataclasses
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import optax

import jbackprop as jb
from jbackprop import layers, training

from .errors import InputError

BACKWARD = {"manual": jb.backprop, "automatic": jb.autodiff}

Backward = Literal["manual", "automatic", "both"]
Precision = Literal["float32", "bfloat16", "float16"]

_LOSS_SCALE = {"bfloat16": 1.0, "float16": training.DynamicScale()}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What every training can be told."""

    backward: Backward = "both"
    """Whose gradients to train with; both trains two copies from one seed and compares them."""
    epochs: int = 20
    """Passes over the training examples."""
    batch_size: int | None = 50
    """Examples a step: 1 is stochastic descent, None full-batch descent."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """What makes a step of a gradient."""
    learning_rate: float = 0.2
    """η in W ← W − η ∂C/∂W; the largest where a schedule changes it."""
    schedule: Literal["constant", "cosine"] = "constant"
    """How η changes: cosine ends at a hundredth."""
    warmup: int = 0
    """Steps over which η grows from 0."""
    momentum: float = 0.0
    """The share of the last step that goes into the next; 0.0 is plain gradient descent.  Of sgd."""
    weight_decay: float = 0.0
    """λ: sgd adds λ p to the gradient of each parameter p; adam, decoupled, η λ p to the step."""
    clip_norm: float | None = None
    """The largest norm that a whole gradient may have; a longer one is scaled down."""
    precision: Precision = "float32"
    """The arithmetic of both passes, float16 with a dynamic loss scale; parameters and optimizer stay in float32."""
    parts: int = 1
    """In how many parts, one after the other, the gradients of a batch are taken; for less memory."""
    devices: int = 1
    """Over how many devices each batch is spread."""
    sharded: bool = False
    """Spread parameters and optimizer state over the devices too."""
    seed: int = 0
    """Draws the initial parameters and the order of the examples."""
    keep: int = 2
    """How many checkpoints stay, beside the best; 0 writes none."""
    resume: Path | None = None
    """The folder of a run to go on with, by the settings that it has; --epochs may be more."""
    out: Path = Path("runs")
    """The folder in which the run makes its own."""

    @property
    def backwards(self) -> tuple[str, ...]:
        """The names in `BACKWARD` that are to be trained."""
        return tuple(BACKWARD) if self.backward == "both" else (self.backward,)

    def ways(self, net: layers.Layer, loss: layers.Loss) -> dict[str, layers.Backpropagate]:
        """What computes the gradients of each copy."""
        return {name: self._way(BACKWARD[name](net, loss)) for name in self.backwards}

    def _way(self, way):
        if self.precision != "float32":
            way = training.mixed_precision(way, jnp.dtype(self.precision), _LOSS_SCALE[self.precision])
        return training.in_parts(way, self.parts) if self.parts > 1 else way

    def make_optimizer(self, steps: int) -> optax.GradientTransformation:
        """The optimizer for a training of so many steps."""
        rate = self._rate(steps)
        clip = optax.identity() if self.clip_norm is None else optax.clip_by_global_norm(self.clip_norm)
        if self.optimizer == "adam":
            return optax.chain(clip, optax.adamw(rate, b2=0.99, weight_decay=self.weight_decay))
        return optax.chain(clip, optax.add_decayed_weights(self.weight_decay), optax.sgd(rate, self.momentum))

    def _rate(self, steps):
        rate, after = self.learning_rate, max(steps - self.warmup, 1)
        falling = optax.cosine_decay_schedule(rate, after, alpha=0.01) if self.schedule == "cosine" else None
        if not self.warmup:
            return falling or rate
        rising = optax.linear_schedule(0, rate, self.warmup)
        return optax.join_schedules([rising, falling or optax.constant_schedule(rate)], [self.warmup])

    def check(self, examples: int) -> None:
        """Raises InputError for what is out of its range, for so many training examples."""
        for name in ("learning_rate", "momentum", "weight_decay", "warmup", "keep"):
            if not getattr(self, name) >= 0:
                raise InputError(f"--{name.replace('_', '-')}, wanted at least 0, got {getattr(self, name)}")
        for name in ("epochs", "parts", "devices"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name}, wanted at least 1, got {getattr(self, name)}")
        if self.batch_size is not None and not 1 <= self.batch_size <= examples:
            raise InputError(f"--batch-size, wanted 1 to {examples} (the examples) or None, got {self.batch_size}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise InputError(f"--clip-norm, wanted a positive number or None, got {self.clip_norm}")
        if self.devices > jax.device_count():
            raise InputError(f"--devices, wanted at most {jax.device_count()} (there are), got {self.devices}")
        for name, number in {"parts": self.parts, "devices": self.devices}.items():
            if (self.batch_size or examples) % number:
                wanted = f"a number that divides a batch of {self.batch_size or examples}"
                raise InputError(f"--{name}, wanted {wanted}, got {number}")


@dataclasses.dataclass(frozen=True)
class ByAdam(Settings):
    """The same with Adam, and a rate that falls: first among the bases of a class that has others besides."""

    optimizer: Literal["sgd", "adam"] = "adam"
    """What makes a step of a gradient."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """How η changes: cosine ends at a hundredth."""
