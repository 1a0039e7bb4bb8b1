"""`check`: proves a hand-written gradient."""

import argparse
import os
import statistics
import sys
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jbackprop.cases import CASES
from jbackprop.functions import DTYPES, full_dtype_name
from jbackprop.proof import CHECKS, QUICK, check, still_running

from ._functions import (
    add_arguments,
    check_choice,
    check_signature,
    function,
    the_arguments,
    the_function,
    the_reference,
)
from ._progress import track
from ._usage import function_errors

_NAMES = f"checks to run, of {', '.join(CHECKS)}"


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("check", help="prove a hand-written gradient", description=__doc__)
    add_arguments(parser)
    kinds = "check in each of these, all that the function takes unless given"
    parser.add_argument("--dtype", nargs="+", type=full_dtype_name, choices=DTYPES, help=kinds)
    parser.add_argument("--only", nargs="+", choices=CHECKS, metavar="CHECK", help=_NAMES)
    parser.add_argument("--skip", nargs="+", default=(), choices=CHECKS, metavar="CHECK", help="checks to leave out")
    parser.add_argument("--quick", action="store_true", help=f"in two types, and only {', '.join(QUICK)}")
    parser.add_argument("--domain", metavar="PKG.MODULE:FUNCTION", help="makes valid arguments of random ones")
    parser.add_argument("--tolerance", type=float, default=0.0, help="what the function's own solver leaves, relative")
    parser.add_argument("--time-limit", type=float, default=600.0, metavar="S", help="seconds a check may take, or 600")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Checks and prints; 1 where a check fails."""
    check_choice(options)
    work = _cases(options) if options.all else [_one(options)]
    reports = {name: _shown(name, prove, say) for (name, prove), say in track(work, lambda item: item[0])}
    if options.all:
        print(_summary(reports))
    status = 0 if all(report.passed for report in reports.values()) else 1
    if still_running():  # it would keep Python from ending in order
        sys.stdout.flush()
        os._exit(status)
    return status


def _shown(name, prove, say):
    with function_errors("check", name):
        report = prove(name=name, progress=say)
    print(f"{report}\n")
    return report


def _summary(reports):
    wrong = [name for name, report in reports.items() if not report.passed]
    longest = max(reports, key=lambda name: reports[name].seconds)
    median = statistics.median(report.seconds for report in reports.values())
    times = f"{median:.1f} s each in the median, at most {reports[longest].seconds:.1f} s ({longest})"
    return f"{len(reports)} functions, {len(wrong)} wrong{''.join(f', {name}' for name in wrong)}; {times}"


def _one(options) -> tuple[str, Any]:
    f, args = the_function(options), the_arguments(options)
    check_signature(f, args, options.function)
    return options.function, partial(_prove, options, f, *args, reference=the_reference(options), wrt=options.wrt)


def _cases(options) -> list[tuple[str, Any]]:
    return [(case.name, partial(_case, case, options)) for case in CASES]


def _case(case, options, **more):
    args = case.draw(jax.random.key(options.seed), jnp.float32)
    return _prove(options, case.rule, *args, reference=case.reference, **more)


def _prove(options, f, *args, **more):
    chosen = {"dtypes": options.dtype, "only": options.only, "skip": options.skip, "quick": options.quick}
    chosen |= {"tolerance": options.tolerance, "time_limit": options.time_limit}
    chosen["domain"] = function(options.domain) if options.domain else None
    return check(f, *args, **chosen, **more, seed=options.seed, raises=False)
