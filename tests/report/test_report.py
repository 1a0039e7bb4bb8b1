"""Documents in every form: nothing is lost, nothing of a name is obeyed, and a file is whole or is not there."""

import html.parser
import os
import re
import sys
import xml.etree.ElementTree as ElementTree

import jax
import jax.numpy as jnp
import pytest

from jbackprop import report
from jbackprop.report import Cell, Document, Dot, Dots, Figure, Line, Panel, Span, Table

EVIL = "<script>document.title='run'</script>&\"'`|*_$x^2$\\ [a](javascript:b)\n- c"


def line(label, *y):
    return Line(label, (1.0, 10.0, 100.0), y, y, y)


def document(name="softmax"):
    """A document with something in every place, all of it called by one name."""
    table = Table(name, (name, name), (Span(name, title=True), (name, Cell(name, name, name, "bad")), Span(name)))
    panel = Panel(name, name, "s", (line(name, 1e-6, 2e-5, 3e-4), Line(f"{name}: 0", (), (), (), ())))
    figure = Figure(name, (panel, Dots(name, (Dot(name, 0.5, 0.8, 0.9), Dot(name, 1.1, 2, 30)))))
    return Document(name, name, Cell(name), (figure,), (table,), (name,), (Document(name, tables=(table,)),))


class Page(html.parser.HTMLParser):
    """The tags of a page, which must close in order, and its words."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.attributes = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_a_name_is_never_obeyed_by_a_page():
    page = Page(report.html(document(EVIL)))
    assert not {"script", "b", "a", "img"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert sum(EVIL.replace("\n", " ") in word.replace("\n", " ") for word in page.words) >= 15


def test_a_page_loads_nothing_and_runs_nothing():
    text = report.html(document())
    assert "default-src 'none'; style-src 'unsafe-inline'\"" in text
    assert not re.search(r"""url\((?!#)|href="(?!#)|src=|@import""", text)


def test_the_script_of_a_page_is_the_one_that_may_run():
    text = report.page("a", "b", script="let a = '</b>';")
    assert "script-src 'sha256-hNtrzPF+zEpItoyD04cZfIAGD6FvzfHclPLcowXIuuI='" in text


def test_a_name_is_never_obeyed_by_markdown():
    lines = report.markdown(document(EVIL)).splitlines()
    assert not [line for line in lines if line.startswith("- ")]
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + 3
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3}
    for line in lines:
        assert not re.search(r"(?<!\\)[<`$]|\]\(", line)


def test_a_name_is_never_obeyed_by_a_drawing():
    root = ElementTree.fromstring(report.svg(document(EVIL)))
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {
        "svg",
        "style",
        "g",
        "path",
        "defs",
        "use",
    } | {*("clipPath", "rect", "text", "tspan")}
    assert "$x^2$" in "".join(root.itertext())


def test_text_holds_everything_but_plots_and_details():
    table = Table("cap", ("a", "b"), (Span("group", title=True), ("x", "1"), ("y", Cell("22", "small")), Span("odd")))
    found = report.text(Document("title", "arg", Cell("done", mark="good"), (), (table,), ("why", "how")))
    assert found == "\n".join(
        [
            "title(arg)",
            "",
            "cap",
            "a   b",
            "-----",
            "",
            "group",
            "x   1",
            "y  22",
            "    odd",
            "",
            "done",
            "",
            "why",
            "how",
        ]
    )
    assert report.text(Document("")) == ""


def test_a_first_column_that_is_too_wide_gives_way():
    wide, short = "a name of many words " * 8, "short"
    table = Table("", ("function", "b", "c"), ((wide, "1" * 40, "2" * 40), (short, "3", "4")))
    lines = report.text(Document("", tables=(table,))).splitlines()
    assert max(map(len, lines)) <= 120
    assert lines[0].split() == ["function", "b", "c"]
    assert " ".join("".join(lines[2:4]).split()) == wide.strip()
    assert lines[4].split() == ["1" * 40, "2" * 40]
    assert lines[5].split() == [short, "3", "4"]
    assert len({len(line) for line in (lines[0], lines[4], lines[5])}) == 1


def test_columns_have_their_sides():
    table = Table("", ("a", "b"), (("x", "y"), ("long", "word")), "rl")
    assert report.text(Document("", tables=(table,))).splitlines()[2:] == ["   x  y", "long  word"]
    assert "|-----:|:-----|" in report.markdown(Document("", tables=(table,)))
    assert '<td class="left">y</td>' in report.html_table(table)


def test_a_table_without_rows():
    empty = Document("", tables=(Table("nothing", ("a", "b"), ()),))
    assert report.text(empty).splitlines() == ["nothing", "a  b", "----"]
    assert "| a" in report.markdown(empty)
    assert "<th>" in report.html(empty)


def test_plots_of_one_page_share_no_identifier_unless_they_are_the_same():
    page = Page(report.html(document()))
    identifiers = [value for name, value in page.attributes if name == "id"]
    assert len(identifiers) == len(set(identifiers)) > 0


def test_drawings_follow_light_and_dark():
    drawn = report.svg(document())
    assert "prefers-color-scheme:dark" in drawn and "var(--first)" in drawn and "var(--second)" in drawn
    body = drawn.split("</style>", 1)[1]
    assert not re.search(r"#[0-9a-f]{6}\b(?!\")", re.sub(r'(href="|url\()#\w+', "", body))
    assert "var(" not in report.in_light(body)
    assert report.svg(document()) == drawn
    assert report.png(document()).startswith(b"\x89PNG")


@pytest.mark.parametrize("factor", [1.001, 3.0, 1e3, 1e9])
def test_every_axis_has_ticks(factor):
    values = tuple(1e-5 * factor**i for i in range(3))
    panel = Panel("", "n", "", (line("a", *values), line("b", *values)))
    dots = Dots("", (Dot("a", *sorted([1 / factor, 1.0, factor])),))
    for plot in (panel, dots):
        drawn = report.svg(Document("", figures=(Figure("", (plot,)),)))
        ticks = [word for word in ElementTree.fromstring(drawn).itertext() if re.fullmatch(r"\d\S*", word)]
        assert 3 <= len(ticks) <= 14


def test_without_matplotlib_a_page_says_so_in_one_line_and_a_drawing_refuses(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert report.html(document()).count("pip install &#x27;jbackprop[plots]&#x27;") == 2
    for draw in (report.svg, report.png):
        with pytest.raises(ImportError, match=r"jbackprop\[plots\]"):
            draw(document())
    with pytest.raises(ImportError, match=r"jbackprop\[plots\]"):
        report.check_available()


FORMS = {".txt": lambda: "text", ".html": lambda: "page", ".png": lambda: b"\x89"}


@pytest.mark.parametrize(("name", "content"), [("a.txt", b"text"), ("a.b.HTML", b"page"), ("a.png", b"\x89")])
def test_a_file_is_what_its_suffix_says(tmp_path, name, content):
    report.save(tmp_path / name, FORMS)
    report.save(str(tmp_path / name), FORMS)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [content]


@pytest.mark.parametrize(
    ("name", "got"), [("a.foo", "'.foo'"), ("a", "'a'"), (".txt", "'.txt'"), ("a.txt.gz", "'.gz'")]
)
def test_another_suffix_is_refused(tmp_path, monkeypatch, name, got):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=rf"^save: path, wanted one of \.txt, \.html, \.png, got {re.escape(got)}$"):
        report.save(name, FORMS)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_made_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fails():
        raise RuntimeError("no content")

    with pytest.raises(RuntimeError, match="no content"):
        report.save(path, {".txt": fails})

    def full(self, data):
        with open(self, "wb") as file:
            file.write(data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match=r"save: path, cannot write '.*a\.txt': No space left on device$"):
        report.save(path, FORMS)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"save: path, cannot write .*none.a\.txt': No such file"):
        report.save(tmp_path / "none" / "a.txt", FORMS)
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(IsADirectoryError, match=r"save: path, cannot write .*folder\.txt': Is a directory"):
        report.save(tmp_path / "folder.txt", FORMS)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.txt"]


