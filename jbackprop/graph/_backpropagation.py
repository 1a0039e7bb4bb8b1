"""The result of backpropagation, which prints and saves itself."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jbackprop import report

from ._draw import LIMIT, png, svg
from ._graph import Sweep
from ._page import page
from ._table import table


@dataclass(frozen=True, eq=False)
class Backpropagation(Sweep):
    """A graph with its messages and gradients.  `print` it as a table, or `save` it."""

    def __str__(self) -> str:
        return report.text(self._document())

    def html(
        self, title: str = "", about: str = "", limit: int = LIMIT, links: Mapping[str, str] = MappingProxyType({})
    ) -> str:
        """A page with the drawing, and buttons that go forward and backward, one message at a time.

        A call of a function, a rule's too, is one node, and a button opens all calls if there are no more nodes than
        `limit`.

        Args:
          title: the heading.
          about: a sentence below it.
          limit: the largest number of nodes to draw.
          links: other pages, each one's name with its address, to show above the drawing.

        Raises:
          ValueError, ImportError: as `svg`.
        """
        return page(self, title, about, limit, links)

    def save(self, path: str | os.PathLike, title: str = "", limit: int = LIMIT) -> None:
        """Writes the form that the path's suffix names: .txt and .md hold the table, .html, .svg and .png the drawing.

        Raises:
          ValueError: another suffix, or a graph too large to draw; nothing is written.
          OSError: the file cannot be written.
          ImportError: as `svg` and `png`.
        """
        drawings = {
            ".html": lambda: self.html(title, limit=limit),
            ".svg": lambda: svg(self, limit=limit),
            ".png": lambda: png(self, limit=limit),
        }
        report.save(path, report.forms(self._document(title)) | drawings)

    def _document(self, title=""):
        return report.Document(title, tables=(table(self),))
