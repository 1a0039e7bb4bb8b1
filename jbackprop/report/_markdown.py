"""A document for GitHub."""

from tabulate import tabulate

from ._document import Document, Span, one_line


def markdown(document: Document) -> str:
    """Its title, tables, conclusion and remarks."""
    title = f"### {_escaped(document.title)}" if document.title else ""
    remarks = [f"*{_escaped(remark)}*" for remark in document.remarks]
    conclusion = _escaped(document.conclusion.text)
    blocks = [title, _escaped(document.subtitle), *map(_table, document.tables), conclusion, *remarks]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _table(table):
    """The caption over the table; tabulate's "pipe" is GitHub's form with the sides of the columns in it."""
    sides = ["left" if letter == "l" else "right" for letter in table.alignment]
    head = [_escaped(cell) for cell in table.head]
    rows = [_row(row, len(table.head)) for row in table.rows]
    drawn = tabulate(rows, head, tablefmt="pipe", colalign=sides if rows else None, disable_numparse=True)
    return f"{_escaped(table.caption)}\n\n{drawn}" if table.caption else drawn


def _row(row, columns):
    """A span stands in the first column."""
    if isinstance(row, Span):
        return [f"**{_escaped(row.text)}**" if row.title else _escaped(row.text), *[""] * (columns - 1)]
    return [_escaped(cell) for cell in row]


def _escaped(cell):
    """Text that Markdown prints as it is."""
    words = one_line(cell)
    for mark in "\\|*_<`$~&":
        words = words.replace(mark, "\\" + mark)
    return words.replace("](", "]\\(")