def test_a_file_is_read_up_to_a_bound(tmp_path):
    (tmp_path / "a.txt").write_text("δ")
    assert report.read(tmp_path / "a.txt", 1) == "δ"
    for path, most in ((tmp_path / "a.txt", 0), ("/dev/zero", 1000)):
        with pytest.raises(ValueError, match=f"read: path, wanted at most {most:,} characters, got more in"):
            report.read(path, most)


def test_a_pipe_is_written_and_stays_one(tmp_path):
    os.mkfifo(tmp_path / "a.txt")
    with open(os.open(tmp_path / "a.txt", os.O_RDONLY | os.O_NONBLOCK), "rb") as pipe:
        report.save(tmp_path / "a.txt", FORMS)
        assert pipe.read() == b"text"
    assert (tmp_path / "a.txt").is_fifo()


def test_what_a_process_has_open_is_written(tmp_path):
    with open(tmp_path / "a.txt", "w") as file:
        report.write(f"/dev/fd/{file.fileno()}", "text")
    assert (tmp_path / "a.txt").read_text() == "text"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    report.save(tmp_path / "link.txt", FORMS)
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real.txt").read_text() == "text"


def test_a_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain.txt").write_text("")
    report.save(tmp_path / "a.txt", FORMS)
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode


NUMBERS = [
    *(
        (report.number, x, words)
        for x, words in [(0, "0"), (-0.03201, "−0.03201"), (2.39, "2.39"), (123456, "1.235e+05")]
    ),
    *((report.number, x, words) for x, words in [(1e-9, "1e−09"), (float("nan"), "nan"), (float("-inf"), "−inf")]),
    *((report.superscript, n, words) for n, words in [(0, "⁰"), (12, "¹²"), (-3, "⁻³")]),
    *((report.size, x, words) for x, words in [(None, report.UNKNOWN), (0, "0 B"), (999, "999 B"), (1000, "1 kB")]),
    *((report.size, x, words) for x, words in [(1234567, "1.23 MB"), (12.5e9, "12.5 GB"), (999_950, "1.00 MB")]),
    *((report.count, x, words) for x, words in [(None, report.UNKNOWN), (7, "7"), (999.6, "1.00 k"), (2.5e16, "25 P")]),
    *(
        (report.seconds, x, words)
        for x, words in [(2.0, "2 s"), (0.0123, "12.3 ms"), (3e-5, "30 µs"), (1.5e-7, "0.15 µs")]
    ),
    *((report.seconds, x, words) for x, words in [(999.9e-6, "1.00 ms"), (100.0, "100 s"), (9.996e-6, "10.0 µs")]),
    *((report.share, x, words) for x, words in [(0.001, "0.1 %"), (0.5, "50 %"), (12, "12 times")]),
    *((report.ratio, x, words) for x, words in [(0.004, "0.00"), (1, "1.00"), (99.9, "99.90"), (99.999, "100")]),
]


