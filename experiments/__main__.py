"""`python -m experiments`: runs the command line and turns each foreseen failure into one line and an exit status."""

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from .errors import InputError
from .stopping import Stopped

NOT_WRITTEN = 3
"""The exit status where a file cannot be written."""
INTERRUPTED = 130
"""The exit status that shells give to a program ended by Ctrl-C."""
_INTERRUPTED = "interrupted; what the run has written so far can be read"


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0 done, 1 the training diverged, 2 bad input or a package that is not installed, 130 interrupted.

    That is by Ctrl-C; by SIGTERM 143.  3 where a file cannot be written, on a full disk for example.
    """
    try:
        from . import cli  # imported here, so that a package that is not installed is one line too

        cli.main(arguments)
    except InputError as error:
        return _fail(2, error)
    except ModuleNotFoundError as error:
        return _fail(2, f"package {error.name}, wanted installed, got none: pip install 'jbackprop[experiments]'")
    except FloatingPointError as error:
        return _fail(1, error)
    except OSError as error:
        where = "a file" if error.filename is None else error.filename
        return _fail(NOT_WRITTEN, f"{where}, wanted to write it, got {error.strerror or error}")
    except Stopped as stop:
        return _fail(stop.status, stop)
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, _INTERRUPTED)
    return 0


def _fail(status, message):
    print(f"experiments: {message}", file=sys.stderr)
    return status


def _leave(number: int, frame: FrameType | None) -> None:
    """Ends the process, and raises nothing: an import or a compiler's call may swallow that, or fail by it."""
    with contextlib.suppress(Exception):  # it may be printing just now
        sys.stdout.flush()
    os.write(2, f"\nexperiments: {_INTERRUPTED}\n".encode())
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored
        signal.signal(signal.SIGINT, _leave)
    sys.exit(main(sys.argv[1:]))
