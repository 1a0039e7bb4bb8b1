"""The rows of the study as tables: per fault, in total, and what was missed."""

from collections.abc import Callable, Mapping, Sequence

from .study import NO_FAULT, Row


def markdown(rows: Sequence[Row], right: Mapping[str, Sequence[str]]) -> str:
    """The whole report, of the mutants and of the calls of right functions."""
    return "\n\n".join([_detection(rows), _alarms(rows), _checks(rows), _exceptions(rows), _right(right)]) + "\n"


def summary(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Per fault and in total: how many mutants there are, how many are equivalent, and the rate of each tool."""
    mutants = [row for row in rows if row.fault != NO_FAULT]
    faults = dict.fromkeys(row.fault for row in mutants)
    groups = {fault: [row for row in mutants if row.fault == fault] for fault in faults}
    return {name: _rates(group) for name, group in {**groups, "all": mutants}.items() if group}


def _rates(rows):
    wrong = [row for row in rows if not row.equivalent]
    tools = {tool: _share(wrong, lambda row, tool=tool: bool(row.found[tool])) for tool in rows[0].found}
    return {"mutants": len(wrong), "equivalent": len(rows) - len(wrong), **tools}


def _share(rows: Sequence[Row], holds: Callable[[Row], bool]) -> float:
    return sum(map(holds, rows)) / len(rows) if rows else float("nan")


def _detection(rows):
    lines = [[fault, *map(_cell, rates.values())] for fault, rates in summary(rows).items()]
    head = ["fault", "mutants", "equivalent", *rows[0].found]
    return "## Mutants found\n\n" + _table(head, lines)


def _cell(value):
    if isinstance(value, int):
        return str(value)
    return "" if value != value else f"{100 * value:.1f} %"


def _alarms(rows):
    """Right rules, and mutants that are right after all, that a tool holds something against."""
    right = [row for row in rows if row.equivalent]
    lines = [
        [tool, str(len(right)), str(sum(bool(row.found[tool]) for row in right)), _median(rows, tool)]
        for tool in rows[0].found
    ]
    return "## Right rules refused\n\n" + _table(["tool", "right rules", "refused", "seconds, median"], lines)


def _median(rows, tool):
    """Of the right rules, where a tool does all its work."""
    seconds = sorted(row.seconds[tool] for row in rows if row.fault == NO_FAULT)
    return f"{seconds[len(seconds) // 2]:.2f}" if seconds else ""


def _checks(rows):
    """Which check found what."""
    lines = []
    for fault in dict.fromkeys(row.fault for row in rows if row.fault != NO_FAULT):
        checks = [row.found["jb.check"] for row in rows if row.fault == fault and row.found["jb.check"]]
        counts = sorted({check: checks.count(check) for check in checks}.items(), key=lambda item: -item[1])
        lines.append([fault, ", ".join(f"{check} {count}" for check, count in counts)])
    return "## The check that found it\n\n" + _table(["fault", "check and count"], lines)


def _exceptions(rows):
    lines = [
        [row.case, row.fault, str(row.target), row.found["jb.check"] or "missed"]
        for row in rows
        if bool(row.found["jb.check"]) == row.equivalent
    ]
    return "## Where jb.check was wrong\n\n" + (_table(["rule", "fault", "argument", "verdict"], lines) or "Nowhere.")


def _right(found):
    """Somebody else's functions, which are right."""
    alarms = [[name, failure] for name, failures in found.items() for failure in failures]
    count = f"{len(found)} calls, {len({name for name, _ in alarms})} false alarms."
    return f"## Right functions of others\n\n{count}\n\n" + _table(["function", "what was held against it"], alarms)


def _table(head, lines):
    if not lines:
        return ""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
