"""The end of a run: a table, the agreement of the two copies and where the plots are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import comparison


def table(metrics: Sequence[Mapping[str, Any]], measured: Mapping[str, comparison.Measured]) -> str:
    """One row for each copy: its last costs and scores, the median time of its step and the memory of it.

    Args:
      metrics: the lines of metrics.jsonl.
      measured: for each copy, by its name; empty where the steps were not measured.
    """
    last = {line["backward"]: line for line in metrics}
    scores = [key for key in next(iter(last.values())) if key.startswith("held_out_")]
    scores.sort(key=lambda key: key != "held_out_cost")
    columns = [key.replace("held_out_", "held-out ") for key in ("cost", *scores)]
    rows: list[tuple[str, ...]] = [("backward", *columns, *(("step ms", "temporary kB") if measured else ()))]
    for name in measured or last:
        cells = [_score(last[name][key]) for key in ("cost", *scores)]
        rows.append((name, *cells, *(_cost(measured[name]) if measured else ())))
    return "\n".join(_aligned(rows))


def agreement(apart: comparison.Difference) -> str:
    """How far apart the parameters of the two copies have ended."""
    return f"largest difference of a parameter between the two: {apart.size:.1e} (in {apart.name})"


def paths(plots: Sequence[Path]) -> str:
    """One path a line."""
    return "\n".join(f"plot: {path}" for path in plots)


def _cost(measured):
    return f"{measured.seconds * 1e3:.3f}", f"{measured.temporary_bytes / 1e3:.1f}"


def _score(value):
    """A number that was not finite stands as None in the metrics."""
    return "not finite" if value is None else f"{value:.4f}"


def _aligned(rows):
    """The first column to the left, the numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([f"{first:<{widths[0]}}", *cells])
