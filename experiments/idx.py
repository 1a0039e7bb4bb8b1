"""The IDX files of MNIST and of the data sets that copy its form.

    00 00 | type (08 = bytes) | number of axes | their sizes, 4 bytes each, big-endian | the entries, row by row

Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", 1998.
"""

import contextlib
import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .errors import InputError

ENTRIES = 2**30
"""The most that a file may hold; the largest of the kind has half of that."""
GZIP = b"\x1f\x8b"


def read(folder: Path, name: str, axes: int) -> np.ndarray:
    """The array of bytes in the file `name` of a folder, or in `name`.gz.

    Raises:
      InputError: there is no such file, it is not whole, or it is not an IDX file of bytes with that many axes.
    """
    path = _found(folder, name)
    with _opened(path) as file:
        shape = _shape(path, axes, file.read(4 + 4 * axes))
        content = file.read(math.prod(shape) + 1)  # one more than there should be, and no more
    if len(content) != math.prod(shape):
        got = "more" if len(content) > math.prod(shape) else len(content)
        raise InputError(f"{path}: entries, wanted {math.prod(shape)} for shape {shape}, got {got}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _shape(path, axes, header):
    if header[:4] != bytes([0, 0, 8, axes]):
        raise InputError(f"{path}: magic number, wanted {bytes([0, 0, 8, axes]).hex()}, got {header[:4].hex()!r}")
    if len(header) < 4 + 4 * axes:
        raise InputError(f"{path}: header, wanted {4 + 4 * axes} bytes, got {len(header)}")
    shape = struct.unpack(f">{axes}I", header[4:])
    if not 1 <= math.prod(shape) <= ENTRIES:
        raise InputError(f"{path}: sizes, wanted 1 to {ENTRIES:,} entries, got {math.prod(shape):,} for shape {shape}")
    return shape


def _found(folder, name):
    if not folder.is_dir():
        raise InputError(f"--data-dir, wanted a folder, got {folder}, which is none")
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise InputError(f"--data-dir, wanted a file {name} or {name}.gz in {folder}, got neither")


@contextlib.contextmanager
def _opened(path) -> Iterator[BinaryIO | gzip.GzipFile]:
    """The file, unpacked as far as it is read."""
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
        file.seek(0)
        if not packed:
            yield file
            return
        try:
            with gzip.open(file) as unpacked:
                yield unpacked
        except (EOFError, OSError, zlib.error) as error:
            size = path.stat().st_size
            raise InputError(f"{path}: wanted a whole gzip file, got {size} bytes ({error})") from None
