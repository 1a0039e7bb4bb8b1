"""One of several processes that train together, over loopback: `python two_processes.py address rank count folder`.

It writes where the training stands after each of four steps.  With DIE_AFTER set, the process of rank 1 ends after so
many steps; with RESUME_AFTER set, all go on from where that of rank 0 stood after so many.
"""

import os
import sys

import jax
import numpy as np
import optax

import jbackprop as jb
from jbackprop import layers, rules, training

STEPS = 4


def train(rank: int, folder: str) -> None:
    """Trains on every process's devices; the batch is spread over them, each process holds its rows."""
    mesh = jax.make_mesh((jax.device_count(),), ("data",))
    net, optimizer = layers.chain(layers.linear(6), layers.tanh(), layers.linear(3)), optax.adam(1e-2)
    params = jax.device_get(net.init(jax.random.key(0), (5,))[0])
    draw = np.random.default_rng(0)
    batch = draw.normal(size=(8, 5)).astype(np.float32), draw.integers(3, size=8)
    step = training.step(jb.backprop(net, rules.softmax_cross_entropy), optimizer)
    with jax.set_mesh(mesh):
        state = jax.jit(lambda params: training.init(params, optimizer))(params)
        first = int(os.environ.get("RESUME_AFTER", "0"))
        if first:
            with np.load(f"{folder}/0-{first - 1}.npz") as file:
                stood = jax.tree.unflatten(jax.tree.structure(_stands(state)), list(file.values()))
            state = jax.jit(lambda stood: state._replace(**stood))(stood)
        x, y = (_spread(array, mesh) for array in batch)
        for number in range(first, STEPS):
            if (rank, str(number)) == (1, os.environ.get("DIE_AFTER")):
                os._exit(9)
            state, metrics = step(state, x, y)
            training.check_finite(metrics)
            np.savez(f"{folder}/{rank}-{number}.npz", *map(np.asarray, jax.tree.leaves(_stands(state))))


def _stands(state):
    return {"params": state.params, "optimizer": state.optimizer, "step": state.step}


def _spread(array, mesh):
    place = jax.NamedSharding(mesh, jax.P("data"))
    return jax.make_array_from_callback(array.shape, place, lambda rows: array[rows])


if __name__ == "__main__":
    address, rank, count, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 2 // count)
    if count > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(address, count, rank, initialization_timeout=60, heartbeat_timeout_seconds=10)
    try:
        train(rank, folder)
    except Exception as error:
        print(f"rank {rank}: {type(error).__name__}: {str(error).strip().splitlines()[0]}", file=sys.stderr, flush=True)
        os._exit(3)
