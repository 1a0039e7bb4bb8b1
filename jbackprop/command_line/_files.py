"""Files to write, refused in words of the command line."""

import os
from pathlib import Path

from jbackprop import report

from ._usage import UsageError, usage_errors


def check_writable(path: str | None) -> None:
    """Refuses, before the long work, what could not be written after it."""
    if path is None:
        return
    folder = Path(path).absolute().parent
    if Path(path).is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write {path}: give a file in a folder that exists and may be written")


def write(path: str, content: str | bytes) -> None:
    """Writes the file, in full or not at all."""
    with usage_errors("", OSError):
        report.write(path, content)
