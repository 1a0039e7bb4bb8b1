"""All worked examples as pages, with an index and the count of products."""

import dataclasses
from html import escape
from pathlib import Path

from jbackprop import graph
from jbackprop.graph.examples import EXAMPLES, Example

from .errors import InputError

SUMMARY = "Worked examples of backprop as pages to step through, with an index: a minute."

INDEX = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Backprop, worked out</title>
<style>
body {{ margin: 0 auto; padding: 1rem; max-width: 72rem; color: #222;
  font: 16px/1.45 "DejaVu Sans", Verdana, sans-serif }}
h1 {{ font-size: 1.4rem }}
h2 {{ font-size: 1.05rem; margin: 0 0 .3rem }}
section {{ border: 1px solid #ddd; border-radius: 6px; padding: .8rem; margin: 0 0 1rem }}
p {{ margin: 0 0 .6rem }}
img {{ max-width: max(100%, 1000px); max-height: 16rem; height: auto }}
table {{ border-collapse: collapse; margin: 0 0 .8rem }}
.wide {{ overflow-x: auto }}
td, th {{ padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #ddd }}
td:first-child, th:first-child {{ text-align: left }}
</style>
</head>
<body>
<h1>Backprop, worked out</h1>
<p>Values go forward, backpropagated gradients come back: each node multiplies what it receives by
its local gradient and sums over its successors. Open an example to step through it.</p>
{examples}
<section><h2>Why backward</h2>
<p>Products of a message and a local gradient, counted on the graphs: path by path every route from
an input to the cost is multiplied out; forward mode sweeps once for each input; reverse mode
computes each product once.</p>
<div class="wide"><table>
<tr><th>example</th><th>paths</th><th>path by path</th><th>forward</th><th>reverse</th></tr>
{counts}
</table></div>
<div class="wide"><img src="products.svg" alt="Products against depth and width"></div>
</section>
</body>
</html>
"""


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


def write(folder: str | Path) -> Path:
    """Write every example as a page and a picture, and an index of them.

    Returns:
      The path of the index.

    Raises:
      OSError: the folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    examples = [_write_example(folder, slug, example) for slug, example in EXAMPLES.items()]
    graph.plot_products(folder / "products.svg")
    index = folder / "index.html"
    sections, counts = zip(*examples, strict=True)
    text = INDEX.format(examples="\n".join(sections), counts="\n".join(counts))
    index.write_text(text, encoding="utf-8")
    return index


def _write_example(folder: Path, slug: str, example: Example) -> tuple[str, str]:
    """Write one example; its section and its row of counts in the index."""
    back = example.backpropagate()
    page = graph.html(back, example.title, example.about)
    (folder / f"{slug}.html").write_text(page, encoding="utf-8")
    graph.save(back, folder / f"{slug}.svg")
    title = escape(example.title)
    section = (
        f'<section><h2><a href="{slug}.html">{title}</a></h2><p>{escape(example.about)}</p>'
        f'<div class="wide"><a href="{slug}.html"><img src="{slug}.svg" alt="Graph of {title}"></a>'
        "</div></section>"
    )
    products = graph.count(back)
    numbers = (products.paths, products.path_by_path, products.forward, products.reverse)
    row = f"<tr><td>{title}</td>{''.join(f'<td>{number}</td>' for number in numbers)}</tr>"
    return section, row
