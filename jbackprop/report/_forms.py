"""The forms that every document has."""

from collections.abc import Callable

from ._document import Document
from ._html import html
from ._markdown import markdown
from ._text import text


def forms(document: Document) -> dict[str, Callable[[], str | bytes]]:
    """From each suffix to what makes the content of such a file, for `save`."""
    return {
        ".txt": lambda: f"{text(document)}\n",
        ".md": lambda: markdown(document),
        ".html": lambda: html(document),
    }
