"""The chapters: texts in plain notation that call for the source, its derivation, and examples that are run.

# Title                  a chapter;  ## a section
an indented block        equations, numbered
```python … ```          an example: it is run where it stands, and what it prints is shown below it
@derivation MODULE       the derivation in the docstring of jbackprop.MODULE
@source MODULE: NAME …   functions of jbackprop.MODULE as they are written there
@see NAME … | GRAPH …    links to rules of jbackprop.rules, with their cases and checks, and to graph pages
"""

import contextlib
import importlib
import inspect
import io
import itertools
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

import jbackprop as jb
from jbackprop import graph, layers, rules, signals
from jbackprop.graph.examples import EXAMPLES

from ._typeset import docstring, equations, inline, is_equations, paragraphs

TEXTS = Path(__file__).parent / "chapters"
NAMES = {"jax": jax, "jnp": jnp, "jb": jb, "rules": rules, "layers": layers, "signals": signals, "graph": graph}
"""What every example may use; the book says so before its first one."""


@dataclass
class Chapter:
    """One chapter: its place, its title and its text; what its examples have named so far."""

    place: int
    title: str
    text: str
    names: dict[str, Any] = field(default_factory=lambda: dict(NAMES))
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def anchor(self) -> str:
        """Its address in the book."""
        return re.sub(r"[^a-z]+", "-", self.title.lower()).strip("-")

    def number(self) -> str:
        """That of the next equation."""
        return f"{self.place}.{next(self.numbers)}"

    def html(self) -> str:
        """The chapter, with its examples run."""
        parts = re.split(r"^```python\n(.*?)^```\n?", self.text, flags=re.DOTALL | re.MULTILINE)
        drawn = [self.example(part) if i % 2 else self.prose(part) for i, part in enumerate(parts)]
        heading = f'<h2 id="{self.anchor}"><span class="place">{self.place}</span> {escape(self.title)}</h2>'
        return f"<section>{heading}{''.join(drawn)}</section>"

    def prose(self, text: str) -> str:
        return "\n".join(self.paragraph(part.strip("\n").rstrip()) for part in paragraphs(text))

    def paragraph(self, text: str) -> str:
        if text.startswith("@"):
            return "".join(self.called_for(line) for line in text.splitlines())
        if text.startswith("## "):
            return f"<h3>{inline(text[3:])}</h3>"
        if is_equations(text):
            return equations(text, self.number)
        if text.startswith("- "):
            items = re.split(r"^- ", text, flags=re.MULTILINE)[1:]
            return f"<ul>{''.join(f'<li>{inline(_joined(item))}</li>' for item in items)}</ul>"
        return f"<p>{inline(_joined(text))}</p>"

    def called_for(self, line: str) -> str:
        """What a line that begins with @ stands for."""
        kind, _, rest = line[1:].partition(" ")
        return {"derivation": self.derivation, "source": _sources, "see": _links}[kind](rest)

    def derivation(self, name: str) -> str:
        text = importlib.import_module(f"jbackprop.{name}").__doc__ or ""
        path = f"jbackprop/{name.replace('.', '/')}.py"
        return f'<div class="derivation"><p class="from">{path}</p>{docstring(text, self.number)}</div>'

    def example(self, code: str) -> str:
        """Runs an example in the chapter's names, and shows it with what it printed."""
        printed = self.run(code)
        shown = f'<pre class="printed">{escape(printed)}</pre>' if printed else ""
        return f'<div class="example">{_coloured(code)}{shown}</div>'

    def run(self, code: str) -> str:
        """What an example prints."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out), np.printoptions(precision=4, suppress=True):
            exec(compile(code, f"the book, {self.title}", "exec"), self.names)
        return out.getvalue().rstrip()


def chapters() -> list[Chapter]:
    """All of them, in their order."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(TEXTS.glob("*.md")))
    split = (text.removeprefix("# ").partition("\n") for text in texts)
    return [Chapter(place, title, text) for place, (title, _, text) in enumerate(split, start=1)]


