"""The five forms of a comparison: nothing is lost, made up, cut off or loaded from elsewhere."""

import dataclasses
import html.parser
import math
import re
import sys
import xml.etree.ElementTree as ElementTree

import jax
import jax.numpy as jnp
import pytest

import jbackprop as jb
from jbackprop import report, rules
from jbackprop.comparison import CompiledFor

pytestmark = pytest.mark.once
X = jax.random.normal(jax.random.key(3), (5, 3))


@pytest.fixture(scope="module")
def found():
    return jb.compare(rules.gelu, X, repeats=2)


@pytest.fixture(scope="module")
def sweep():
    return jb.compare(rules.softmax, lambda n: jnp.ones((n, 3)).at[:, 0].set(2), sizes=[4, 16, 64], repeats=2)


def with_programs(found, **figures):
    """The comparison with other figures in every program."""

    def changed(side):
        stages = {name: getattr(side, name) for name in ("forward", "backward", "whole")}
        others = {
            name: dataclasses.replace(stage, program=dataclasses.replace(stage.program, **figures))
            for name, stage in stages.items()
        }
        return dataclasses.replace(side, **others)

    return dataclasses.replace(found, manual=changed(found.manual), automatic=changed(found.automatic))


@pytest.fixture(scope="module")
def unknown(found):
    """The comparison on a machine whose compiler tells nothing."""
    sizes = dict.fromkeys(["argument_bytes", "output_bytes", "temporary_bytes", "peak_bytes"])
    return with_programs(found, **sizes, flops=None, accessed_bytes=None)


def test_json_round_trip(found, sweep, unknown):
    assert jb.Comparison.from_json(found.json()) == found
    assert jb.Comparison.from_json(unknown.json()) == unknown
    assert jb.Comparisons.from_json(sweep.json()) == sweep


def test_json_keeps_infinities(found):
    infinite = dataclasses.replace(found.manual.errors[0], roundings=math.inf)
    odd = dataclasses.replace(found, manual=dataclasses.replace(found.manual, errors=(infinite,)))
    assert jb.Comparison.from_json(odd.json()) == odd
    assert "Infinity" not in odd.json()


@pytest.mark.parametrize("text", ["", "[]", "{}", "3", '{"comparisons": 3}', '{"comparisons": [{}]}'])
def test_other_json_is_refused(text):
    with pytest.raises(ValueError, match="wanted the JSON of a Comparisons"):
        jb.Comparisons.from_json(text)


def test_an_unknown_figure_is_a_dash_and_never_zero(unknown):
    row = next(line for line in str(unknown).splitlines() if line.startswith("whole"))
    assert row.split()[-6:] == [report.UNKNOWN] * 6
    points = tuple(dataclasses.replace(unknown, size=n) for n in (1, 2))
    assert "manual: unknown" in jb.Comparisons(points).html()


def with_targets(found):
    """The comparison with one accelerator that was compiled for and one that was not."""
    program = dataclasses.replace(found.manual.whole.program, temporary_bytes=7000, peak_bytes=9000)
    targets = (CompiledFor("h100", program), CompiledFor("v5e", None, "its compiler is not installed"))
    sides = (dataclasses.replace(side, targets=targets) for side in (found.manual, found.automatic))
    return dataclasses.replace(found, **dict(zip(("manual", "automatic"), sides, strict=True)))


def test_targets_are_told_apart_from_measurements(found):
    one = with_targets(found)
    for text in (one.text(), one.markdown(), one.html()):
        assert "compiled for h100" in text
        assert "compiled for v5e" not in text
        assert "nothing was run there" in text
        assert "v5e: its compiler is not installed" in text
    assert jb.Comparison.from_json(one.json()) == one


def test_several_comparisons_have_a_table_of_targets(found):
    text = jb.Comparisons((with_targets(found),) * 2).text()
    row = next(line for line in text.splitlines() if "9 kB" in line)
    assert row.split() == ["gelu", "7", "kB", "|", "7", "kB", "9", "kB", "|", "9", "kB", "–", "|", "–", "–", "|", "–"]


