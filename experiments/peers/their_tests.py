"""The peers' own tests, run as they are, with our rules in the place of their functions.

    python -m experiments.peers.their_tests --of optax SITE_PACKAGES/optax/losses/*_test.py

The files are those of the user's installed or unpacked packages (optax's wheel and Flax's source distribution hold
theirs), and hold `unittest` classes.  A rule stands in for the function of its own name, and for those that the first
lines of its docstring say it is "as"; not for one that it says it is "unlike".  A test is about a rule when it
calls what the rule stands in for, and not about us when it calls none of them, is skipped, or fails with their own
functions too.  `jax.custom_vjp` takes no forward mode; tests that ask for it are counted apart.
"""

import argparse
import functools
import importlib
import importlib.util
import inspect
import re
import sys
import unittest
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import jax

from jbackprop import rules

PEERS = {
    "jax": ("jax.nn",),
    "optax": ("optax", "optax.losses"),
    "flax": ("flax.linen", "flax.nnx"),
    "lax": ("jax.lax",),
}
_KINDS = "passed", "failed", "forward mode"
_NOT_US = "not about us"


class Outcome(NamedTuple):
    """What became of a test.

    Attributes:
      test: its class and name.
      kind: "passed", "failed", "forward mode" or "not about us".
      functions: the names of theirs that it called and we stood in for.
      why: the first line of what was raised, if it failed.
    """

    test: str
    kind: str
    functions: frozenset[str]
    why: str = ""


def names(rule: jax.custom_vjp, package: str) -> set[str]:
    """The names of the functions of a package that a rule says it can stand in for."""
    lines = first_lines(rule)
    same, other = (re.findall(rf"\b{word} `(\w+)\.[\w.]*?(\w+)`", lines) for word in ("as", "[Uu]nlike"))
    return ({rule.__name__} | {name for _, name in same}) - {name for of, name in other if of == package}


def first_lines(rule: jax.custom_vjp) -> str:
    """What a docstring says before its arguments."""
    return (inspect.getdoc(rule) or "").split("\n\nArgs:")[0].split("\n\nRaises:")[0]


def stand_ins(peer: str) -> dict[Callable, jax.custom_vjp]:
    """The rule that stands in for each of a peer's functions.

    Raises:
      ValueError: there is no such peer.
    """
    if peer not in PEERS:
        raise ValueError(f"their_tests: peer, wanted one of {', '.join(PEERS)}, got {peer!r}")
    modules = [importlib.import_module(name) for name in PEERS[peer]]
    ours = [rule for rule in vars(rules).values() if isinstance(rule, jax.custom_vjp)]
    return {
        getattr(module, name): rule
        for rule in ours
        for name in names(rule, _package(peer))
        for module in modules
        if callable(getattr(module, name, None))
    }


def _package(peer):
    return PEERS[peer][0].split(".")[0]


class Stage:
    """Stand-ins for a peer's functions, which note that they are called; `ours` says whose function answers."""

    def __init__(self, peer: str):
        self.ours, self.called = True, set()
        self.calls = {theirs: self._noting(theirs, rule) for theirs, rule in stand_ins(peer).items()}

    def _noting(self, theirs, rule):
        @functools.wraps(theirs)
        def call(*arguments, **keywords):
            self.called.add(theirs.__name__)
            return (rule if self.ours else theirs)(*arguments, **keywords)

        return call

    def outcome(self, test: unittest.TestCase) -> Outcome:
        """Runs a test with our functions, and if it fails with theirs."""
        found, functions = self._run(test, ours=True), frozenset(self.called)
        kind, why = _kind(found, functions)
        if kind == "failed" and not self._run(test, ours=False).wasSuccessful():
            kind = _NOT_US
        return Outcome(".".join(test.id().split(".")[-2:]), kind, functions, why)

    def _run(self, test, ours):
        jax.clear_caches()  # what was compiled before would not call us
        self.ours, result = ours, unittest.TestResult()
        self.called.clear()
        test.run(result)
        return result


@contextmanager
def staged(peer: str) -> Iterator[Stage]:
    """The stand-ins, in the peer's modules until it is left; ValueError if there is no such peer."""
    stage, package = Stage(peer), _package(peer)
    replaced = [
        (module, name, value)
        for path, module in list(sys.modules.items())
        if path.split(".")[0] == package
        for name, value in list(vars(module).items())
        if callable(value) and getattr(value, "__hash__", None) and value in stage.calls
    ]
    for module, name, theirs in replaced:
        setattr(module, name, stage.calls[theirs])
    try:
        yield stage
    finally:
        for module, name, theirs in replaced:
            setattr(module, name, theirs)


def _kind(result, functions):
    troubles = [text for _, text in result.errors + result.failures]
    if not functions or result.skipped:
        return _NOT_US, ""
    if not troubles:
        return "passed", ""
    forward = all("forward-mode" in text for text in troubles)
    return "forward mode" if forward else "failed", re.findall(
        r"^(?:\w+\.)*\w*(?:Error|Exception)\b.*", troubles[0], re.M
    )[-1]


def run(stage: Stage, files: Sequence[Path]) -> Iterator[Outcome]:
    """The outcome of each test in a peer's files; ValueError where a file is not there."""
    for file in files:
        for test in _tests(unittest.defaultTestLoader.loadTestsFromModule(_loaded(file))):
            yield stage.outcome(test)


def _loaded(file):
    spec = importlib.util.spec_from_file_location(f"theirs_{file.stem}", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise ValueError(f"their_tests: files, wanted Python files, got {file}")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _tests(suite):
    for test in suite:
        yield from _tests(test) if isinstance(test, unittest.TestSuite) else [test]


def table(peer: str, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """How many tests of each function passed, as a table in Markdown; a test of two functions is in both rows."""
    counts: dict[str, Counter] = {}
    for outcome in outcomes:
        for name in outcome.functions if outcome.kind in _KINDS else ():
            counts.setdefault(name, Counter())[outcome.kind] += 1
    total = Counter(outcome.kind for outcome in outcomes)
    yield f"| function of {peer} | {' | '.join(_KINDS)} |"
    yield "|---" * (1 + len(_KINDS)) + "|"
    for name, found in (*sorted(counts.items()), ("all, each test once", total)):
        yield f"| {name} | {' | '.join(str(found[kind]) for kind in _KINDS)} |"
    yield f"\n{total[_NOT_US]} other tests are not about us."


def main() -> None:
    """Reads the command line, runs the tests, and prints the table and what failed."""
    parser = argparse.ArgumentParser(prog="python -m experiments.peers.their_tests", description=__doc__)
    parser.add_argument("--of", choices=PEERS, required=True, help="whose tests they are")
    parser.add_argument("files", nargs="+", type=Path, help="their test files")
    options = parser.parse_args()
    sys.argv[1:] = []  # theirs read it too
    jax.config.update("jax_traceback_filtering", "off")
    try:
        with staged(options.of) as stage:
            outcomes = list(run(stage, options.files))
    except ValueError as error:
        parser.error(str(error))
    for line in table(options.of, outcomes):
        print(line)
    for outcome in outcomes:
        if outcome.kind == "failed":
            print(f"\n{outcome.test}: {outcome.why}")


if __name__ == "__main__":
    main()
