"""Every case through `jb.check`, and cuDNN's attention, in several processes that share the accelerator."""

import multiprocessing
import os
import queue
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple


class Checked(NamedTuple):
    """What a case came to.

    Attributes:
      name: of the case.
      fault: the first one, "" for none.
      missing: why it could not be tried here, "" where it was.
    """

    name: str
    fault: str = ""
    missing: str = ""


def check_all(names: Sequence[str], processes: int, limit: float) -> Iterator[Checked]:
    """Each case as it is through; those that take longer than `limit` seconds since the last one are given up.

    Args:
      names: of cases, or of `ATTENTION`.
      processes: how many at once.
      limit: in seconds.
    """
    context = multiprocessing.get_context("spawn")
    tasks, results = context.Queue(), context.Queue()
    for name in names:
        tasks.put(name)
    workers = [context.Process(target=_work, args=(tasks, results), daemon=True) for _ in range(processes)]
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    for worker in workers:
        worker.start()
    waiting = set(names)
    try:
        while waiting:
            checked = results.get(timeout=limit)
            waiting.discard(checked.name)
            yield checked
    except queue.Empty:
        yield from (Checked(name, f"not through after {limit:g} s") for name in names if name in waiting)
    finally:
        for worker in workers:
            worker.terminate()


def _work(tasks: Any, results: Any) -> None:
    while True:
        try:
            name = tasks.get(timeout=1)
        except queue.Empty:
            return
        results.put(_checked(name))


def _checked(name):
    from .backends import ATTENTION, attention_fault

    if name not in ATTENTION:
        return Checked(name, _fault(name))
    try:
        return Checked(name, attention_fault(name))
    except ValueError as error:  # no such kernels on this device, or for this option
        return Checked(name, missing=str(error))


def _fault(name):
    import jax

    import jbackprop as jb
    from jbackprop.cases import CASES

    (case,) = (case for case in CASES if case.name == name)
    try:
        jb.check(case.rule, *case.draw(jax.random.key(0)), reference=case.reference)
    except Exception as error:  # a fault, or a platform that cannot run the case at all
        return f"{type(error).__name__}: {error}"
    return ""
