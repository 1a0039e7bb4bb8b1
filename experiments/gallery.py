"""All worked examples as pages, with an index and the count of products."""

import dataclasses
from collections.abc import Mapping
from html import escape
from pathlib import Path
from types import MappingProxyType

from jbackprop import graph, report
from jbackprop.graph.examples import EXAMPLES
from jbackprop.report import Table

from .errors import InputError
from .networks import NETWORKS

SUMMARY = "Worked examples of backprop as pages to step through, with an index: a minute."

_ABOUT = """Values go forward, backpropagated gradients come back: each node multiplies what it receives by its local
gradient and sums over its successors. Open an example to step through it."""
_WHY = """Products of a message and a local gradient, counted on the graphs: path by path every route from an input to
the cost is multiplied out; forward mode sweeps once for each input; reverse mode computes each product once."""
_LAYERS = """The same blocks inside networks, as tables: every value and gradient of the backward pass by hand, beside
the automatic one."""
_STYLE = "img { max-width: max(100%, 1000px); max-height: 16rem; height: auto }"


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of gallery."""

    out: Path = Path("runs") / "gallery"
    """The folder to write to."""


def run(settings: Settings) -> None:
    """Writes it, and prints the path of its index.

    Raises:
      InputError: the folder cannot be written.
    """
    try:
        print(f"page: {write(settings.out)}")
    except OSError as error:
        raise InputError(f"--out, wanted a folder to write to, got {settings.out} ({error.strerror})") from None


def write(folder: str | Path, book: Mapping[str, Mapping[str, str]] = MappingProxyType({})) -> Path:
    """Writes every example as a page and a picture, networks as tables, and an index of them.

    Args:
      folder: where to.
      book: for an example the chapters of the book beside the folder that speak of it, title and address.

    Returns:
      The path of the index.

    Raises:
      OSError: the folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tables = [_write_table(folder, slug, network) for slug, network in NETWORKS.items()]
    examples = [_write_example(folder, slug, example, book) for slug, example in EXAMPLES.items()]
    graph.plot_products(folder / "products.svg")
    index = folder / "index.html"
    sections, counts = zip(*examples, strict=True)
    body = [
        f"<p>{_ABOUT}</p>",
        *(['<p><a href="../index.html">The book</a> derives what is drawn here.</p>'] if book else []),
        *sections,
        f'<h2 id="tables">Layer by layer</h2><p>{_LAYERS}</p><ul>{"".join(tables)}</ul>',
        f"<h2>Why backward</h2><p>{_WHY}</p>",
        _counted(counts),
        _picture("products"),
    ]
    page = report.page("Backprop, worked out", "\n".join(body), _STYLE, pictures=True)
    index.write_text(page, encoding="utf-8")
    return index


def _write_example(folder, slug, example, book):
    """Writes one example; its section and its row of counts in the index."""
    back = example.backpropagate()
    page = back.html(example.title, example.about, links=_links(slug, book))
    (folder / f"{slug}.html").write_text(page, encoding="utf-8")
    min(back, graph.group(back), key=lambda drawn: len(drawn.graph.nodes)).save(folder / f"{slug}.svg")
    link = f'<a href="{slug}.html">'
    heading = f"<h2>{link}{escape(example.title)}</a></h2><p>{escape(example.about)}</p>"
    return f"{heading}{link}{_picture(slug)}</a>", (example.title, graph.count(back))


def _write_table(folder, slug, network):
    """Writes a network's table in both orders; its line in the index."""
    table, layers, computed = network.explain(), f"table-{slug}.html", f"table-{slug}-computed.html"
    graph_page = f"{network.like}.html"
    for address, order, words, other, its_words in (
        (layers, "layers", "layer by layer", computed, "in the order of computation"),
        (computed, "computation", "as it is computed", layers, "layer by layer"),
    ):
        links = {"all tables": "index.html#tables", its_words: other, "as a graph": graph_page}
        around = " · ".join(f'<a href="{to}">{name}</a>' for name, to in links.items())
        page = dataclasses.replace(table, order=order).html(f"{network.title}, {words}")
        (folder / address).write_text(page.replace("</h1>", f"</h1><p>{around}</p>", 1), encoding="utf-8")
    shown = f'<a href="{layers}">{escape(network.title)}</a> (<a href="{computed}">as computed</a>)'
    return f"<li>{shown}: <code>{escape(repr(network.net))}</code></li>"


def _links(slug, book):
    """From an example to the index, to its neighbours, to its network's table and to its chapters."""
    slugs = list(EXAMPLES)
    at = slugs.index(slug)
    before, after = slugs[max(at - 1, 0) : at], slugs[at + 1 : at + 2]
    return {
        **{f"← {EXAMPLES[other].title}": f"{other}.html" for other in before},
        "all examples": "index.html",
        **{
            f"layer by layer: {network.title}": f"table-{name}.html"
            for name, network in NETWORKS.items()
            if network.like == slug
        },
        **{f"the book: {title}": f"../index.html#{anchor}" for title, anchor in book.get(slug, {}).items()},
        **{f"{EXAMPLES[other].title} →": f"{other}.html" for other in after},
    }


def _picture(slug):
    return f'<div class="wide"><img src="{slug}.svg" alt="{slug}"></div>'


def _counted(counts):
    rows = (
        (title, *map(str, (products.paths, products.path_by_path, products.forward, products.reverse)))
        for title, products in counts
    )
    return report.html_table(Table("", ("example", "paths", "path by path", "forward", "reverse"), tuple(rows)))
