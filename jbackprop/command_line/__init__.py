"""The command line: `python -m jbackprop check|compare|explain|graph PKG.MODULE:FUNCTION ...`.

One module for each subcommand, with `add_parser(subparsers)` and `run(options) -> exit status`.

Exit status: 0 the gradients agree, 1 they do not, 2 the input cannot be used, 3 the function itself raises, 130 it was
interrupted by Ctrl-C; for 2 and 3 with one line on stderr, which says what to type instead, or what was raised.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from .._interrupted import INTERRUPTED
from . import _check, _compare, _explain, _graph
from ._usage import FunctionError, UsageError

RAISED = 3
"""The exit status where the function itself raises."""

_SUBCOMMANDS = (_check, _compare, _explain, _graph)


def main(arguments: Sequence[str]) -> int:
    """Runs a command line and returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except UsageError as error:
        return _fail(2, error)
    except FunctionError as error:
        return _fail(RAISED, error)
    except KeyboardInterrupt:
        return INTERRUPTED


def _fail(status, error):
    print(f"jbackprop: {error}", file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser():
    about = "Prove and measure hand-written gradients."
    parser = _Parser(prog="python -m jbackprop", description=about, epilog=__doc__.rpartition("\n\n")[2])
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for subcommand in _SUBCOMMANDS:
        subcommand.add_parser(subparsers)
    return parser
