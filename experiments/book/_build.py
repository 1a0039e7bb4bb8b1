"""The book as one page: contents, chapters, nothing that is loaded from anywhere."""

from html import escape
from pathlib import Path

from jbackprop import report

from ._chapters import Chapter, chapters, colours

TITLE = "Backpropagation, from one neuron to attention"


def page(pages: dict[str, str]) -> str:
    """The book, its examples run.

    Args:
      pages: the other pages beside it, each one's file name with its title.
    """
    written = chapters()
    style = f"{colours()}\n{style_sheet()}"
    drawn = "\n".join(chapter.html() for chapter in written)
    body = f'<div class="book">{_contents(written, pages)}<main>{drawn}</main></div>'
    return report.page(TITLE, body, style)


def style_sheet() -> str:
    """What the book needs besides the style of a report."""
    folder = Path(__file__).parent
    files = (folder.parent / "docs_theme" / "formulas.css", folder / "_style.css")
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def _contents(written: list[Chapter], pages: dict[str, str]) -> str:
    inside = "".join(f'<li><a href="#{chapter.anchor}">{escape(chapter.title)}</a></li>' for chapter in written)
    beside = "".join(f'<li><a href="{name}">{escape(title)}</a></li>' for name, title in pages.items())
    return (
        f'<nav aria-label="Contents"><details open><summary>Contents</summary><ol>{inside}</ol>'
        f"<p>Besides</p><ul>{beside}</ul></details></nav>"
    )