def test_text_fits_120_columns(found, sweep):
    long = dataclasses.replace(found, name="a_function_with_quite_a_long_name" * 4)
    large = with_programs(found, argument_bytes=123456789, output_bytes=123456789, temporary_bytes=123456789)
    for one in (found, sweep, long, large, jb.Comparisons((long, found)), jb.Comparisons((found, large))):
        assert max(map(len, one.text(sweep).splitlines())) <= 120


def test_every_form_names_the_device_and_the_version(found, sweep):
    for one in (found, sweep):
        for text in (str(one), one.markdown().replace("\\", ""), one.html()):
            assert found.device in " ".join(text.split())
            assert jax.__version__ in text


def test_markdown_rows_are_whole(sweep):
    rows = [line for line in sweep.markdown().splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 3
    assert {row.replace("\\|", "").count("|") for row in rows} == {9}


class _Page(html.parser.HTMLParser):
    """Counts the tags; each must close in order, and none may load anything."""

    def __init__(self):
        super().__init__()
        self.open, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not {"src", "href", "onload"} & {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_loads_nothing(found, sweep):
    strange = dataclasses.replace(found, name="<script>&")
    for one, plots in ((found, 1), (sweep, 7), (strange, 1)):
        page = _Page()
        page.feed(one.html(sweep))
        assert page.open == []
        assert not {"script", "link", "img", "iframe"} & set(page.tags)
        assert page.tags.count("svg") >= plots
        assert not re.search(r"""url\((?!#)|href="(?!#)|@import""", one.html())


def test_save_by_suffix(found, sweep, tmp_path):
    several = jb.Comparisons((found, *sweep.comparisons))
    for name, one in {"one": found, "sweep": sweep, "several": several}.items():
        for suffix in ("txt", "md", "html", "json", "svg", "png"):
            one.save(tmp_path / f"{name}.{suffix}", found)
        read = {path.suffix: path.read_bytes() for path in tmp_path.glob(f"{name}.*")}
        assert read[".txt"].decode() == one.text(found) + "\n"
        assert read[".md"].decode() == one.markdown(found)
        assert read[".html"].decode() == one.html(found)
        assert type(one).from_json(read[".json"].decode()) == one
        assert ElementTree.fromstring(read[".svg"]).tag.endswith("svg")
        assert read[".png"].startswith(b"\x89PNG")


def test_another_suffix_is_refused(found, tmp_path):
    wanted = r"save: path, wanted one of \.txt, \.md, \.html, \.json, \.svg, \.png, got '?\.foo"
    with pytest.raises(ValueError, match=wanted):
        found.save(tmp_path / "report.foo")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_names_the_extra_and_the_page_does_without(found, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for suffix in ("png", "svg"):
        with pytest.raises(ImportError, match=r"jbackprop\[plots\]"):
            found.save(tmp_path / f"none.{suffix}")
    assert list(tmp_path.iterdir()) == []
    assert "jbackprop[plots]" in found.html()


def test_a_baseline_shows_what_changed(found):
    extra = dataclasses.replace(found.manual.residuals[0], kind="computed", bytes=5000)
    worse = dataclasses.replace(found, manual=dataclasses.replace(found.manual, residuals=(extra,)))
    for text in (worse.text(found), worse.markdown(found), worse.html(found)):
        assert "0 B → 5 kB" in text
    assert "→" not in worse.text(worse).replace("before → after", "")


def test_a_baseline_from_elsewhere_is_said_to_be_so(found):
    assert "with the same versions" in " ".join(found.text(found).split())
    elsewhere = dataclasses.replace(found, device="gpu A")
    assert "measured on gpu A" in found.text(elsewhere)
    assert "times do not compare" in " ".join(found.text(elsewhere).split())


def test_a_baseline_without_the_function_has_dashes(found):
    renamed = dataclasses.replace(found, name="other")
    assert f"{report.UNKNOWN} → 0 B" in renamed.text(found)
    assert f"0 B → {report.UNKNOWN}" in renamed.text(found)
