"""Errors of the person at the keyboard."""

import contextlib
from collections.abc import Iterator

from jbackprop.functions import error_message


class UsageError(Exception):
    """Input that cannot be used; the message is one line and says what to type instead."""


@contextlib.contextmanager
def usage_errors(where: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turns exceptions of these kinds into a UsageError: where it was, and the first line of what went wrong."""
    try:
        yield
    except kinds as error:
        raise UsageError(f"{where}{error_message(error)}") from error
