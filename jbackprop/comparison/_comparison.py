"""Measurements that print and save themselves."""

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

from jbackprop import report

from . import _json
from ._data import Measurement
from ._document import document


class _Printed(ABC):
    """What holds measurements, and all the forms of it.

    A baseline is an earlier comparison, of one function or of several: what changed since is shown too.
    """

    @abstractmethod
    def _measurements(self) -> tuple[Measurement, ...]:
        """All of them, in order."""

    def __str__(self) -> str:
        return self.text()

    def text(self, baseline: "_Printed | None" = None) -> str:
        """Plain tables of at most 120 columns."""
        return report.text(self._document(baseline))

    def markdown(self, baseline: "_Printed | None" = None) -> str:
        """GitHub's tables."""
        return report.markdown(self._document(baseline))

    def html(self, baseline: "_Printed | None" = None) -> str:
        """A page that loads nothing from elsewhere; with plots, where the extra `plots` is installed."""
        return report.html(self._document(baseline))

    def json(self) -> str:
        """All the data; `from_json` of the same class reads it."""
        return _json.dumps(self)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The data again; ValueError where the text is something else."""
        return _json.loads(cls, text)

    def svg(self) -> str:
        """The plots as a drawing; ImportError without the extra `plots`."""
        return report.svg(self._document())

    def png(self) -> bytes:
        """The plots as a picture; ImportError without the extra `plots`."""
        return report.png(self._document())

    def save(self, path: str | os.PathLike, baseline: "_Printed | None" = None) -> None:
        """Writes the form that the path's suffix names: .txt, .md, .html, .json, .svg or .png.

        Raises:
          ValueError: another suffix; nothing is written.
          OSError: the file cannot be written.
          ImportError: a picture without the extra `plots`.
        """
        pictures = {".json": self.json, ".svg": self.svg, ".png": self.png}
        report.save(path, report.forms(self._document(baseline)) | pictures)

    def _document(self, baseline: "_Printed | None" = None) -> report.Document:
        return document(self._measurements(), None if baseline is None else baseline._measurements())


@dataclass(frozen=True)
class Comparison(_Printed, Measurement):
    """The manual gradient of one function beside the automatic one."""

    def _measurements(self) -> tuple[Measurement, ...]:
        return (self,)


@dataclass(frozen=True)
class Comparisons(_Printed):
    """Several comparisons: a sweep over sizes, or a table of functions."""

    comparisons: tuple[Comparison, ...]

    def _measurements(self) -> tuple[Measurement, ...]:
        return self.comparisons
