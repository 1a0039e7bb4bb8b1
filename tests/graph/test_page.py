"""The page in headless Chromium: the buttons, the hover, and no complaint in the console."""

import jax.numpy as jnp
import pytest

from jbackprop import graph, rules
from jbackprop.graph.examples import EXAMPLES
from tests.browser import browser as browser
from tests.browser import overflow, webdriver

pytestmark = pytest.mark.once


@pytest.fixture
def page(browser, tmp_path):
    """Open a page; afterwards nothing may stand in the console."""

    def opened(back):
        back.save(tmp_path / "page.html")
        browser.get((tmp_path / "page.html").as_uri())
        return _Page(browser)

    yield opened
    assert browser.get_log("browser") == []


class _Page:
    def __init__(self, browser):
        self.browser = browser

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    def click(self, name, times=1):
        for _ in range(times):
            self.find(f"#{name}").click()

    @property
    def equation(self):
        return self.find("#equation").text

    def shown(self, name, node):
        """The text of a scalar's value or gradient as long as it can be seen."""
        return self.find(f"svg.right [data-node='{node}'] text.{name}").text


def hover(page, element):
    webdriver.ActionChains(page.browser).move_to_element(element).perform()


def index(back, name):
    return next(node.index for node in back.graph.nodes if node.name == name)


def test_steps_go_forward_and_backward(page):
    back = EXAMPLES["fan-out"].backpropagate()
    opened = page(back)
    x, f, b = (index(back, name) for name in ("x", "f", "b"))
    assert [opened.shown("value", node) for node in (b, x)] == ["3", ""]
    opened.click("next")
    assert opened.shown("value", x) == "2"
    assert opened.equation == "x = a + b = −1 + 3 = 2"
    opened.click("next", 3)
    assert (opened.shown("gradient", f), opened.shown("gradient", x)) == ("1", "")
    opened.click("back", 3)
    assert opened.shown("gradient", f) == ""
    opened.click("last")
    assert opened.shown("gradient", b) == "7 + 2 = 9"
    assert not opened.find("#next").is_enabled()
    opened.click("first")
    assert opened.shown("value", x) == opened.shown("gradient", b) == ""


def test_messages_arrive_one_at_a_time(page):
    back = EXAMPLES["fan-out"].backpropagate()
    opened = page(back)
    b = index(back, "b")
    seen = []
    for _ in range(len(back.messages) + 4):
        opened.click("next")
        seen.append(opened.shown("gradient", b))
        if not opened.find("#next").is_enabled():
            break
    assert list(dict.fromkeys(seen)) == ["", "7", "7 + 2 = 9"]


def test_hover_shows_the_equation_with_its_numbers(page):
    back = EXAMPLES["linear-regression"].backpropagate()
    opened = page(back)
    before = opened.equation
    hover(opened, opened.find(f"svg.right [data-node='{index(back, 'e')}'] .outline"))
    assert "e = ŷ − y = 6 − 2 = 4" in opened.equation
    assert "∂J/∂e = 8" in opened.equation
    hover(opened, opened.find("h1"))
    assert opened.equation == before
    number = next(k for k, e in enumerate(back.graph.edges) if e.source == index(back, "e"))
    hover(opened, opened.find(f"svg.right [data-edge='{number}'] .touch"))
    assert opened.equation == "J sends e  ∂J/∂J · 2e = 1 · 8 = 8"


def test_arrays_show_their_numbers_and_maps(page):
    back = EXAMPLES["two-layer-net"].backpropagate()
    opened = page(back)
    node = f"svg.right [data-node='{index(back, 'w1')}']"
    assert not opened.find(f"{node} g.gradient").is_displayed()
    opened.click("last")
    assert opened.find(f"{node} g.gradient").is_displayed()
    opened.find(f"{node} .name").click()
    assert "xᵀ ∂J/∂v1" in opened.equation and "4.6667" in opened.equation
    hover(opened, opened.find("h1"))
    assert "xᵀ ∂J/∂v1" in opened.equation
    opened.click("first")
    assert "xᵀ ∂J/∂v1" not in opened.equation


