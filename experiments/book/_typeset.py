"""A text with formulas in the plain notation, as HTML: blocks of equations as tables, formulas within a line in place.

A block is indented, or has columns that three blanks or more set apart.  What begins below the same letter stands in
one column.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from html import escape

from jbackprop import rules

from ._mathml import FUNCTIONS, NAMES, is_word, mathml

_STRONG = re.compile(r"[∂Σδσ√⊙∈ᵀ⁻⁰¹²³ˡᴸᶻ₀₁₂₃ρμεγβαλθφωκτπζηΦηΔ̂]|[A-Za-z]_[a-z{(]|\^|[a-zA-Z]'(?!\w)")
_RELATION = re.compile(r"^[=≤≥<>≈∝→↦≠+−·⊙∈/∗]$")
_APPLIED = re.compile(r"\w[\[(].|^[\w½]/[\w(]\w?")
_WEAK = re.compile(r"^[(\[|‖−]*(?:[^\W\d_]|\d+|½|d[a-zA-Zθ]|∞|…)[)\]|‖]*$")
_CODE = re.compile(r"[a-z]{2,}_[a-z]{3,}(?:_[a-z]+)*|[a-z]_[a-z]{4,}")
_MARKS = re.compile(r"(`[^`]+`|\[[^\]]+\]\([^)\s]+\)|\*\*[^*]+\*\*|\$[^$]+\$)")
_LOOSE = re.compile(r"[\"⁻]$|∂$|'s$|^[\"⁻]")
"""What begins or ends in the middle of something."""
_APPLIED_NAME = re.compile(rf"\b(?:{'|'.join(sorted(FUNCTIONS))})\(")
_BRACKETS = ("()", "[]", "{}", "⟨⟩")
_CITATION = re.compile(r"^[A-Z]\.(-[A-Z]\.)? ")
_SHORT = 24
"""Signs of a formula that is not torn from the stop after it, and of words in a cell that need not stay on one line."""
Number = Callable[[], str]


def docstring(text: str, number: Number | None = None) -> str:
    """A docstring as HTML: its paragraphs, its blocks of equations, its sources in small print."""
    return "\n".join(_block(paragraph, number) for paragraph in paragraphs(inspect.cleandoc(text)))


def paragraphs(text: str) -> Iterator[str]:
    """What blank lines set apart."""
    yield from (part for part in re.split(r"\n\s*\n", text) if part.strip())


def is_equations(paragraph: str) -> bool:
    """Whether a paragraph is set off as equations: it is indented, or in columns."""
    if ">>>" in paragraph:
        return False
    return paragraph.startswith("    ") or bool(re.search(r"\S {3,}\S", paragraph))


def equations(block: str, number: Number | None = None) -> str:
    """A block of equations as a table, with its number to link to."""
    lines = [line.rstrip() for line in block.splitlines() if line.strip()]
    rows = [_cells(line) for line in lines]
    columns = sorted({start for row in rows for start, _ in row})
    drawn = "".join(_row(row, columns) for row in rows)
    label = number() if number else ""
    anchor = f'<a class="number" id="eq-{label}" href="#eq-{label}">({label})</a>' if label else ""
    return f'<div class="equations"><div class="wide"><table>{drawn}</table></div>{anchor}</div>'


def inline(text: str, alone: bool = False) -> str:
    """A line of text with its formulas typeset and its `code` as such.

    Args:
      alone: whether single letters are formulas too, the article a as well, as in a column of names.
    """
    return "".join(_marked(part, alone) for part in _MARKS.split(text))


def prose(text: str) -> str:
    """A text about code, in which only what is surely a formula, and a whole one, is typeset."""
    return _mixed(text, alone=False, whole=True)


def _marked(part, alone):
    """`Code`, a [link](address), what is **strong**, $a formula$, or a text with some."""
    if part.startswith("$"):
        return mathml(part[1:-1])
    if part.startswith("`"):
        return f"<code>{escape(part[1:-1])}</code>"
    if part.startswith("**"):
        return f"<strong>{inline(part[2:-2], alone)}</strong>"
    if link := re.fullmatch(r"\[([^\]]+)\]\(([^)]+)\)", part):
        return f'<a href="{escape(link[2])}">{inline(link[1])}</a>'
    return _mixed(part, alone)


def _block(paragraph, number):
    if re.match(r"\s*\w+\(rules\.", paragraph):
        return f"<pre>{escape(paragraph.strip())}</pre>"
    if is_equations(paragraph):
        return equations(paragraph, number)
    if ">>>" in paragraph:
        return f"<pre>{escape(paragraph)}</pre>"
    if _CITATION.match(paragraph):
        return f'<p class="source">{escape(paragraph)}</p>'
    return f"<p>{inline(' '.join(paragraph.split()))}</p>"


def _cells(line):
    """The parts of a line with the places at which they begin."""
    return [(match.start(), match[0]) for match in re.finditer(r"\S+(?: {1,2}\S+)*", line)]


def _row(row: Sequence[tuple[int, str]], columns: Sequence[int]) -> str:
    """The cells of a line; each reaches to where the next one begins."""
    places = [columns.index(start) for start, _ in row]
    ends = [*places[1:], len(columns)]
    first = f'<td colspan="{places[0]}" class="empty"></td>' if places[0] else ""
    cells = zip(row, places, ends, strict=True)
    return f"<tr>{first}{''.join(_cell(text, end - place) for (_, text), place, end in cells)}</tr>"


def _cell(text, span):
    wide, drawn = f' colspan="{span}"' if span > 1 else "", _formula(text)
    words = ' class="words"' if len(re.sub(r"<math.*?</math>|<[^>]+>", "", drawn)) > _SHORT else ""
    return f"<td{wide}{words}>{drawn}</td>"


def _formula(text):
    """A cell: a formula where no word of English is in it."""
    if "`" not in text and _CODE.search(text):
        return inline(_CODE.sub(r"`\g<0>`", text), alone=True)
    if text.isalpha() and hasattr(rules, text):
        return f"<code>{text}</code>"
    words = re.findall(r"(?<![_A-Za-z{])[A-Za-z]{2,}(?![A-Za-z_])", re.sub(r"_\{[^}]*\}", "", text))
    if "`" in text or any(map(is_word, words)):
        return inline(text, alone=True)
    return mathml(text, block=True)


def _mixed(text, alone, whole=False):
    """Runs of words that are signs of a formula become one; the others stay."""
    pieces: list[str] = []
    run: list[str] = []
    words = re.findall(r"(?:\{[^}]*\}|1\[[^\]]{1,9}\]|[^ ])+| +", text)
    for at, word in enumerate(words):
        article = word.lstrip("(") in ("a", "A") and _is_article(words[at + 2 : at + 5 : 2], run)
        if word.strip() == "":
            (run if run else pieces).append(word)
        elif _is_sign(word) and not article:
            run.append(word)
            if word[-1] in ",;.:" and not (whole and word[-1] == "," and not _is_closed("".join(run))):
                pieces.append(_typeset(run, alone, whole))
                run = []
        else:
            pieces += [_typeset(run, alone, whole), escape(word)]
            run = []
    return "".join([*pieces, _typeset(run, alone, whole)])


def _is_article(after, run):
    """Whether an a is no name: nothing relates it to what stands before it, or after it and one letter more."""
    after = after if after[:1] and len(after[0]) == 1 else after[:1]
    related = [word for word in (*after, *run[-2:-1]) if _RELATION.match(word)]
    return not related and bool(after)


def _is_sign(word):
    bare = word.rstrip(",;.:")
    letters = re.findall(r"(?<![_A-Za-z{^])[A-Za-z]{2,}", re.sub(r"[_^]\{[^}]*\}", "", bare))
    if any(is_word(letter) for letter in letters) or re.search(r"[A-Za-z]'s|\w’", bare):
        return False
    if bare in FUNCTIONS | NAMES:
        return bare in ("log", "tanh", "max", "mean", "exp")
    return bool(
        _STRONG.search(bare)
        or _RELATION.match(bare)
        or _WEAK.match(bare)
        or re.search(r"\w[\[(].|^[\w½]/[\w(]\w?", bare)
    )


def _typeset(run, alone, whole):
    """A run as a formula, with the stops after it and what opens before it left outside."""
    text = "".join(run)
    before, core = "", text.rstrip()
    without = core.rstrip(",;.:")
    core, after = without, core[len(without) :] + text[len(core) :]
    if core.endswith(")") and core.count(")") > core.count("("):
        core, after = core[:-1], f"){after}"
    if core.startswith("(") and core.count("(") > core.count(")"):
        core, before = core[1:], f"{before}("
    if not core or (core in ("a", "A", "I") and not alone) or core.isdigit() or _is_plain(core):
        return escape(text)
    if whole and not _is_whole(core):
        return escape(text)
    drawn = f"{escape(before)}{mathml(core)}{escape(after)}"
    return (
        f'<span class="together">{drawn}</span>' if (after.strip() or before.strip()) and len(core) < _SHORT else drawn
    )


def _is_plain(core):
    """Signs that are no formula: a lone dash or a function's name."""
    return core in FUNCTIONS or not re.search(r"[\w∂∞½]", core)


def _is_whole(core):
    """Whether a formula has a sign that no word has, closes its brackets, and neither begins nor ends in the middle."""
    first, *_, last = words = core.split() * 2
    if _CODE.search(core) or _LOOSE.search(core) or not _is_closed(core):
        return False
    dangles = _RELATION.match(first) or _RELATION.match(last) or last in FUNCTIONS or last.startswith("Σ")
    return (
        len(core) > 1
        and not dangles
        and bool(_STRONG.search(core) or _APPLIED_NAME.search(core) or any(map(_RELATION.match, words)))
    )


def _is_closed(text):
    return all(text.count(opening) == text.count(closing) for opening, closing in _BRACKETS)
