"""The finished table, and the forms in which to have it."""

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import jax

from jbackprop import report

from . import _course
from ._document import Order as Order
from ._document import document
from ._row import Block, Row


@dataclasses.dataclass(frozen=True)
class Explanation:
    """A network's values and gradients, each beside the automatic one.  `print` it, or `save` it as a page.

    Attributes:
      x: the network's input.
      input: ∂C/∂x.
      layers: a block for each layer, in order.
      cost: C.
      examples: m, how many losses C is the mean of.
      batch_axes: how many axes those losses have.
      loss: the rule.
      order: in which the rows are printed and saved: "layers", or "computation".
    """

    x: Any
    input: Block
    layers: tuple[Block, ...]
    cost: Block
    examples: int
    batch_axes: int
    loss: Callable[..., jax.Array]
    order: Order = "layers"

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Everything, from the input to the cost."""
        return (self.input, *self.layers, self.cost)

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every row in the order of computation: values forward, then gradients backward."""
        forward = (row for block in self.blocks for row in block.rows if row.role == "value")
        backward = (row for block in reversed(self.blocks) for row in block.rows if row.role != "value")
        return tuple(itertools.chain(forward, backward))

    @property
    def first_difference(self) -> Row | None:
        """The first row that differs, in the order of computation: the fault is in its `source`.

        None if every row that has an automatic value agrees with it.
        """
        return next((row for row in self.rows if row.verdict.kind == "differs"), None)

    def __str__(self) -> str:
        return report.text(self._document(""))

    def html(self, title: str = "Backprop, layer by layer") -> str:
        """One page, in which nothing is loaded from anywhere; arrays open at a click."""
        return report.html(self._document(title))

    def dictionary(self) -> dict[str, dict[str, Any]]:
        """A dictionary by symbol, such as "z¹" or "∂C/∂W¹"; each entry holds the fields of a `Row`."""
        return dict(self._entries())

    def course(self, form: str = "column", mean: str = "dW", automatic: bool = False) -> dict[str, jax.Array]:
        """A dictionary in the notation of courses: A0, Z1, A1, dA1, dZ1, W1, b1, dW1, db1 and so on.

        Layer l is a layer with parameters and the activations after it.  A of the last is the output activation that
        the loss holds, where it holds one: then there is no dA of it, for dZ comes from the loss at once.

        Args:
          form: "column" for examples in columns, W (n_out, n_in) and b (n_out, 1); "row" for ours, examples in rows.
          mean: where the 1/m of the mean over m examples stands.  "dW": in dW and db, as in courses, whose dA and dZ
            belong to the sum of the losses; "dZ": in dA and dZ, as here, which is ∂C/∂z.
          automatic: the automatic values; a δ that has none is left out.

        Raises:
          ValueError: another form or mean; or a column form of arrays that are not (examples, features).
        """
        return _course.course(self, form, mean, automatic)

    def save(self, path: str | os.PathLike, title: str = "Backprop, layer by layer") -> None:
        """Writes the form that the path's suffix names: .txt, .md or .html; the text has no title.

        Raises:
          ValueError: another suffix; nothing is written.
          OSError: the file cannot be written.
        """
        report.save(path, report.forms(self._document(title)) | {".txt": lambda: f"{self}\n"})

    def _document(self, title: str) -> report.Document:
        return document(title, self.blocks, self.rows, self.first_difference, self.order)

    def _entries(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for block in self.blocks:
            for row in block.rows:
                fields = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
                yield row.symbol, {"layer": block.title, **fields}
