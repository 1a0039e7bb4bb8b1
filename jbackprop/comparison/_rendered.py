"""The five forms of a comparison, or of several."""

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from . import _html, _json, _markdown, _png, _text

if TYPE_CHECKING:
    from ._data import Comparison


class Rendered(ABC):
    """What holds comparisons, and prints them."""

    @abstractmethod
    def parts(self) -> tuple["Comparison", ...]:
        """The comparisons, in order."""

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, baseline: "Rendered | None" = None) -> str:
        """A plain table of at most 120 columns; with a baseline, what changed since."""
        return _text.render(self.parts(), _parts(baseline))

    def to_markdown(self, baseline: "Rendered | None" = None) -> str:
        """GitHub's tables; with a baseline, what changed since."""
        return _markdown.render(self.parts(), _parts(baseline))

    def to_html(self, baseline: "Rendered | None" = None) -> str:
        """A page with plots that loads nothing from elsewhere; with a baseline, what changed since."""
        return _html.render(self.parts(), _parts(baseline))

    def to_png(self, path: str | os.PathLike) -> None:
        """Writes the plots; ImportError without the extra `plots`."""
        _png.write(self.parts(), path)

    def to_json(self) -> str:
        """All the data; `from_json` of the same class reads it."""
        return _json.dumps(self)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The data again; ValueError where the text is something else."""
        return _json.loads(cls, text)


def _parts(baseline):
    return None if baseline is None else baseline.parts()
