"""Settings that hold for every test: eight simulated devices on the CPU, compilers in a hurry, and programs kept."""

import contextlib
import itertools
import os
from pathlib import Path

import jax
import pytest

# What a test compiles it runs a few times: most of the time would go into optimising it.
if jax.__version_info__ < (0, 11):
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_use_fusion_emitters=false"
jax.config.update("jax_disable_most_optimizations", True)

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)

# What was compiled once, by any version of JAX and in any clone, is read from here the next time.
PROGRAMS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jbackprop" / "programs"
PROGRAMS_BYTES = 2**30
jax.config.update("jax_compilation_cache_dir", str(PROGRAMS))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


# What the programs of a run cost: how many there were of each stage, and the seconds that it took.
STAGES = {
    f"/jax/core/compile/{event}_duration": stage
    for event, stage in {
        "jaxpr_trace": "traced",
        "jaxpr_to_mlir_module": "lowered",
        "backend_compile": "compiled or read",
    }.items()
}
COST = dict.fromkeys(STAGES.values(), (0, 0.0))


def count(event, duration_secs, **about):
    if event in STAGES:
        COST[STAGES[event]] = added(COST[STAGES[event]], (1, duration_secs))


def added(one, other):
    return tuple(a + b for a, b in zip(one, other, strict=True))


jax.monitoring.register_event_duration_secs_listener(count)


@pytest.fixture
def programs():
    """() -> how many programs were compiled so far, or read from where they are kept."""
    before = COST["compiled or read"]
    jax.jit(lambda x: x + 1)(0)
    assert COST["compiled or read"] != before  # so it is told of them
    return lambda: COST["compiled or read"][0]


def pytest_addoption(parser):
    parser.addoption("--whole-proof", action="store_true", help="every check of every case, on any version of JAX")


def pytest_testnodedown(node, error):
    """Adds what a worker's programs cost."""
    for stage, cost in getattr(node, "workeroutput", {}).get("cost", {}).items():
        COST[stage] = added(COST[stage], cost)


def pytest_terminal_summary(terminalreporter):
    stages = (f"{number} {stage} in {seconds:.0f} s" for stage, (number, seconds) in COST.items())
    terminalreporter.write_line(f"programs, of all workers: {', '.join(stages)}")


def pytest_sessionfinish(session):
    """Tells what a worker's programs cost; drops those that were not used for longest, once no worker needs them."""
    if hasattr(session.config, "workerinput"):
        session.config.workeroutput["cost"] = COST
    else:
        with contextlib.suppress(FileNotFoundError):  # there are none, or another run drops them
            drop_oldest(PROGRAMS, PROGRAMS_BYTES)


def drop_oldest(folder, most):
    """Deletes the files that were read longest ago, so that those which stay are no more bytes than `most`."""
    files = [(file, file.stat()) for file in folder.iterdir()]
    files.sort(key=lambda item: item[1].st_atime, reverse=True)
    totals = itertools.accumulate(stat.st_size for _, stat in files)
    for (file, _), total in zip(files, totals, strict=True):
        if total > most:
            file.unlink()
