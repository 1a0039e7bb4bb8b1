"""Measurements as tables of words."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple

from jbackprop import report as say
from jbackprop.functions import described
from jbackprop.report import Table

from ._data import Measurement

_STAGES = ("forward", "backward", "whole")
_NEVER_RUN = "compiled for it, by its own compiler; nothing was run there"


def origin(measurements: Sequence[Measurement]) -> list[str]:
    """Where and how the figures were measured, once for each device and version."""
    found = (
        f"measured on {c.device}; {c.versions}; {c.repeats} interleaved rounds, median (quartiles)"
        for c in measurements
    )
    return list(dict.fromkeys(found))


def notes(measurements: Sequence[Measurement]) -> list[str]:
    """What a reader should know, each once; accelerators whose compiler is not there among it."""
    found = [note for c in measurements for note in c.notes]
    compiled = [target for c in measurements for side in (c.manual, c.automatic) for target in side.targets]
    remarks = [f"{target.target}: {target.note or _NEVER_RUN}" for target in compiled]
    return list(dict.fromkeys([*found, *remarks]))


def summary(measurements: Sequence[Measurement]) -> Table:
    """One row for each comparison."""
    head = ("function", "error", "forward ×", "backward ×", "whole ×", "time", "temporary", "new residuals")
    caption = (
        "× is automatic time / manual time: above 1, the manual gradient is faster.  The rest is manual | automatic: "
        "largest error in roundings, time and temporary memory of the whole gradient, residuals that are new memory."
    )
    return Table(caption, head, tuple(map(_summary_row, measurements)))


def _summary_row(c):
    sides = (c.manual, c.automatic)
    return (
        c.title,
        _both(say.number(side.roundings, 3) for side in sides),
        say.ratio(c.ratios.forward.middle),
        say.ratio(c.ratios.backward.middle),
        _ratios(c.ratios.whole),
        _both(say.seconds(side.whole.seconds.middle) for side in sides),
        _both(say.size(side.whole.program.temporary_bytes) for side in sides),
        _both(say.size(side.residual_bytes) for side in sides),
    )


def targets(measurements: Sequence[Measurement]) -> Iterator[Table]:
    """The accelerators' memory, if they were asked for: one row for each comparison, two columns for each target."""
    names = [target.target for target in measurements[0].manual.targets]
    if not names:
        return
    head = ("function", *(f"{name} {memory}" for name in names for memory in ("temporary", "peak")))
    rows = tuple((c.title, *(cell for i in range(len(names)) for cell in _target_cells(c, i))) for c in measurements)
    yield Table("Memory of the whole gradient, compiled for accelerators (manual | automatic)", head, rows)


def _target_cells(c, i):
    programs = [side.targets[i].program for side in (c.manual, c.automatic)]
    yield _both(say.size(program and program.temporary_bytes) for program in programs)
    yield _both(say.size(program and program.peak_bytes) for program in programs)


def _both(words):
    return " | ".join(words)


def details(c: Measurement) -> list[Table]:
    """Everything about one comparison: errors, programs, residuals."""
    return [_errors(c), _programs(c), _residuals(c)]


def _errors(c):
    head = ("error in roundings (relative)", c.manual.label, c.automatic.label)
    pairs = zip(c.manual.errors, c.automatic.errors, strict=True)
    rows = tuple((manual.of, _error(manual), _error(other)) for manual, other in pairs)
    return Table("Error against a float64 evaluation", head, rows)


def _error(error):
    return f"{say.number(error.roundings, 3)} ({say.number(error.relative, 1)})"


def _programs(c):
    head = ("program", "side", "time", "ratio", "compile", "args", "out", "temp", "peak", "FLOPs", "traffic")
    rows = [row for stage in _STAGES for row in _stage_rows(c, stage)]
    rows += [_target_row(side, target) for side in (c.manual, c.automatic) for target in side.targets if target.program]
    return Table(f"Time, memory and work (ratio: {c.automatic.label} / manual)", head, tuple(rows), "ll" + "r" * 9)


def _stage_rows(c, name):
    for side, ratio in ((c.manual, ""), (c.automatic, _ratios(getattr(c.ratios, name)))):
        stage = getattr(side, name)
        yield name, side.label, _seconds(stage.seconds), ratio, *_program_cells(stage.program)


def _seconds(quartiles):
    return say.seconds_spread(*astuple(quartiles))


def _ratios(quartiles):
    return say.ratio_spread(*astuple(quartiles))


def _target_row(side, target):
    return "whole", side.label, f"compiled for {target.target}", "", *_program_cells(target.program)


def _program_cells(program):
    sizes = (program.argument_bytes, program.output_bytes, program.temporary_bytes, program.peak_bytes)
    work = say.count(program.flops), say.size(program.accessed_bytes)
    return say.seconds(program.compile_seconds), *map(say.size, sizes), *work


def _residuals(c):
    head = ("residual", "shape", c.manual.label, c.automatic.label)
    rows = [_residual_row(*pair) for pair in _matched(c)]
    totals = [
        ("new memory", "", *(say.size(side.residual_bytes) for side in (c.manual, c.automatic))),
        ("all", "", *(say.size(sum(r.bytes for r in side.residuals)) for side in (c.manual, c.automatic))),
    ]
    return Table("Residuals, kept from forward to backward", head, tuple(rows + totals))


def _matched(c):
    """Pairs of equal residuals, and those of one side alone with None for the other."""
    only_manual, only_automatic = c.only_manual(), c.only_automatic()
    left = Counter(only_manual)
    for residual in c.manual.residuals:
        left[residual] -= 1
        yield residual, None if left[residual] >= 0 else residual
    for residual in only_automatic:
        yield None, residual


def _residual_row(manual, automatic):
    residual = manual or automatic
    return residual.label, described(residual), *(say.size(r.bytes) if r else say.UNKNOWN for r in (manual, automatic))
