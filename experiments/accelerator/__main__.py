"""`python -m experiments.accelerator`: checks every case and measures every program on this machine's accelerator."""

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from jbackprop.cases import CASES
from jbackprop.report import forms, save, text

from . import ATTENTION, PROGRAMS, cases, check_all, document, measured, tiny

_SAMPLE_SECONDS = 0.1
"""So long a queue of calls is filled, as in training, where the next step is handed over while one runs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line, checks, measures, prints and saves; 1 if a case is wrong."""
    options = _parser().parse_args(arguments)
    start, names = time.monotonic(), [case.name for case in CASES if not options.only or case.rule_name in options.only]
    names += [name for name in ATTENTION if not options.only or "dot_product_attention" in options.only]
    checked = [] if options.skip_check else _checked(names, options)  # before this process takes the accelerator
    left_out: list[str] = []

    def figures(programs, seconds):
        """Of those that are asked for, as long as there is time."""
        found = {}
        for name, program in tqdm(_chosen(programs, options.only).items(), "measure", unit="program", disable=None):
            if time.monotonic() - start > options.budget:
                left_out.append(name)
            else:
                found[name] = tuple(measured(program(), options.rounds, seconds / (100 if options.tiny else 1)))
        return found

    programs = {name: partial(_program, name, options.tiny) for name in PROGRAMS}
    rows = {} if options.skip_cases else {name: partial(cases.program, name, options.tiny) for name in cases.ROWS}
    found = document(checked, figures(programs, _SAMPLE_SECONDS), figures(rows, _SAMPLE_SECONDS / 4), left_out)
    print(text(found))
    for file in options.save:
        save(file, forms(found))
    return int(any(each.fault for each in checked))


def _checked(names, options):
    found = check_all(names, options.processes, options.limit)
    return list(tqdm(found, "check", total=len(names), unit="case", disable=None))


def _chosen(programs, only):
    return {name: program for name, program in programs.items() if not only or name.split(",")[0] in only}


def _program(name, small):
    return tiny(PROGRAMS[name]) if small else PROGRAMS[name]


def _parser():
    parser = argparse.ArgumentParser(prog="python -m experiments.accelerator", description=__doc__)
    parser.add_argument("--only", nargs="*", default=(), help="rules to check and programs to measure, by name")
    parser.add_argument("--skip-check", action="store_true", help="measure alone")
    parser.add_argument("--skip-cases", action="store_true", help="measure no rule by itself, only the programs")
    parser.add_argument("--tiny", action="store_true", help="at small sizes, for a CPU")
    parser.add_argument("--rounds", type=int, default=9, help="how often each way is timed")
    parser.add_argument("--processes", type=int, default=12, help="how many check at once")
    parser.add_argument(
        "--limit", type=float, default=300, help="seconds without a result after which checks are given up"
    )
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds after which no program is begun")
    parser.add_argument(
        "--save", type=Path, nargs="*", default=(), help="files, such as build/accelerator.html and .md"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