def test_keys_step_too(page):
    opened = page(EXAMPLES["sigmoid-unit"].backpropagate())
    opened.find("body").send_keys("\ue014")  # the right arrow
    assert opened.find("#place").text.startswith("1 /")


def test_small_matrices_have_their_numbers_in_their_cells(page):
    back = EXAMPLES["two-layer-net"].backpropagate()
    opened = page(back)
    node = f"svg.right [data-node='{index(back, 'b1')}']"
    cells = opened.browser.find_elements("css selector", f"{node} g.value .cell")
    assert [cell.text for cell in cells] == ["0", "1", "2", "−2"]
    opened.click("last")
    gradients = opened.browser.find_elements("css selector", f"{node} g.gradient .cell")
    assert [cell.text for cell in gradients] == ["−0.667", "1.67", "1.33", "0.667"]


def test_a_presenters_keys_zoom_and_projector(page):
    opened = page(EXAMPLES["two-layer-net"].backpropagate())

    def width():
        return float(opened.find("svg.right").get_attribute("width"))

    body, fitted = opened.find("body"), width()
    body.send_keys("\ue00f")  # page down, as a remote control sends it
    assert opened.find("#place").text.startswith("1 /")
    opened.click("larger")
    assert width() == pytest.approx(1.25 * fitted)
    body.send_keys("0")
    assert width() == pytest.approx(fitted)
    body.send_keys("p")
    assert not opened.find(".legend").is_displayed() and width() >= fitted
    opened.click("project")
    assert opened.find(".legend").is_displayed()


def test_a_swipe_steps(page):
    opened = page(EXAMPLES["fan-out"].backpropagate())
    opened.browser.execute_script(
        """const panel = document.querySelector(".panel");
        for (const [kind, x] of [["touchstart", 300], ["touchend", 200]]) {
          const touch = new Touch({ identifier: 0, target: panel, clientX: x, clientY: 10 });
          panel.dispatchEvent(new TouchEvent(kind, { changedTouches: [touch] }));
        }"""
    )
    assert opened.find("#place").text.startswith("1 /")


@pytest.mark.parametrize("width", [1400, 420])
def test_nothing_is_wider_than_the_window(page, width):
    opened = page(EXAMPLES["attention"].backpropagate())
    assert overflow(opened.browser, width) <= 0
    opened.browser.set_window_size(1400, 900)


def test_calls_are_one_node_until_they_are_opened(page):
    def regression(x, w, b, labels):
        return rules.softmax_cross_entropy(rules.linear(x, w, b), labels).mean()

    arguments = jnp.ones((4, 3)), jnp.arange(6.0).reshape(3, 2), jnp.zeros(2), jnp.array([0, 1, 1, 0])
    opened = page(graph.backpropagate(graph.trace(regression, *arguments)))

    def nodes():
        names = opened.browser.find_elements("css selector", ".figure:not([hidden]) svg.right .node .name")
        return [name.text for name in names]

    assert len(nodes()) == 8 and any(name.endswith("= linear") for name in nodes())
    opened.click("last")
    assert "∂regression/∂" in opened.equation
    opened.click("calls")
    assert len(nodes()) > 12 and opened.find("#calls").text == "close calls"
    opened.click("calls")
    assert len(nodes()) == 8


def test_narrow_window_gets_the_upright_figure(page):
    opened = page(EXAMPLES["three-layer-chain"].backpropagate())
    opened.browser.set_window_size(500, 900)
    assert opened.find("svg.down").is_displayed() and not opened.find("svg.right").is_displayed()
    opened.browser.set_window_size(1400, 900)
    assert opened.find("svg.right").is_displayed()


def test_script_in_a_name_does_not_run(page):
    name = "</script><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
    opened = page(graph.backpropagate(graph.trace(lambda p: jnp.sin(p[name]), {name: 1.0})))
    opened.click("last")
    assert opened.browser.title != "run"
    hover(opened, opened.find("svg.right [data-node='0'] .outline"))
    assert "<script>" in opened.equation
