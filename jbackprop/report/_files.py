"""Files that are there in full or not at all."""

import os
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


def write(path: str | os.PathLike, content: str | bytes) -> None:
    """Writes a file, text in UTF-8, under another name in the same folder, and renames it once it is complete.

    Raises:
      OSError: the file cannot be written; what was there before still is.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        _replace(Path(path).resolve(), data)
    except OSError as error:
        raise type(error)(f"save: path, cannot write {str(path)!r}: {error.strerror}") from error


def _replace(path, data):
    if path.exists() and not path.is_file():  # a pipe, say, cannot be replaced; a folder refuses
        path.write_bytes(data)
        return
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        complete = Path(scratch) / path.name
        complete.write_bytes(data)
        complete.replace(path)
