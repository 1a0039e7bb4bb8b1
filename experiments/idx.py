"""The IDX files of MNIST and of the data sets that copy its form.

    00 00 | type (08 = bytes) | number of axes | their sizes, 4 bytes each, big-endian | the entries, row by row

Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", 1998.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from .errors import InputError

GZIP = b"\x1f\x8b"


def read(folder: Path, name: str, axes: int) -> np.ndarray:
    """The array of bytes in the file `name` of a folder, or in `name`.gz.

    Raises:
      InputError: there is no such file, it is not whole, or it is not an IDX file of bytes with that many axes.
    """
    path = _found(folder, name)
    content = _unpacked(path)
    start = 4 + 4 * axes
    if content[:4] != bytes([0, 0, 8, axes]):
        raise InputError(f"{path}: magic number, wanted {bytes([0, 0, 8, axes]).hex()}, got {content[:4].hex()!r}")
    if len(content) < start:
        raise InputError(f"{path}: header, wanted {start} bytes, got {len(content)}")
    shape = struct.unpack(f">{axes}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise InputError(f"{path}: entries, wanted {math.prod(shape)} for shape {shape}, got {len(content) - start}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _found(folder, name):
    if not folder.is_dir():
        raise InputError(f"--data-dir, wanted a folder, got {folder}, which is none")
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise InputError(f"--data-dir, wanted a file {name} or {name}.gz in {folder}, got neither")


def _unpacked(path):
    content = path.read_bytes()
    if not content.startswith(GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: wanted a whole gzip file, got {len(content)} bytes ({error})") from None
