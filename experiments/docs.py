"""The book as the first page, and beside it the reference, the gallery and the tables: `make docs`.

A rule is a `jax.custom_vjp` object and its derivation stands in a private module; neither is what pdoc looks for.  So
the modules are changed before it looks at them, in this process alone: each rule becomes its plain function, and each
package's docstring is followed by those of its private modules.
"""

import argparse
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jax

import jbackprop
from jbackprop import proof, report

from . import book, gallery
from .reference import Addresses, anchor, filtered, with_names
from .signatures import readable

_WELCOME = """

[The book: backpropagation from one neuron to attention](index.html)
· [Worked examples, to step through](gallery/index.html)
· [How to write and debug a layer](jbackprop/table.html)
· {pages}
"""

_BESIDE = {"gallery/index.html": "Worked examples, to step through", "jbackprop.html": "The reference"}
_PAGE_STYLE = """
td:first-child, th:first-child { text-align: left }
td { white-space: normal }
td:nth-child(2):last-child { text-align: left }
td:not(:first-child) { min-width: 4rem }
"""
PAGES = Path(__file__).parent / "pages"
"""Tables and examples that are too long for the README, each under the command that prints it."""


def write(folder: str | Path) -> Path:
    """Writes the book, the reference and the gallery.

    Returns:
      The path of the first page.

    Raises:
      OSError: the folder cannot be written.
    """
    from pdoc import pdoc, render
    from pdoc.render_helpers import format_signature, linkify, relative_link

    gallery.write(Path(folder) / "gallery", book.chapters_of_graphs())
    objects = {module.__name__: public_objects(module) for module in public_modules()}
    addresses = Addresses(objects, relative_link)
    pages = dict(_pages(Path(folder), addresses.from_the_root() | addresses.rules_from_the_root()))
    first = with_names(book.page(_BESIDE | pages), addresses.from_the_root())  # its examples need the rules as they are
    classes = {value for found in objects.values() for value in found.values() if inspect.isclass(value)}
    for module in list(public_modules()):
        _prepare(module)
    jbackprop.__doc__ = f"{jbackprop.__doc__}{_WELCOME.format(pages=_links(pages))}"
    render.configure(docformat="google", show_source=False, template_directory=Path(__file__).parent / "docs_theme")
    filters = {
        "format_signature": lambda signature, colon: format_signature(readable(signature, classes), colon),
        "linkify": filtered(linkify, addresses),
    }
    render.env.filters.update(filters)
    pdoc("jbackprop", output_directory=Path(folder))
    render.env.filters.update(format_signature=format_signature, linkify=linkify)
    index = Path(folder) / "index.html"
    index.write_text(first, encoding="utf-8")
    return index


def _pages(folder: Path, addresses: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Writes the pages, with links at these names; gives each one's file name and title."""
    from pdoc.render_helpers import to_html

    for source in sorted(PAGES.glob("*.md")):
        title, _, body = source.read_text(encoding="utf-8").partition("\n")
        drawn = re.sub(r"<table>.*?</table>", r'<div class="wide">\g<0></div>', to_html(body), flags=re.DOTALL)
        drawn = with_names(drawn, addresses)
        page = report.page(title.lstrip("# "), drawn, _PAGE_STYLE)
        (folder / f"{source.stem}.html").write_text(page, encoding="utf-8")
        yield f"{source.stem}.html", title.lstrip("# ")


def _links(pages: dict[str, str]) -> str:
    return " · ".join(f"[{title}]({name})" for name, title in pages.items())


def public_modules() -> Iterator[ModuleType]:
    """jbackprop and every module in it without an underscore."""
    yield jbackprop
    for found in pkgutil.walk_packages(jbackprop.__path__, "jbackprop."):
        if "._" not in found.name and not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def public_objects(module: ModuleType) -> dict[str, Any]:
    """The functions, rules and classes of ours that a module offers by name."""
    named = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    ours = f"{module.__name__}." if hasattr(module, "__path__") else f"{module.__name__}"
    return {name: value for name, value in named.items() if _home(value).startswith(ours.rstrip("."))}


def plain(value: Any) -> Any:
    """A rule's function; anything else as it is."""
    return value.fun if isinstance(value, jax.custom_vjp) else value


def _home(value: Any) -> str:
    """The module in which a function, rule or class was written; none for data and modules."""
    value = plain(value)
    return value.__module__ if inspect.isfunction(value) or inspect.isclass(value) else ""


def _prepare(module: ModuleType) -> None:
    objects = public_objects(module)
    for name, value in objects.items():
        setattr(module, name, plain(value))
    parts = [name for name, value in vars(module).items() if isinstance(value, ModuleType) and not name.startswith("_")]
    parts = [name for name in parts if getattr(module, name).__name__ == f"{module.__name__}.{name}"]
    vars(module)["__all__"] = [*parts, *objects]
    module.__doc__ = "\n\n".join([_readable(module.__doc__ or ""), *_families(module), *_checks(module)])


def _families(module: ModuleType) -> Iterator[str]:
    """The docstrings of a package's private modules, each under its name."""
    for found in pkgutil.iter_modules(getattr(module, "__path__", [])):
        if found.name.startswith("_") and found.name != "__main__":
            family = importlib.import_module(f"{module.__name__}.{found.name}")
            if family.__doc__ and "\n" in family.__doc__.strip():
                name, text = found.name.strip("_").replace("_", " "), _readable(family.__doc__, _has_formulas(family))
                yield f'---\n\n<h3 id="{anchor(found.name)}">{name}</h3>\n\n{text}'


def _checks(module: ModuleType) -> Iterator[str]:
    """What `jbackprop.check` checks, in the words of each check, for the package that it is from."""
    if module is proof:
        yield "---\n\n### the checks"
        yield from (f"**{name}**: {_readable(check.__doc__ or '')}" for name, check in proof.CHECKS.items())


def _has_formulas(module: ModuleType) -> bool:
    return module.__name__.startswith(("jbackprop.rules.", "jbackprop.signals."))


def _readable(docstring: str, typeset: bool = False) -> str:
    """A docstring as Markdown: a paragraph with columns in it is typeset, or indented and so left as it is."""
    return re.sub(
        r"(?:^\S.*\n?|^ {4}.*\n?)+", lambda found: _set_off(found[0], typeset), inspect.cleandoc(docstring), flags=re.M
    )


def _set_off(paragraph: str, typeset: bool) -> str:
    if typeset and book.is_equations(paragraph):
        return " ".join(book.equations(paragraph).split("\n")) + "\n"
    has_columns = re.search(r"\S {3,}\S", paragraph) and ">>>" not in paragraph
    return textwrap.indent(paragraph, "    ") if has_columns and not paragraph.startswith("    ") else paragraph


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m experiments.docs", description="Writes the documents.")
    parser.add_argument("folder", nargs="?", default="site", help="where to")
    print(f"docs: {write(parser.parse_args().folder)}")
