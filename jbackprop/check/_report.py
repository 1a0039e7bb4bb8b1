"""What a check found, as data and as text."""

import dataclasses

import numpy as np

from jbackprop._differentiable import described
from jbackprop._residuals import Residual


class NotApplicableError(Exception):
    """A check has nothing to work on here; the message says why."""


@dataclasses.dataclass(frozen=True)
class Failure:
    """One wrong entry, the worst of its array.

    Attributes:
      what: the array that is wrong, e.g. "gradient of x".
      dtype: in which it was computed.
      entry: the index of the worst entry, or None where the fault is no number's.
      got: the entry, or a word for it.
      wanted: what it should have been.
      units: the error in units of rounding.
      note: how the two were computed, when that needs saying.
    """

    what: str
    dtype: str
    entry: tuple[int, ...] | None
    got: float | str
    wanted: float | str
    units: float = np.inf
    note: str = ""

    def __str__(self) -> str:
        where = f"[{', '.join(map(str, self.entry))}]" if self.entry else ""
        size = f", off by {self.units:.3g} units of rounding" if np.isfinite(self.units) else ""
        note = f" ({self.note})" if self.note else ""
        return f"{self.what}{where}, {self.dtype}: got {_number(self.got)}, wanted {_number(self.wanted)}{size}{note}"


class GradientError(AssertionError):
    """A hand-written gradient is wrong; the message says which check found it, where, and by how much.

    Attributes:
      check: the name of the check.
      failure: what it found.
    """

    def __init__(self, function: str, check: str, failure: Failure):
        super().__init__(f"{function}: {check}: {failure}")
        self.check, self.failure = check, failure


@dataclasses.dataclass(frozen=True)
class Result:
    """How one check ended.

    Attributes:
      check: its name.
      failures: what it found wrong, at most one for each array that it looked at.
      skipped: why it could not be carried out, or "".
      seconds: how long it took.
    """

    check: str
    failures: tuple[Failure, ...]
    skipped: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether nothing wrong was found; a check that could not be carried out found nothing."""
        return not self.failures

    def __str__(self) -> str:
        state = f"skipped: {self.skipped}" if self.skipped else "passed" if self.passed else "FAILED"
        lines = [f"{self.check:<20} {state:<8} {self.seconds:6.2f} s"]
        return "\n".join(lines + [f"    {failure}" for failure in self.failures])


@dataclasses.dataclass(frozen=True)
class Report:
    """All that `check` found out about a function.

    Attributes:
      name: the function's.
      results: one for each check, in the order in which they ran.
      residuals: the arrays that its forward pass keeps for its backward pass.
    """

    name: str
    results: tuple[Result, ...]
    residuals: tuple[Residual, ...]

    @property
    def passed(self) -> bool:
        """Whether no check found anything wrong."""
        return all(result.passed for result in self.results)

    def __str__(self) -> str:
        arrays = ", ".join(f"{residual.label} {described(residual)}" for residual in self.residuals)
        kept = f"keeps {sum(residual.bytes for residual in self.residuals):,} bytes: {arrays or 'nothing'}"
        verdict = "every check passed" if self.passed else "WRONG"
        return "\n".join([f"{self.name}: {verdict}", *(str(result) for result in self.results), kept])


def _number(value):
    return value if isinstance(value, str) else f"{value:.9g}"
