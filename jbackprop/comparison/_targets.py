"""Compilation for accelerators that are not there, by their own compilers.

This tells memory, and that the program compiles; it tells no speed and no numbers, for nothing runs.  The compilers are
optional wheels: `libtpu` for a TPU, JAX's CUDA plug-in and `ptxas` for a GPU.
"""

import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jbackprop.functions import Differentiable, error_message

from ._data import CompiledFor
from ._programs import build, whole_gradient

_H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152 shared_memory_per_core: 233472
  shared_memory_per_block_optin: 232448 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535 memory_bandwidth: 3352320000000
  l2_cache_size: 52428800 clock_rate_ghz: 1.98 device_memory_size: 84942979072 cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536 registers_per_block_limit: 65536 thread_dim_limit_x: 1024 thread_dim_limit_y: 1024
  thread_dim_limit_z: 64 device_address_bits: 64 name: "NVIDIA H100 80GB HBM3" driver_version: "12.9.0"
  runtime_version: "12.9.0" compile_time_toolkit_version: "12.9.0" dnn_version: "9.10.0"
}
platform_name: "CUDA" dnn_version_info { major: 9 minor: 10 } device_description_str: "NVIDIA H100 80GB HBM3"
"""
"""The card as XLA's compiler sees it: NVIDIA's published figures for the H100 SXM, in XLA's GpuTargetConfig format."""


class _Target(NamedTuple):
    """Attributes:
    wheels: modules of which one must be there.
    topology: -> the description of the absent devices.
    """

    wheels: tuple[str, ...]
    topology: Callable[[], Any]


_QUIET = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # several processes may compile at once
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_LOG_DIR": "disabled",
    "TPU_STDERR_LOG_LEVEL": "3",
}
"""What libtpu would otherwise look for on the network, complain about and log."""


def _v5e():
    if jax.default_backend() != "tpu":
        os.environ.update(_QUIET | os.environ)
    return topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2")


def _h100():
    return topologies.get_topology_desc(platform="cuda", topology_name="h100", target_config=_H100, topology="1x1x1")


TARGETS = {
    "h100": _Target(("jax_cuda12_plugin", "jax_cuda13_plugin"), _h100),
    "v5e": _Target(("libtpu",), _v5e),
}
"""The accelerators that there is a compiler for, by name."""


def prepare_targets() -> None:
    """Has JAX run on the CPU where there is no accelerator, before it first looks for one.

    Installed but without its GPU, the CUDA plug-in fails to start, and then does not compile either.
    """
    devices = [path for name in ("nvidia[0-9]*", "accel[0-9]*") for path in Path("/dev").glob(name)]
    if not devices and not os.environ.get("JAX_PLATFORMS"):
        jax.config.update("jax_platforms", "cpu")


def compile_for(target: str, problem: Differentiable, outputs: Sequence[Any]) -> CompiledFor:
    """The whole gradient compiled for one chip of a target; where that fails, a note says why.

    Args:
      target: a key of `TARGETS`.
      problem: the gradient.
      outputs: of the forward pass, for their shapes.
    """
    if not any(map(importlib.util.find_spec, TARGETS[target].wheels)):
        wanted = " or ".join(TARGETS[target].wheels)
        return CompiledFor(target, None, f"its compiler is not installed ({wanted}): pip install 'jbackprop[targets]'")
    try:
        mesh = Mesh(np.array(TARGETS[target].topology().devices[:1]), ("device",))
        here = NamedSharding(mesh, PartitionSpec())
        with jax.set_mesh(mesh):
            _, program = build(whole_gradient(problem), _shapes(problem.leaves), _shapes(outputs), in_shardings=here)
    except (RuntimeError, ValueError, NotImplementedError) as error:
        hint = "" if os.environ.get("JAX_PLATFORMS") else "; where there is no accelerator, set JAX_PLATFORMS=cpu"
        return CompiledFor(target, None, f"does not compile: {error_message(error)}{hint}")
    return CompiledFor(target, program)


def _shapes(arrays):
    return [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays]
