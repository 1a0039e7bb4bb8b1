"""Parameters and optimizer state spread over the devices of a mesh.

    every device holds 1/n of each array        p ← all-gather for the two passes,  ∂C/∂p → reduce-scatter

S. Rajbhandari, J. Rasley, O. Ruwase, Y. He, "ZeRO: memory optimizations toward training trillion parameter models",
SC, 2020.
"""

from typing import TypeVar

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jbackprop.layers import Params
from jbackprop.rules import layout

Tree = TypeVar("Tree")


def fully_sharded(tree: Tree, mesh: Mesh) -> Tree:
    """The tree with each array spread over all devices of a mesh, along the longest axis that they divide.

    What they divide nowhere, such as a number, every device holds whole.  `step` and `epoch` keep a state as it lies:
    on a mesh of explicit axes, `jax.make_mesh`'s default, parameters are put together for the two passes alone.

    Where one machine's processor plays several devices, give JAX more threads than devices (`PJRT_NPROC=32` in the
    environment, before JAX starts): it may otherwise wait forever, and abort, when two collectives overlap.

    Args:
      tree: such as a `State`.
      mesh: of devices.

    Example: eight devices that share the parameters, the optimizer's state and the batch.

      >>> import jax, jax.numpy as jnp, optax
      >>> import jbackprop as jb
      >>> from jbackprop import layers, rules, training
      >>> mesh = jax.make_mesh((jax.device_count(),), ("data",))
      >>> net = layers.chain(layers.linear(64), layers.tanh(), layers.linear(8))
      >>> state = training.init(net.init(jax.random.key(0), (16,))[0], optax.adam(1e-3))
      >>> state = training.fully_sharded(state, mesh)
      >>> x, y = jax.device_put((jnp.ones((32, 16)), jnp.zeros(32, int)), jax.NamedSharding(mesh, jax.P("data")))
      >>> step = training.step(jb.backprop(net, rules.softmax_cross_entropy), optax.adam(1e-3))
      >>> with jax.set_mesh(mesh):
      ...     state, metrics = step(state, x, y)
    """
    return jax.tree.map(lambda array: jax.device_put(array, NamedSharding(mesh, _spec(array.shape, mesh))), tree)


def _spec(shape, mesh):
    """The longest axis over all of the mesh."""
    dividing = [axis for axis, size in enumerate(shape) if size % mesh.size == 0]
    if not dividing:
        return PartitionSpec()
    axis = max(dividing, key=lambda axis: shape[axis])
    return PartitionSpec(*[None] * axis, mesh.axis_names)


def put_together(params: Params) -> Params:
    """The parameters, those that are spread over explicit axes whole on every device."""
    return jax.tree.map(_whole, params)


def taken(array: jax.Array, rows: jax.Array) -> jax.Array:
    """Some rows of an array; where its rows are spread over explicit axes, theirs are too."""
    if not any(layout(array)):
        return array[rows]
    return array.at[rows].get(out_sharding=jax.typeof(array).sharding)


def _whole(array):
    if not any(layout(array)):
        return array
    mesh = jax.typeof(array).sharding.mesh
    return jax.sharding.reshard(array, NamedSharding(mesh, PartitionSpec(*[None] * array.ndim)))
