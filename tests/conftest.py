"""Settings that hold for every test: eight simulated devices on the CPU, compilers in a hurry, and programs kept."""

import contextlib
import itertools
import os
from pathlib import Path

import jax
import pytest

if jax.__version_info__ < (0, 11):
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_use_fusion_emitters=false"
jax.config.update("jax_num_cpu_devices", 8)
# A device that waits for the others keeps its thread.  With as many threads as devices, one that is at another of two
# independent collectives (a gather inside a scan, and one after it) leaves none for the first, and all wait forever.
os.environ.setdefault("PJRT_NPROC", "32")

# What a test compiles it runs a few times: most of the time would go into optimising it.  What was compiled once, by
# any version of JAX and in any clone, is read from where it is kept.
PROGRAMS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jbackprop" / "programs"
PROGRAMS_BYTES = 2**30
SETTINGS = {
    "jax_platforms": "cpu",
    "jax_disable_most_optimizations": True,
    "jax_compilation_cache_dir": str(PROGRAMS),
    "jax_persistent_cache_min_compile_time_secs": 0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}
for setting, value in SETTINGS.items():
    jax.config.update(setting, value)
    os.environ[setting.upper()] = str(value)  # so processes that a test starts compute the same, to the bit

# What the programs of a run cost: how many there were of each stage, and the seconds that it took.
STAGES = {
    f"/jax/core/compile/{event}_duration": stage
    for event, stage in {
        "jaxpr_trace": "traced",
        "jaxpr_to_mlir_module": "lowered",
        "backend_compile": "compiled or read",
    }.items()
}
COST = {}
"""(test function, stage) -> (number, seconds); "" stands for what is no test's own, such as the import of a file."""
RUNNING = [""]


def count(event, duration_secs, **about):
    if event in STAGES:
        add(COST, (RUNNING[-1], STAGES[event]), (1, duration_secs))


def add(costs, key, cost):
    costs[key] = tuple(map(sum, zip(costs.get(key, (0, 0.0)), cost, strict=True)))


def summed(place):
    """The costs of all that agree at one place of the key."""
    costs = {}
    for key, cost in COST.items():
        add(costs, key[place], cost)
    return costs


jax.monitoring.register_event_duration_secs_listener(count)


@pytest.fixture
def float64():
    """Numbers are of float64 unless somebody says otherwise; a file asks for it by `usefixtures`."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def programs():
    """() -> how many programs were compiled so far, or read from where they are kept."""
    before = summed(1).get("compiled or read")
    jax.jit(lambda x: x + 1)(0)
    assert summed(1)["compiled or read"] != before  # so it is told of them
    return lambda: summed(1)["compiled or read"][0]


def pytest_addoption(parser):
    parser.addoption("--whole-proof", action="store_true", help="every check of every case, on any version of JAX")
    parser.addoption("--not-again", action="store_true", help="leave out what one version of Python and JAX has proved")
    parser.addoption("--programs", type=int, default=0, metavar="N", help="name the tests whose programs cost most")


def pytest_collection_modifyitems(config, items):
    again = [item for item in items if config.getoption("--not-again") and item.get_closest_marker("once")]
    config.hook.pytest_deselected(items=again)
    items[:] = [item for item in items if item not in again]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    RUNNING.append(item.nodeid.partition("[")[0])
    result = yield
    RUNNING.pop()
    return result


def pytest_testnodedown(node, error):
    """Adds what a worker's programs cost."""
    for *key, number, seconds in getattr(node, "workeroutput", {}).get("cost", ()):
        add(COST, tuple(key), (number, seconds))


def pytest_terminal_summary(terminalreporter, config):
    stages = (f"{number} {stage} in {seconds:.0f} s" for stage, (number, seconds) in summed(1).items())
    terminalreporter.write_line(f"programs, of all workers: {', '.join(stages)}")
    dearest = sorted(summed(0).items(), key=lambda item: -item[1][1])
    for test, (_, seconds) in dearest[: config.getoption("--programs")]:
        numbers = (f"{COST.get((test, stage), (0,))[0]:6} {stage}" for stage in STAGES.values())
        terminalreporter.write_line(f"{seconds:7.1f} s, {', '.join(numbers)}: {test or 'no test'}")


def pytest_sessionfinish(session):
    """Tells what a worker's programs cost; drops those that were not used for longest, once no worker needs them."""
    if hasattr(session.config, "workerinput"):
        session.config.workeroutput["cost"] = [(*key, *cost) for key, cost in COST.items()]
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
