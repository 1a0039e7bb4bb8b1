"""The book and the gallery in headless Chromium: nothing is too wide, every link leads somewhere, no complaint."""

import importlib
import re
from html.parser import HTMLParser

import pytest

from experiments import book, gallery
from experiments.networks import NETWORKS
from jbackprop import rules
from jbackprop.graph.examples import EXAMPLES
from tests.browser import browser as browser
from tests.browser import overflow

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    gallery.write(folder / "gallery", book.chapters_of_graphs())
    (folder / "index.html").write_text(book.page({"gallery/index.html": "Examples"}), encoding="utf-8")
    return folder


class _Links(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str | None] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.anchors |= {value for name, value in attrs if name == "id"}


def leads_somewhere(page, link):
    """Whether a link's file and its anchor are there; of the reference, the module and the name."""
    path, _, anchor = link.partition("#")
    if found := re.fullmatch(r"(?:\.\./)?(jbackprop/\w+)\.html", path):
        module = importlib.import_module(found[1].replace("/", "."))
        return hasattr(module, anchor) if anchor else True
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or anchor in _Links(target).anchors)


def test_every_link_leads_somewhere(site):
    pages = [site / "index.html", *(site / "gallery").glob("*.html")]
    assert len(pages) == len(EXAMPLES) + 2 * len(NETWORKS) + 2
    dead = [(page.name, link) for page in pages for link in _Links(page).links if not leads_somewhere(page, link)]
    assert dead == []
    assert not leads_somewhere(pages[0], "gallery/none.html") and not hasattr(rules, "none")


@pytest.mark.parametrize("slug", NETWORKS)
def test_every_network_agrees_with_automatic_differentiation(slug):
    table = NETWORKS[slug].explain()
    assert table.first_difference is None and len(table.rows) > 5


@pytest.mark.parametrize("width", [1400, 900, 420])
@pytest.mark.parametrize(
    "page", ["index.html", "gallery/index.html", "gallery/rnn.html", "gallery/table-rnn-computed.html"]
)
def test_no_page_is_wider_than_its_window(site, browser, page, width):
    browser.get((site / page).as_uri())
    assert overflow(browser, width) <= 0
    assert browser.get_log("browser") == []


def test_the_book_is_dark_in_the_dark_and_draws_its_formulas(site, browser):
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    browser.get((site / "index.html").as_uri())
    colour = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", colour))) < 64
    low, high = browser.execute_script(
        "const heights = [...document.querySelectorAll('mfrac')].map(f => f.getBoundingClientRect().height);"
        "return [Math.min(...heights), Math.max(...heights)]"
    )
    assert low > 8 and high > 30
