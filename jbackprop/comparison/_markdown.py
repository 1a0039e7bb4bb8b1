"""A comparison for GitHub."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._baseline import changes
from ._tables import Table, notes, origin, tables

if TYPE_CHECKING:
    from ._data import Comparison


def render(comparisons: Sequence["Comparison"], baseline: Sequence["Comparison"] | None = None) -> str:
    """One comparison in full, or several in one row each; then what changed, and what to know about it all."""
    changed = [] if baseline is None else [changes(baseline, comparisons)]
    title = [_title(comparisons[0])] if len(comparisons) == 1 else []
    remarks = [*origin(comparisons), *notes(comparisons)]
    return (
        "\n\n".join(
            [*title, *map(set_table, [*tables(comparisons), *changed]), *(f"*{escape(remark)}*" for remark in remarks)]
        )
        + "\n"
    )


def set_table(table: Table) -> str:
    """The caption over the table; numbers to the right."""
    rule = ("---", *("---:" for _ in table.head[1:]))
    lines = ["| " + " | ".join(row) + " |" for row in (tuple(map(escape, table.head)), rule, *_escaped(table.rows))]
    return "\n".join([escape(table.caption), "", *lines])


def escape(text: str) -> str:
    """Text that Markdown prints as it is."""
    for character in "\\|*_<`":
        text = text.replace(character, "\\" + character)
    return text


def _title(c):
    return f"### {escape(c.title)}\n\n`{', '.join(c.arguments)}`"


def _escaped(rows):
    return [tuple(map(escape, row)) for row in rows]
