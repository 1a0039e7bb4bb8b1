"""Files that are there in full or not at all."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from ._usage import UsageError, usage_errors


def check_writable(path: str | None) -> None:
    """Refuses, before the long work, what could not be written after it."""
    if path is None:
        return
    folder = Path(path).absolute().parent
    if Path(path).is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write {path}: give a file in a folder that exists and may be written")


def write(path: str, write_to: Callable[[str], object]) -> None:
    """Has the file written under another name in the same folder, and renames it once it is complete."""
    folder = Path(path).absolute().parent
    with usage_errors(f"cannot write {path}: ", OSError), tempfile.TemporaryDirectory(dir=folder) as scratch:
        complete = os.path.join(scratch, Path(path).name)
        write_to(complete)
        os.replace(complete, path)


def write_text(path: str, text: str) -> None:
    """Writes a text file in UTF-8."""
    write(path, lambda complete: Path(complete).write_text(text, encoding="utf-8"))
