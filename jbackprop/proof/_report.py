"""What a check found, as data and in print."""

import dataclasses
import itertools
import os

import numpy as np

from jbackprop import report
from jbackprop.functions import Residual, described


class NotApplicableError(Exception):
    """A check has nothing to work on here; the message says why."""


@dataclasses.dataclass(frozen=True)
class Failure:
    """One wrong entry, the worst of its array.

    Attributes:
      what: the array that is wrong, e.g. "gradient of x".
      dtype: in which it was computed; "" where that is not known.
      entry: the index of the worst entry, or None where the fault is no number's.
      got: the entry, or a word for it.
      wanted: what it should have been.
      units: the error in units of rounding.
      note: how the two were computed, when that needs saying.
      hint: a guess at what is wrong, or what a reader should know besides; "" where there is none.
    """

    what: str
    dtype: str
    entry: tuple[int, ...] | None
    got: float | str
    wanted: float | str
    units: float = np.inf
    note: str = ""
    hint: str = ""

    @property
    def relative(self) -> float:
        """|got − wanted| / |wanted|; infinite where that is no number."""
        if isinstance(self.got, str) or isinstance(self.wanted, str) or not np.isfinite([self.got, self.wanted]).all():
            return np.inf
        return abs(self.got - self.wanted) / abs(self.wanted) if self.wanted else np.inf

    def __str__(self) -> str:
        where = f"[{', '.join(map(str, self.entry))}]" if self.entry else ""
        dtype = f", {self.dtype}" if self.dtype else ""
        got, wanted = _apart(self.got, self.wanted)
        errors = [f"{report.number(self.units, 3)} units of rounding"] if self._has_size() else []
        errors += [report.share(self.relative)] if np.isfinite(self.relative) else []
        size = f", off by {', '.join(errors)}" if errors else ""
        note = f" ({self.note})" if self.note else ""
        return f"{self.what}{where}{dtype}: got {got}, wanted {wanted}{size}{note}"

    def _has_size(self):
        """Whether its units say more than got and wanted do, of which one may be no number, or the scale zero."""
        return self.units < 1e16 and all(isinstance(x, str) or np.isfinite(x) for x in (self.got, self.wanted))


class GradientError(AssertionError):
    """A hand-written gradient is wrong; the message says which check found it, where, and by how much.

    Attributes:
      check: the name of the check.
      failure: what it found.
    """

    def __init__(self, function: str, check: str, failure: Failure):
        super().__init__("\n    ".join(filter(None, [f"{function}: {check}: {failure}", failure.hint])))
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
    def worst(self) -> Failure | None:
        """What is wrong by most units of rounding, and of equals that with the largest relative error."""
        return max(self.failures, key=lambda failure: (failure.units, failure.relative), default=None)

    @property
    def passed(self) -> bool:
        """Whether nothing wrong was found; a check that could not be carried out found nothing."""
        return not self.failures


@dataclasses.dataclass(frozen=True)
class Report:
    """All that `check` found out about a function.

    Attributes:
      name: the function's.
      results: one for each check, in the order in which they ran.
      residuals: the arrays that its forward pass keeps for its backward pass.
      notes: what a reader should know besides.
    """

    name: str
    results: tuple[Result, ...]
    residuals: tuple[Residual, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no check found anything wrong."""
        return all(result.passed for result in self.results)

    @property
    def seconds(self) -> float:
        """How long all checks took."""
        return sum(result.seconds for result in self.results)

    def __str__(self) -> str:
        return report.text(self._document())

    def html(self) -> str:
        """A page with a row for each check, and below it what it found wrong."""
        return report.html(self._document())

    def save(self, path: str | os.PathLike) -> None:
        """Writes the form that the path's suffix names: .txt, .md or .html.

        Raises:
          ValueError: another suffix; nothing is written.
          OSError: the file cannot be written.
        """
        report.save(path, report.forms(self._document()))

    def _document(self) -> report.Document:
        arrays = ", ".join(f"{residual.label} {described(residual)}" for residual in self.residuals)
        kept = f"keeps {sum(residual.bytes for residual in self.residuals):,} bytes: {arrays or 'nothing'}"
        table = report.Table("", ("check", "verdict", "time"), tuple(itertools.chain(*map(_rows, self.results))), "llr")
        remarks = (kept, *(f"note: {note}" for note in self.notes))
        return report.Document(self.name, "", self._conclusion(), (), (table,), remarks)

    def _conclusion(self):
        if self.passed:
            return report.Cell(f"every check passed in {report.seconds(self.seconds)}", mark="good")
        return report.Cell(f"WRONG: {', '.join(r.check for r in self.results if not r.passed)}", mark="bad")


def _rows(result):
    """The check's row; below it why it was skipped, or the worst that it found, and how much else."""
    state = _STATES["skipped" if result.skipped else "passed" if result.passed else "FAILED"]
    yield result.check, state, report.seconds(result.seconds)
    yield from map(report.Span, filter(None, [result.skipped]))
    if result.worst is not None:
        more = f"and {len(result.failures) - 1} more" if len(result.failures) > 1 else ""
        yield from map(report.Span, filter(None, [str(result.worst), result.worst.hint, more]))


_STATES = {
    "passed": report.Cell("passed", mark="good"),
    "skipped": report.Cell("skipped"),
    "FAILED": report.Cell("FAILED", mark="bad"),
}


def _apart(got, wanted):
    """Both as text, with as many digits as it takes to tell them apart."""
    texts = [[x if isinstance(x, str) else report.number(x, digits) for x in (got, wanted)] for digits in (9, 17)]
    return texts[0] if texts[0][0] != texts[0][1] else texts[1]
