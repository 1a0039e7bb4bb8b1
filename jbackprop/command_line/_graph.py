"""`graph`: the computation graph of anyone's function, with the messages that go back through it."""

import argparse
from typing import Any

from jbackprop import graph, report

from ._files import check_writable
from ._functions import add_function, check_signature, function, the_arguments, whole_number
from ._usage import function_errors, usage_errors


def add_parser(subparsers: Any) -> None:
    """Adds the command to the result of `ArgumentParser.add_subparsers`."""
    parser = subparsers.add_parser("graph", help="draw a computation graph with its messages", description=__doc__)
    add_function(parser)
    parser.add_argument(
        "--html",
        "--out",
        dest="out",
        metavar="FILE",
        help="write a page, or by its suffix a picture (.svg, .png), instead of printing a table",
    )
    parser.add_argument("--unroll", action="store_true", help="write out scan, while and cond")
    parser.add_argument("--group", action="store_true", help="make one node of each call")
    parser.add_argument("--animate", action="store_true", help="let the picture (.svg) go through its steps by itself")
    parser.add_argument("--limit", type=whole_number(1, 10**6), default=graph.LIMIT, help="most nodes to draw")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints the table, or writes the page or picture."""
    check_writable(options.out)
    f, args = function(options.function), the_arguments(options)
    check_signature(f, args, options.function)
    with function_errors("draw", options.function), usage_errors("", NotImplementedError):
        back = graph.backpropagate(graph.trace(f, *args, unroll=options.unroll))
        back = graph.group(back) if options.group else back
    with usage_errors("", ValueError, ImportError, OSError):
        _show(back, options)
    return 0


def _show(back, options):
    if options.animate:
        report.save(options.out or "", {".svg": lambda: graph.animation(back, limit=options.limit)})
    elif options.out is None:
        print(back)
        return
    else:
        back.save(options.out, options.function, options.limit)
    print(f"wrote {options.out}")