def chapters_of_graphs() -> dict[str, dict[str, str]]:
    """For each example of the gallery the chapters that link to it: title and anchor."""
    found: dict[str, dict[str, str]] = {}
    for chapter in chapters():
        for line in re.findall(r"^@see .*?\| (.*)", chapter.text, re.MULTILINE):
            for slug in line.split():
                found.setdefault(slug, {})[chapter.title] = chapter.anchor
    return found


def colours() -> str:
    """The style of code: names that follow the reader's light or dark."""
    light, dark = (
        HtmlFormatter(style=style).get_style_defs(".code").splitlines() for style in ("tango", "github-dark")
    )
    of_names = ["\n".join(line for line in lines if line.startswith(".code .")) for lines in (light, dark)]
    return f"{of_names[0]}\n@media (prefers-color-scheme: dark) {{\n{of_names[1]}\n}}"


def _joined(text):
    return " ".join(text.split())


def _coloured(code):
    return f'<pre class="code">{highlight(code.rstrip(), PythonLexer(), HtmlFormatter(nowrap=True))}</pre>'


def _sources(rest):
    """Functions as they stand in their file."""
    name, _, functions = rest.partition(":")
    module = importlib.import_module(f"jbackprop.{name}")
    texts = [_source(module, function) for function in functions.split()]
    code = _coloured("\n\n\n".join(map(textwrap.dedent, texts)))
    path = f"jbackprop/{name.replace('.', '/')}.py"
    return f'<div class="example"><p class="from">{path}</p>{code}</div>'


def _source(module, name):
    """A function, and below it the line that says what its derivative is."""
    lines = inspect.getsource(module).splitlines()
    derivative = [line for line in lines if line.startswith(f"define_derivative({name},")]
    return "\n\n\n".join([inspect.getsource(_found(module, name)).rstrip(), *derivative])


def _found(module, name):
    found = module
    for part in name.split("."):
        found = getattr(found, part)
    return found.fun if isinstance(found, jax.custom_vjp) else found


def _links(rest):
    """A line of links: the rules' pages, the graphs, the cases, and the check in one line."""
    names, _, graphs = (part.split() for part in rest.partition("|"))
    links = [f'<a href="jbackprop/rules.html#{name}"><code>{name}</code></a>' for name in names]
    links += [f'<a href="gallery/{slug}.html">graph: {escape(EXAMPLES[slug].title)}</a>' for slug in graphs]
    links += ['<a href="jbackprop/cases.html">its cases</a>'] if names else []
    command = f"python -m jbackprop check jbackprop.rules:{names[0]} --args {ARGUMENTS[names[0]]}" if names else ""
    checked = f"<br>Check it yourself: <code>{escape(command)}</code>" if command else ""
    return f'<p class="links">{" · ".join(links)}{checked}</p>'


ARGUMENTS = {
    "linear": '"f32[4,3]" "f32[3,2]" "f32[2]"',
    "sigmoid": '"f32[4,3]"',
    "relu": '"f32[4,3]"',
    "softmax": '"f32[4,3]"',
    "softmax_cross_entropy": '"f32[4,3]" "i32[4]<3"',
    "squared_error": '"f32[4,3]" "f32[4,3]"',
    "conv": '"f32[2,5,4,3]" "f32[3,2,3,6]"',
    "max_pool": '"f32[2,5,4,3]" --options window_shape=2,2',
    "layer_norm": '"f32[4,3]" "f32[3]" "f32[3]"',
    "embedding": '"f32[7,3]" "i32[2,5]<7"',
    "dropout": 'key "f32[4,3]" 0.5',
    "rnn": '"f32[2,5,3]" "f32[3,4]" "f32[4,4]"',
    "lstm": '"f32[2,5,3]" "f32[3,16]" "f32[4,16]"',
    "dot_product_attention": '"f32[5,2,3]" "f32[5,2,3]" "f32[5,2,3]"',
    "linear_solve": '"f32[3,3]" "f32[3]"',
}
"""Arguments for one check of each rule that the book names first in a line of links."""
