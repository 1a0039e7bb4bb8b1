"""Ctrl-C ends `python -m jbackprop` at once and in order, also while it still imports JAX, and while that compiles.

An exception that is raised in the middle of an import or of a compiler's call back into Python may be swallowed there,
or end the process by a fault.  So the program leaves without one.  It is the first thing that the package imports, and
does nothing in a program that imports the library.
"""

import contextlib
import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130
"""The exit status that shells give to a program ended by Ctrl-C."""


def leave(number: int, frame: FrameType | None) -> None:
    """Ends the process, once what it has printed is written."""
    with contextlib.suppress(Exception):  # it may be printing just now
        sys.stdout.flush()
    os.write(2, b"\njbackprop: interrupted\n")
    os._exit(INTERRUPTED)


def _is_starting():
    """Whether Python is looking for the module to run, and that is this package."""
    return sys.argv[:1] == ["-m"] and sys.orig_argv[-len(sys.argv)] in (__package__, f"-m{__package__}")


if _is_starting() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, leave)
