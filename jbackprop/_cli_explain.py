"""`explain PKG.MODULE:FUNCTION`: the computation graph of anyone's function."""

import argparse
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from . import graph
from ._arguments import parse_arguments


def add_parser(subparsers: Any) -> None:
    """Add the command to the result of `ArgumentParser.add_subparsers`."""
    parser = subparsers.add_parser(
        "explain",
        help="draw a function's computation graph with its messages",
        description="Trace a function to a scalar, backpropagate through its graph, and print the "
        "messages as a table or write them as a page or a picture.",
    )
    parser.add_argument("function", metavar="PKG.MODULE:FUNCTION", help="what to differentiate")
    parser.add_argument(
        "--args",
        nargs="*",
        default=[],
        metavar="ARG",
        help="its arguments: numbers, or specs such as f32[8,16] for random arrays",
    )
    parser.add_argument(
        "--html",
        "--out",
        dest="out",
        metavar="FILE",
        help="write a page, or by its suffix a picture (.svg, .png), instead of printing a table",
    )
    parser.add_argument("--unroll", action="store_true", help="write out scan, while and cond")
    parser.add_argument("--group", action="store_true", help="make one node of each call")
    parser.add_argument("--seed", type=int, default=0, help="of the random arrays (default 0)")
    parser.add_argument("--limit", type=int, default=graph.LIMIT, help="most nodes to draw")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Do what the options say.

    Raises:
      ValueError, TypeError, OSError, ImportError, NotImplementedError: each with one line that says
        what was wanted and what came.
    """
    f = load(options.function)
    args = parse_arguments(options.args, options.seed)
    _check_arguments(f, args)
    back = graph.backpropagate(graph.trace(f, *args, unroll=options.unroll))
    back = graph.group(back) if options.group else back
    if options.out is None:
        print(graph.table(back))
    else:
        graph.save(back, options.out, options.function, options.limit)
        print(f"wrote {options.out}")


def load(name: str) -> Callable[..., Any]:
    """The function of a name such as numpy.linalg:norm.

    Raises:
      ValueError: the name has another form, or there is no such module or function.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ValueError(f"explain: function, wanted PKG.MODULE:FUNCTION, got {name!r}")
    try:
        f = getattr(importlib.import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"explain: function, cannot find {name!r}: {error}") from error
    if not callable(f):
        raise ValueError(f"explain: function, wanted something to call, got {name!r} = {f!r}")
    return f


def _check_arguments(f: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        inspect.signature(f).bind(*args)
    except TypeError as error:
        name = getattr(f, "__name__", "function")
        raise TypeError(f"explain: --args for {name}{inspect.signature(f)}: {error}") from error
