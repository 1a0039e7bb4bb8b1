"""`explain`: every value and gradient of a network by hand, and beside it the automatic one."""

import argparse
from typing import Any, get_args

import jax

from jbackprop.layers import Layer
from jbackprop.table import Order, explain

from ._files import check_writable
from ._functions import function, named_object, parsed, seed
from ._usage import UsageError, function_errors, usage_errors


def add_parser(subparsers: Any) -> None:
    """Adds the command to the result of `ArgumentParser.add_subparsers`."""
    parser = subparsers.add_parser("explain", help="a network's backward pass as a table", description=__doc__)
    parser.add_argument("network", metavar="PKG.MODULE:NETWORK", help="a layer, or a function that makes one")
    parser.add_argument(
        "--loss", metavar="PKG.MODULE:FUNCTION", default="jbackprop.rules:softmax_cross_entropy", help="the loss"
    )
    parser.add_argument("--args", nargs=2, required=True, metavar=("X", "Y"), help='such as "f32[8,64]" "i32[8]<10"')
    parser.add_argument(
        "--order",
        choices=get_args(Order),
        default="layers",
        help="each layer's rows together, or forward and then backward as they are computed",
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the parameters and the random arguments")
    parser.add_argument("--save", metavar="FILE", help="write the table in the form that its suffix names")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints or saves the table; 1 where a row differs from its automatic value."""
    check_writable(options.save)
    net, loss = _network(options.network), function(options.loss)
    x, y = parsed(options.args, options.seed)
    if not isinstance(x, jax.Array):
        raise UsageError(f'--args, wanted an array for X, as in "f32[8,64]", got {options.args[0]}')
    with function_errors("explain", options.network):
        params, _ = net.init(jax.random.key(options.seed), x.shape[1:])
        table = explain(net, loss, options.order)(params, x, y)
    if options.save is None:
        print(table)
    else:
        with usage_errors("", ValueError, OSError):
            table.save(options.save)
        print(f"wrote {options.save}")
    return 0 if table.first_difference is None else 1


def _network(path):
    found = named_object(path)
    with function_errors("call", path):
        net = found() if callable(found) and not isinstance(found, Layer) else found
    if not isinstance(net, Layer):
        raise UsageError(f"network {path!r}, wanted a layer or a function that makes one, got {type(net).__name__}")
    return net
