"""What the figures are measured on, and arrays there."""

import os
import platform
from pathlib import Path
from typing import Any

import jax

from jbackprop.functions import is_array


def device_label() -> str:
    """The default device: "gpu NVIDIA H100 80GB HBM3", or "cpu" with the processor and how many cores there are."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        return f"{device.platform} {device.device_kind}"
    return f"cpu {_processor()}, {len(os.sched_getaffinity(0)) if _has_affinity() else os.cpu_count()} cores"


def _has_affinity():
    return hasattr(os, "sched_getaffinity")


def _processor():
    """The processor's name as the kernel tells it, or else its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def on_device(tree: Any, device: jax.Device | None = None) -> Any:
    """Every array on a device, the default one unless given.  Options stay."""
    return jax.tree.map(lambda x: jax.device_put(x, device) if is_array(x) else x, tree)
