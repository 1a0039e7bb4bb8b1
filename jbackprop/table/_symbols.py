"""The equations that make the values of a network."""

from ._passes import Word
from ._places import Step, Symbols, d

Equation = str | tuple[str, ...]
"""A right-hand side, or one for each of several values."""


def parameter(name: str, step: Step) -> str:
    """Its symbol: W¹ for w, (query.w)¹ for one with a longer name; a combinator's has no number."""
    raised = "" if step.inside else step.says.raised
    if not name:
        return f"params{raised}"
    return f"{'W' if name == 'w' else name}{raised}" if name.isidentifier() else f"({name}){raised}"


def output(step: Step) -> Equation:
    """The right-hand side of the layer's output."""
    if step.inside:
        return _each(step, step.inside.output or "{0}", [steps[-1].says.y for steps in step.parts])
    return step.says.filled(step.layer.about().output) or f"{step.name}({step.says.x})"


def received(after: Step) -> Equation:
    """The right-hand side of ∂C/∂x, from the layer whose input x is."""
    words = after.says
    if after.inside:
        return _each(after, after.inside.input, [whole(received(steps[0])) for steps in after.parts])
    return words.filled(after.layer.about().input) or f"{d(words.y)} · ∂{words.y}/∂{words.x}"


def _each(step, equation, others):
    if isinstance(equation, str):
        return step.says.filled(equation, *others)
    return tuple(step.says.filled(one, *others) for one in equation)


def whole(equation: Equation) -> str:
    """An equation of several values in one."""
    return equation if isinstance(equation, str) else f"({', '.join(equation)})"


def of_part(equation: Equation, name: str) -> str:
    """That of the part of a value with this name, such as "1" or "0.h"."""
    first = name.partition(".")[0]
    return equation[int(first)] if isinstance(equation, tuple) and first.isdigit() else whole(equation)


def delta(step: Step) -> str:
    """The right-hand side of δ."""
    return step.says.filled(step.layer.about().delta) or f"backward({d(step.says.y)})"


def gradient(word: Word | None, words: Symbols) -> str:
    """The right-hand side of a parameter's gradient, in the word in which the layer named it."""
    if word is None:
        return f"gradient({words.delta})"
    signal = words.delta if word.of_delta else f"({words.delta} …)"
    sums = {
        "Outer": f"{words.x if word.of_input else 'cache'}ᵀ {signal}",
        "Summed": f"Σ {signal}",
        "Pulled": f"vjp({signal})",
        USES: "Σ over its uses",
    }
    return sums.get(word.name, f"{word.name}({signal})")


USES = "Uses"
"""The word for a parameter with several uses."""