@pytest.mark.parametrize(("write", "value", "words"), NUMBERS)
def test_numbers_at_each_magnitude(write, value, words):
    assert write(value) == words


def test_digits_and_spreads():
    assert report.number(0.76394, 3) == "0.764"
    assert report.seconds_spread(0.9e-4, 2e-3, 4.44e-3) == "2 (0.09–4.44) ms"
    assert report.ratio_spread(0.5, 1.0, 120.0) == "1.00 (0.50–120)"


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (jnp.float32(-2.5), "−2.5"),
        (jnp.array([True, False]), "[True, False]"),
        (jnp.array([[1.5], [2]], jnp.bfloat16), "[[1.5], [2]]"),
        (jnp.arange(-1, 9), "−1 … 8"),
        (jnp.array([1.0, jnp.nan] * 4), "4 NaN"),
        (jnp.zeros((0, 3)), "[]"),
        (jax.random.key(0), "random key"),
    ],
)
def test_arrays_in_brief(array, words):
    assert report.brief(array) == words


def test_arrays_written_out():
    assert report.written_out(jnp.arange(6.0).reshape(2, 3) / 7, 6).splitlines() == [
        "[[0.     0.1429 0.2857]",
        " [0.4286 0.5714 0.7143]]",
    ]
    for array, most in ((jnp.arange(6.0), 5), (jnp.float32(3), 5), (jax.random.key(0), 5)):
        assert report.written_out(array, most) == ""
