"""From words to functions and their arguments."""

import argparse
import contextlib
import difflib
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

from jbackprop.functions import SEEDS, parse_arguments, parse_option

from ._usage import UsageError, usage_errors


def add_function(parser: argparse.ArgumentParser, **optional: Any) -> None:
    """A function and its arguments."""
    parser.add_argument("function", metavar="PKG.MODULE:FUNCTION", help="such as jax.nn:gelu", **optional)
    parser.add_argument(
        "--args", nargs="+", default=[], metavar="SPEC", help='such as "f32[8,16]" "i32[8]<10" "bool[3]" key 5.0'
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the random arguments")


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """What reads a whole number in a range off the command line."""

    def read(word):
        with contextlib.suppress(ValueError):  # no number, or one of thousands of digits
            if least <= int(word) <= most:
                return int(word)
        raise argparse.ArgumentTypeError(f"wanted {least} to {most:,}, got {word}")

    return read


seed = whole_number(0, SEEDS - 1)
"""Reads a seed off the command line."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to differentiate: a function, how and by what, or all rules of the library."""
    add_function(parser, nargs="?")
    parser.add_argument("--options", nargs="+", default=[], metavar="NAME=VALUE", help="static options of the function")
    parser.add_argument("--reference", metavar="PKG.MODULE:FUNCTION", help="an independent implementation")
    parser.add_argument(
        "--wrt", nargs="+", type=_position, metavar="ARGUMENT", help="which to differentiate, by position or name"
    )
    parser.add_argument("--all", action="store_true", help="every rule of jbackprop instead of one function")


def check_choice(options: argparse.Namespace) -> None:
    """Either a function or --all."""
    if options.all and (options.function or options.args or options.options or options.reference or options.wrt):
        raise UsageError("--all takes no function, --args, --options, --reference or --wrt: leave them out")
    if not options.all and not options.function:
        raise UsageError("which function? type PKG.MODULE:FUNCTION --args SPEC ..., or --all")
    if not options.all and not options.args:
        raise UsageError(f'which arguments? add --args, as in {options.function} --args "f32[8,16]"')


def the_function(options: argparse.Namespace) -> Callable:
    """The function with its static options."""
    return with_options(function(options.function), options.options)


def the_reference(options: argparse.Namespace) -> Callable | None:
    """The reference with the same static options, if there is one."""
    return with_options(function(options.reference), options.options) if options.reference else None


def the_arguments(options: argparse.Namespace, size: int | None = None) -> tuple[Any, ...]:
    """The values of --args."""
    return parsed(options.args, options.seed, size)


def check_signature(f: Callable, args: Sequence[Any], path: str) -> None:
    """Refuses more or fewer arguments than the function takes."""
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):  # built-in functions tell none
        return
    with usage_errors(f"--args for {path}{signature}: ", TypeError):
        signature.bind(*args)


def parsed(specs: Sequence[str], seed: int, size: int | None = None) -> tuple[Any, ...]:
    """The values that specs such as "f32[8,16]" stand for."""
    with usage_errors("", ValueError):
        return parse_arguments(specs, seed, size)


def with_options(f: Callable, words: Sequence[str]) -> Callable:
    """The function with static options set by name."""
    with usage_errors("", ValueError):
        values = dict(map(parse_option, words))
    return functools.partial(f, **values) if values else f


def function(path: str) -> Callable:
    """The function that PKG.MODULE:FUNCTION names."""
    found = named_object(path)
    if not callable(found):
        raise UsageError(f"function {path!r}, wanted a function, got {type(found).__name__}")
    return found


def named_object(path: str) -> Any:
    """What PKG.MODULE:NAME names; dots after the colon reach into classes and modules."""
    module_name, colon, attributes = path.partition(":")
    if not (module_name and colon and attributes):
        raise UsageError(f"{path!r}, wanted PKG.MODULE:FUNCTION, as in jax.nn:gelu")
    found = _module(module_name)
    for name in attributes.split("."):
        if not hasattr(found, name):
            raise UsageError(f"{path!r}, there is no {name!r} in {module_name}{_instead(found, name)}")
        found = getattr(found, name)
    return found


def _position(word):
    return int(word) if word.isdigit() else word


def _module(name):
    """The module, looked for in the working directory too."""
    if "" not in sys.path:
        sys.path.insert(0, "")
    with usage_errors(f"module {name!r} does not import: ", Exception, SystemExit):
        return importlib.import_module(name)


def _instead(namespace, name):
    close = difflib.get_close_matches(name, dir(namespace), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
