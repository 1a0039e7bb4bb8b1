"""A run's checkpoints: its copies after so many steps, by orbax, whole or not there.

Orbax writes a checkpoint beside its place and renames it; a run that is killed while it writes leaves the one before.
Beside the arrays stands their digest, so that a file which was altered is not trained on.
"""

import contextlib
import dataclasses
import errno
import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from .errors import InputError

Copies = Mapping[str, Any]
"""Trees of arrays, by the names of the copies."""


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """The last few of a run, and the best.

    Attributes:
      folder: the run's.
      keep: how many of the last stay; 0 writes none.
    """

    folder: Path
    keep: int

    def save(self, step: int, copies: Copies) -> None:
        """Writes the copies after a step, and drops checkpoints that are too many."""
        if self.keep:
            self._write("checkpoints", self.keep, step, copies)

    def save_best(self, step: int, copies: Copies) -> None:
        """Writes the copies in the place of those that were best before."""
        if self.keep:
            self._write("best", 1, step, copies)

    def restored(self, like: Copies) -> tuple[int, Copies]:
        """The step and the copies of the last checkpoint; 0 and those given where there is none.

        Args:
          like: copies of the same network and optimizer.

        Raises:
          InputError: the checkpoint is broken, was altered, or is another network's.
        """
        return self._read("checkpoints", like) or (0, dict(like))

    def best(self, like: Copies) -> Copies | None:
        """The copies that were best, None where there are none; errors as of `restored`."""
        found = self._read("best", like)
        return None if found is None else found[1]

    def _write(self, name, most, step, copies):
        arrays = _arrays(copies)
        contents = ocp.args.Composite(arrays=ocp.args.StandardSave(arrays), about=ocp.args.JsonSave(_about(arrays)))
        with _manager(self.folder / name, most) as manager:
            if step not in manager.all_steps():
                try:
                    manager.save(step, args=contents)
                except ValueError as error:  # of what orbax writes by, on a full disk
                    raise _not_written(self.folder / name, error) from None

    def _read(self, name, like):
        place = self.folder / name
        if not place.is_dir():
            return None
        wanted = _arrays(like)
        contents = ocp.args.Composite(arrays=ocp.args.StandardRestore(wanted), about=ocp.args.JsonRestore())
        with _manager(place, None) as manager:
            step = manager.latest_step()
            if step is None:
                return None
            try:
                found = manager.restore(step, args=contents)
            except Exception as error:  # orbax and what it reads with have errors of many kinds
                raise InputError(f"checkpoint {place}/{step}, wanted one of this network, {_got(error)}") from None
        if found.about.get("arrays") != _kinds(wanted):
            raise InputError(f"checkpoint {place}/{step}, wanted one of this network, got arrays of other shapes")
        if found.about != _about(found.arrays):
            raise InputError(f"checkpoint {place}/{step}, wanted its arrays as they were written, got others")
        return step, _copies(found.arrays, like)


def _not_written(place, error):
    """An OSError with what the operating system has said, of which a ValueError tells the number."""
    number = re.search(r"os_error_code='(\d+)'", str(error))
    code = int(number[1]) if number else getattr(error, "errno", None) or errno.EIO
    return OSError(code, os.strerror(code), f"checkpoint {place}")


def _got(error):
    return f"got {type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"


@contextlib.contextmanager
def _manager(place, most) -> Iterator[Any]:
    """Orbax's, whose remarks are kept from the progress bar."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # which repeats an error that was raised already
    options = ocp.CheckpointManagerOptions(max_to_keep=most, enable_async_checkpointing=False)
    try:
        with ocp.CheckpointManager(place.absolute(), options=options) as manager:
            yield manager
    except OSError as error:
        raise _not_written(place, error) from None


def _arrays(copies):
    """The arrays in order, by number: nothing but numbers is written, and nothing of it is executed."""
    leaves = [leaf for _, copy in sorted(copies.items()) for leaf in jax.tree.leaves(copy)]
    return {str(i): np.asarray(_plain(leaf)) for i, leaf in enumerate(leaves)}


def _copies(arrays, like):
    """The copies of these arrays, each placed as the one that it is like."""
    names, found = sorted(like), iter(arrays[str(i)] for i in range(len(arrays)))
    return {name: jax.tree.map(lambda leaf: _placed(next(found), leaf), like[name]) for name in names}


def _placed(array, leaf):
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        array = jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf))
    return jax.device_put(array, leaf.sharding)


def _plain(leaf):
    return jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def _about(arrays):
    """Shapes, dtypes and digest."""
    digest = hashlib.sha256()
    for name in sorted(arrays, key=int):
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return {"arrays": _kinds(arrays), "sha256": digest.hexdigest()}


def _kinds(arrays):
    return [f"{arrays[name].dtype}{list(arrays[name].shape)}" for name in sorted(arrays, key=int)]
