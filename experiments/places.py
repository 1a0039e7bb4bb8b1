"""Where the arrays of a training lie: on one device, or over several."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jbackprop import training

from .settings import Settings


class Place:
    """One device, or a mesh of several."""

    def __init__(self, mesh: Mesh | None, sharded: bool) -> None:
        self._mesh, self._sharded = mesh, sharded

    def state(self, state: training.State) -> training.State:
        """A state on every device, or spread over them."""
        if self._mesh is not None and self._sharded:
            return training.fully_sharded(state, self._mesh)
        return self.whole(state)

    def whole(self, tree: Any) -> Any:
        """Arrays whole on every device."""
        return tree if self._mesh is None else jax.device_put(tree, NamedSharding(self._mesh, PartitionSpec()))

    def batch(self, examples: Any) -> Any:
        """The examples spread over the devices, as many as these divide."""
        if self._mesh is None:
            return examples
        count = len(jax.tree.leaves(examples)[0]) // self._mesh.size * self._mesh.size
        spread = NamedSharding(self._mesh, PartitionSpec("data"))
        return jax.tree.map(lambda array: jax.device_put(array[:count], spread), examples)


@contextlib.contextmanager
def devices(settings: Settings) -> Iterator[Place]:
    """The place that the settings want, a context of its mesh."""
    if settings.devices == 1:
        yield Place(None, False)
        return
    mesh = jax.make_mesh((settings.devices,), ("data",), devices=jax.devices()[: settings.devices])
    with jax.set_mesh(mesh):
        yield Place(mesh, settings.sharded)
