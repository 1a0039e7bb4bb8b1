"""Files to write, refused in words of the command line."""

import os
from pathlib import Path

from jbackprop import report

from ._usage import UsageError, usage_errors


def check_writable(path: str | None) -> None:
    """Refuses, before the long work, what could not be written after it."""
    if path is None:
        return
    with usage_errors("cannot write: ", OSError, ValueError):  # a name that is too long, a link to itself
        special = _is_there(path) and not Path(path).is_file()
        place = Path(path) if special else Path(path).resolve().parent
    if Path(path).is_dir() or not (special or place.is_dir()) or not os.access(place, os.W_OK):
        raise UsageError(f"cannot write {path}: give a file in a folder that exists and may be written")


def _is_there(path):
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def write(path: str, content: str | bytes) -> None:
    """Writes the file, in full or not at all."""
    with usage_errors("", OSError):
        report.write(path, content)
