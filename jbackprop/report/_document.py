"""What a tool found, as plain records: the only thing that a printer knows."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Mark = Literal["", "good", "bad", "here"]
"""What a cell says: all is well, something is wrong, or here is where to look."""


class Cell(NamedTuple):
    """A cell that is more than a word.

    Attributes:
      text: what it says.
      note: a small line below it, on pages.
      more: what opens at a click, on pages.
      mark: its colour, on pages.
    """

    text: str
    note: str = ""
    more: str = ""
    mark: Mark = ""


class Span(NamedTuple):
    """A line among the rows, as wide as the table.

    Attributes:
      text: what it says.
      title: whether it is the title of the rows below, and not a remark on the row above.
    """

    text: str
    title: bool = False


class Table(NamedTuple):
    """Rows of cells.

    Attributes:
      caption: what the table shows, or "".
      head: the columns' heads.
      rows: cells, as many as there are heads, or one span.
      align: a letter for each column, "l" or "r"; if "", the first is at the left and the others at the right.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | Cell, ...] | Span, ...]
    align: str = ""

    @property
    def alignment(self) -> str:
        """A letter for each column."""
        return self.align or "l" + "r" * (len(self.head) - 1)


class Line(NamedTuple):
    """One curve; low and high bound the band around it, and may be the same as y."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Panel(NamedTuple):
    """Two or three curves on one pair of axes, of which the y axis is logarithmic.

    Attributes:
      title: over the axes.
      x: what the x axis shows.
      unit: of the y axis: "s", "B", or "" for a plain number.
      lines: the curves.
      even: whether the x axis is even, and not logarithmic too.
    """

    title: str
    x: str
    unit: str
    lines: tuple[Line, ...]
    even: bool = False


class Dot(NamedTuple):
    """A ratio with its quartiles."""

    label: str
    low: float
    middle: float
    high: float


class Dots(NamedTuple):
    """Ratios below one another, on a logarithmic axis with a line at 1."""

    title: str
    dots: tuple[Dot, ...]


class Figure(NamedTuple):
    """Plots under one title."""

    title: str
    plots: tuple[Panel | Dots, ...]


_SILENT = Cell("")


@dataclass(frozen=True)
class Document:
    """A report in full.

    Attributes:
      title: what it is about; "" for none in text.
      subtitle: the arguments, say.
      conclusion: the answer in one sentence, or an empty cell.
      figures: left out where a form cannot draw.
      tables: in order.
      remarks: what a reader should know besides.
      details: documents to open at a click; left out where nothing can be clicked.
    """

    title: str
    subtitle: str = ""
    conclusion: Cell = _SILENT
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    remarks: tuple[str, ...] = ()
    details: tuple["Document", ...] = ()


def one_line(cell: str | Cell) -> str:
    """What a cell says, without line breaks."""
    return " ".join((cell if isinstance(cell, str) else cell.text).split("\n"))
