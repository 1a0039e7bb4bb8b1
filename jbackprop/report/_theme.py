"""The colours, each by the name of what it is for, in the light and in the dark."""

import re

COLOURS = {
    "paper": ("#ffffff", "#14171a"),
    "ink": ("#1b1f24", "#e6e9ec"),
    "soft": ("#57606a", "#9aa4ae"),
    "grid": ("#d8dee4", "#30363d"),
    "raised": ("#f3f5f7", "#1f2429"),
    "even": ("#8c959f", "#7d8691"),
    "first": ("#0a66c2", "#62aaf5"),
    "first-paper": ("#eef4fb", "#15222f"),
    "second": ("#c2570a", "#f0a35a"),
    "good": ("#1b7837", "#5fc27e"),
    "good-paper": ("#eff8f1", "#15281c"),
    "bad": ("#b3261e", "#ff8a80"),
    "bad-paper": ("#fdf1f0", "#331917"),
}
"""Name -> its colour in the light, and in the dark."""


def variables() -> str:
    """The colours as CSS variables that follow the reader's light or dark."""
    light, dark = (";".join(f"--{name}:{pair[i]}" for name, pair in COLOURS.items()) for i in (0, 1))
    return f":root{{color-scheme:light dark;{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def named(drawing: str) -> str:
    """A drawing in the colours of the light, with their names for them."""
    return re.sub("|".join(_NAMES), lambda found: f"var(--{_NAMES[found[0]]})", drawing)


def in_light(drawing: str) -> str:
    """A drawing with the colours of the light for their names, for programs that know no variables."""
    return re.sub(r"var\(--([\w-]+)\)", lambda found: COLOURS[found[1]][0], drawing)


def standalone(svg: str, style: str = "") -> str:
    """An SVG drawing, with the style that it needs, as a file of its own that follows light and dark too."""
    start = svg.index(">") + 1
    return f"{svg[:start]}<style>{variables()}svg{{background:var(--paper)}}{style}</style>{svg[start:]}"


_NAMES = {pair[0]: name for name, pair in COLOURS.items()}
