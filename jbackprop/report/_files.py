"""Files that are read up to a bound, and written in full or not at all."""

import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path


def save(path: str | os.PathLike, forms: Mapping[str, Callable[[], str | bytes]]) -> None:
    """Writes the form that the path's suffix names.

    Args:
      path: the file.
      forms: from each suffix, such as ".html", to what makes the file's content.

    Raises:
      ValueError: another suffix; then nothing is made or written.
      OSError: the file cannot be written.
    """
    suffix = Path(path).suffix
    if suffix.lower() not in forms:
        raise ValueError(f"save: path, wanted one of {', '.join(forms)}, got {suffix or str(path)!r}")
    write(path, forms[suffix.lower()]())


CHARACTERS = 2**26
"""The most that a report may have."""


def read(path: str | os.PathLike, most: int = CHARACTERS) -> str:
    """The text of a file, in UTF-8, and no more of it than so many characters: a device may have no end.

    Raises:
      ValueError: the file has more, or is no text.
      OSError: it cannot be read.
    """
    with open(path, encoding="utf-8") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"read: path, wanted at most {most:,} characters, got more in {str(path)!r}")
    return content


def write(path: str | os.PathLike, content: str | bytes) -> None:
    """Writes a file, text in UTF-8, under another name in the same folder, and renames it once it is complete.

    A link stays, and what it leads to is written.  A pipe or a device is written to as it is, and never replaced.

    Raises:
      OSError: the file cannot be written; what was there before still is.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        _replace(Path(path), data)
    except OSError as error:
        raise type(error)(f"save: path, cannot write {str(path)!r}: {error.strerror}") from error


def _replace(path, data):
    if _is_special(path):
        path.write_bytes(data)
        return
    path = path.resolve()
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        complete = Path(scratch) / path.name
        complete.write_bytes(data)
        complete.replace(path)


def _is_special(path):
    """Whether it is no plain file that another may take the place of; a folder refuses to be written."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    of_a_process = path.absolute().parts[:2] in (("/", "dev"), ("/", "proc"))  # such as /dev/stdout
    return of_a_process or not stat.S_ISREG(mode)
