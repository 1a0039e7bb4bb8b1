"""What a comparison found, as plain frozen records."""

import math
from collections import Counter
from dataclasses import dataclass

from jbackprop.functions import Quartiles, Residual, new_bytes


@dataclass(frozen=True)
class Error:
    """How far a result lies from a float64 evaluation.

    Attributes:
      of: "value", or "∂" and the argument's name.
      roundings: the largest error of an entry, in the dtype's rounding times the largest entry of the truth.
      relative: ‖error‖ / ‖truth‖.  Both are absolute where the truth is zero, and infinite where one side alone is not
        finite.
    """

    of: str
    roundings: float
    relative: float


@dataclass(frozen=True)
class Program:
    """One compiled program, as its compiler describes it; None is what the compiler does not tell.

    Attributes:
      compile_seconds: lowering and compilation, once.
      argument_bytes: the arrays that go in.
      output_bytes: the arrays that come out.
      temporary_bytes: scratch memory between.
      peak_bytes: the most memory alive at once.
      flops: floating-point operations; the body of a loop counts once.
      accessed_bytes: memory traffic after fusion; the body of a loop counts once.
    """

    compile_seconds: float
    argument_bytes: int | None
    output_bytes: int | None
    temporary_bytes: int | None
    peak_bytes: int | None
    flops: float | None
    accessed_bytes: float | None


@dataclass(frozen=True)
class Stage:
    """One program and its run time: seconds a call, dispatch included."""

    seconds: Quartiles
    program: Program


@dataclass(frozen=True)
class CompiledFor:
    """The whole gradient compiled for an accelerator that is not there: never run.

    Attributes:
      target: "h100" or "v5e".
      program: what the accelerator's compiler reports, or None.
      note: why there is no program, or "".
    """

    target: str
    program: Program | None
    note: str = ""


@dataclass(frozen=True)
class Side:
    """Everything about one of the two gradients.

    Attributes:
      label: "manual", "automatic" or "reference".
      errors: of the value and of each gradient.
      forward: the output and the residuals.
      backward: the gradients, from the residuals and the cotangent.
      whole: the output and the gradients, in one program.
      residuals: what forward keeps for backward.
      targets: the whole program, compiled for accelerators.
    """

    label: str
    errors: tuple[Error, ...]
    forward: Stage
    backward: Stage
    whole: Stage
    residuals: tuple[Residual, ...]
    targets: tuple[CompiledFor, ...] = ()

    @property
    def roundings(self) -> float:
        """The largest of the errors."""
        return max(error.roundings for error in self.errors)

    @property
    def residual_bytes(self) -> int:
        """The residuals that are neither an argument nor an output."""
        return new_bytes(self.residuals)


@dataclass(frozen=True)
class Ratios:
    """Automatic time / manual time, formed within each round: above 1 the manual gradient is faster."""

    forward: Quartiles
    backward: Quartiles
    whole: Quartiles


@dataclass(frozen=True)
class Measurement:
    """One function, measured on one set of arguments.

    Attributes:
      name: the function's.
      arguments: "name dtype[shape]" of each array; the differentiated ones are starred.
      transform: "" or the transformation's name.
      size: the point of a sweep, or None.
      device: what the figures were measured on.
      versions: of jax and Python.
      repeats: rounds of measurement.
      notes: what a reader of the figures should know.
      manual: the function as it is.
      automatic: its automatic twin, or the reference.
      ratios: of their times.
    """

    name: str
    arguments: tuple[str, ...]
    transform: str
    size: int | None
    device: str
    versions: str
    repeats: int
    notes: tuple[str, ...]
    manual: Side
    automatic: Side
    ratios: Ratios

    @property
    def title(self) -> str:
        """The name with the transformation and the size."""
        named = f"{self.transform} of {self.name}" if self.transform else self.name
        return named if self.size is None else f"{named}, n = {self.size}"

    @property
    def agrees(self) -> bool:
        """Whether no error of the manual side is beyond rounding.

        Beyond rounding is more than 32 roundings, and more than 32 times as much as on the automatic side: the two
        may round in another order, but a factor of 1.001 is 8000 roundings in float32.  `check` is the finer judge.
        Where the automatic side is not finite, the manual one may be so too, or is right by itself.
        """
        pairs = zip(self.manual.errors, self.automatic.errors, strict=True)
        return all(_no_worse(manual.roundings, other.roundings) for manual, other in pairs)

    def only_manual(self) -> tuple[Residual, ...]:
        """The residuals that the automatic gradient does not keep: of another kind, argument, shape or dtype."""
        return _difference(self.manual.residuals, self.automatic.residuals)

    def only_automatic(self) -> tuple[Residual, ...]:
        """The residuals that the manual gradient does not keep."""
        return _difference(self.automatic.residuals, self.manual.residuals)


def alike(residual: Residual) -> tuple:
    """What two residuals of the two sides share when they are the same thing; operations may have other names."""
    name = residual.name if residual.kind == "argument" else ""
    return residual.kind, name, residual.shape, residual.dtype


def _no_worse(manual, other):
    return manual == other or manual <= 32 * (max(1, other) if math.isfinite(other) else 1)


def _difference(these, others):
    spare = Counter(map(alike, others))
    left = []
    for residual in these:
        spare[alike(residual)] -= 1
        if spare[alike(residual)] < 0:
            left.append(residual)
    return tuple(left)
