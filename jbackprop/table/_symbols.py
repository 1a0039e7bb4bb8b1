"""What to call the values of a network, and the equations that make them.

Layer l begins where there are parameters: its output is zˡ, and what activations make of it aˡ, aˡ′, aˡ″.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax

from jbackprop.report import superscript

from ._passes import Step, Word


class Symbols(NamedTuple):
    """The words of one layer's rows.

    Attributes:
      x: its input.
      y: its output.
      number: l.
    """

    x: str
    y: str
    number: int

    @property
    def raised(self) -> str:
        """l, written above."""
        return superscript(self.number)

    @property
    def delta(self) -> str:
        return f"δ{self.raised}"

    def filled(self, equation: str) -> str:
        """An equation of `layers.About` in these words; what is not among them stays."""
        words = {"x": self.x, "y": self.y, "dx": d(self.x), "dy": d(self.y), "delta": self.delta, "l": self.raised}
        return re.sub(r"\{(\w+)\}", lambda match: words.get(match[1], match[0]), equation)


def d(symbol: str) -> str:
    return f"∂C/∂{symbol}"


def symbols(steps: Sequence[Step]) -> Iterator[Symbols]:
    """One for each layer, in order."""
    x, number, primes = "x", 0, ""
    for step in steps:
        if jax.tree.leaves(step.params):
            number, primes = number + 1, ""
            y = f"z{superscript(number)}"
        else:
            y = f"a{superscript(number)}{primes or ('′' if number == 0 else '')}"
            primes += "′"
        yield Symbols(x, y, number)
        x = y


def parameter(name: str, words: Symbols) -> str:
    """Its symbol: W¹ for w, (query.w)¹ for one with a longer name."""
    if not name:
        return f"params{words.raised}"
    return f"{'W' if name == 'w' else name}{words.raised}" if name.isidentifier() else f"({name}){words.raised}"


def output(step: Step, words: Symbols) -> str:
    """The right-hand side of the layer's output."""
    return words.filled(step.layer.about().output) or f"{step.name}({words.x})"


def received(after: Step, words: Symbols) -> str:
    """The right-hand side of ∂C/∂x, from the layer whose input x is."""
    return words.filled(after.layer.about().input) or f"{d(words.y)} · ∂{words.y}/∂{words.x}"


def delta(step: Step, words: Symbols) -> str:
    """The right-hand side of δ."""
    return words.filled(step.layer.about().delta) or f"backward({d(words.y)})"


def gradient(word: Word | None, words: Symbols) -> str:
    """The right-hand side of a parameter's gradient, in the word in which the layer named it."""
    if word is None:
        return f"gradient({words.delta})"
    signal = words.delta if word.of_delta else f"({words.delta} …)"
    sums = {"Outer": f"{words.x if word.of_input else 'cache'}ᵀ {signal}", "Summed": f"Σ {signal}"}
    return sums.get(word.name, f"{word.name}({signal})")
