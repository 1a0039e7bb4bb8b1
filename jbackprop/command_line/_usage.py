"""Errors of the person at the keyboard, and of the function that was named."""

import contextlib
from collections.abc import Iterator

from jbackprop.functions import error_line, error_message


class UsageError(Exception):
    """Input that cannot be used; the message is one line and says what to type instead."""


class FunctionError(Exception):
    """The function that was named has raised; the message is one line."""


@contextlib.contextmanager
def usage_errors(where: str, *kinds: type[BaseException]) -> Iterator[None]:
    """Turns exceptions of these kinds into a UsageError: where it was, and the first line of what went wrong."""
    try:
        yield
    except kinds as error:
        says = error_message if isinstance(error, Exception) else error_line
        raise UsageError(f"{where}{says(error)}") from error


@contextlib.contextmanager
def function_errors(verb: str, name: str) -> Iterator[None]:
    """What a function raises, as a UsageError where it refuses its arguments, as a FunctionError otherwise.

    By a TypeError or ValueError a function says that arguments do not fit, as a product does of two shapes.
    """
    try:
        with usage_errors(f"cannot {verb} {name}: ", ValueError, TypeError, ImportError):
            yield
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise FunctionError(f"{name} raised {error_line(error)}") from error
