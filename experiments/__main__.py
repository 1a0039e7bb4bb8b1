"""`python -m experiments`: runs the command line and turns each foreseen failure into one line and an exit status."""

import sys
from collections.abc import Sequence

from .errors import InputError
from .stopping import Stopped

INTERRUPTED = 130
"""The exit status that shells give to a program ended by Ctrl-C."""


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0 done, 1 the training diverged, 2 bad input or a package that is not installed, 130 interrupted.

    That is by Ctrl-C; by SIGTERM 143.
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
    except Stopped as stop:
        return _fail(stop.status, stop)
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, "interrupted; what the run has written so far can be read")
    return 0


def _fail(status, message):
    print(f"experiments: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
