"""Every rule of the table times every fault: who finds it?"""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
from tqdm import tqdm

from jbackprop.cases import CASES, FIRST_CASES

from .equivalence import equivalent, trials
from .faults import FAULTS
from .mutants import Rule, enlarged, main_output
from .tools import OTHERS, by_check

NO_FAULT = "none: the right rule"


@dataclasses.dataclass(frozen=True)
class Row:
    """One mutant, or one right rule, and what each tool said.

    Attributes:
      case: the rule that it was made of.
      fault: what was made wrong, or `NO_FAULT`.
      target: position of the argument whose gradient is wrong.
      equivalent: whether it is right after all.
      found: what each tool holds against it, "" for nothing.
      seconds: how long each tool took.
    """

    case: str
    fault: str
    target: int
    equivalent: bool
    found: dict[str, str]
    seconds: dict[str, float]


def run(output: str = "runs/detection", cases: Sequence[str] = (), workers: int = 2) -> list[Row]:
    """Tries every mutant that is not in the output folder yet; a run that was stopped goes on where it stood.

    Args:
      output: folder of `rows.jsonl`.
      cases: names of the cases to try, the first one of each rule unless given.
      workers: processes to run at a time; each takes one case.

    Raises:
      ValueError: there is no case of such a name.
    """
    names = [case.name for case in CASES]
    for name in cases:
        if name not in names:
            raise ValueError(f"detection: cases, wanted names among {', '.join(names)}, got {name!r}")
    path = Path(output) / "rows.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = read(path)
    done = {row.case for row in rows}
    todo = [name for name in cases or [case.name for case in FIRST_CASES] if name not in done]
    with path.open("a") as file, tqdm(total=len(todo), unit="rule", disable=not todo) as bar:
        for new in _tried(todo, workers):
            file.writelines(json.dumps(dataclasses.asdict(row), ensure_ascii=False) + "\n" for row in new)
            file.flush()
            rows += new
            bar.update()
            bar.set_postfix_str(new[0].case)
    return rows


def read(path: Path) -> list[Row]:
    """The rows of an earlier run."""
    return [Row(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def _tried(names, workers) -> Iterator[list[Row]]:
    if workers == 1:
        yield from map(rows_of, names)
        return
    spawn = multiprocessing.get_context("spawn")
    # A process of its own for each rule: what a process has compiled it never quite gives back.
    with _compilers_in_a_hurry(), ProcessPoolExecutor(workers, mp_context=spawn, max_tasks_per_child=1) as pool:
        for future in as_completed([pool.submit(rows_of, name) for name in names]):
            yield future.result()


@contextlib.contextmanager
def _compilers_in_a_hurry() -> Iterator[None]:
    """What the tools compile they run a few times, and most of it for every mutant of a rule: it is kept till the end.

    JAX reads this where a process starts.
    """
    flags = " --xla_cpu_use_fusion_emitters=false" if jax.__version_info__ < (0, 11) else ""
    with tempfile.TemporaryDirectory() as programs:
        settings = {
            "XLA_FLAGS": os.environ.get("XLA_FLAGS", "") + flags,
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            "JAX_COMPILATION_CACHE_DIR": programs,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        with mock.patch.dict(os.environ, settings):
            yield


def rows_of(name: str) -> list[Row]:
    """The right rule of a case and all its mutants, tried."""
    warnings.filterwarnings("ignore", "Explicitly requested dtype float64")  # the tools ask for it in float32 mode
    (case,) = [case for case in CASES if case.name == name]
    arguments = case.draw(jax.random.key(0))
    control = _row(name, NO_FAULT, 0, True, {tool: _timed(call, case.rule, arguments) for tool, call in _tools(())})
    rule = main_output(case.rule, arguments)
    rows = [control]
    for row in _mutants(name, rule, arguments):
        rows.append(row)
        if len(rows) % _MUTANTS_IN_MEMORY == 0:
            jax.clear_caches()
    return rows


_MUTANTS_IN_MEMORY = 8
"""So many mutants' compiled programs fit into a process's table of memory maps; with them JAX forgets its own."""


def _mutants(name: str, rule: Rule, arguments: Sequence[jax.Array]) -> Iterator[Row]:
    larger = enlarged(rule, arguments) or ()
    right, right_if_larger = trials(rule, arguments), trials(rule, larger) if larger else []
    for fault in FAULTS:
        given, wanted = (larger, right_if_larger) if fault.large else (arguments, right)
        for target, argument in enumerate(given):
            if jnp.issubdtype(argument.dtype, jnp.floating) and fault.applies(rule, given, target):
                same = equivalent(fault.make(rule, target), wanted)
                verdicts = {
                    tool: _timed(call, fault.make(rule, target), given) for tool, call in _tools(fault.found_by)
                }
                yield _row(name, fault.name, target, same, verdicts)


def _tools(first):
    """Every tool gets a mutant of its own: a fault may remember its calls."""
    return [("jb.check", lambda rule, arguments: by_check(rule, arguments, first)), *OTHERS.items()]


def _row(case, fault, target, same, verdicts):
    found = {tool: verdict for tool, (verdict, _) in verdicts.items()}
    seconds = {tool: round(seconds, 3) for tool, (_, seconds) in verdicts.items()}
    return Row(case, fault, target, same, found, seconds)


def _timed(tool, rule, arguments):
    start = time.perf_counter()
    return tool(rule, arguments), time.perf_counter() - start
