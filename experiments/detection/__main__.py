"""`python -m experiments.detection`: the study, and its report."""

import argparse

from . import run


def main() -> None:
    """Reads the command line and runs the study."""
    parser = argparse.ArgumentParser(prog="python -m experiments.detection", description=__doc__)
    parser.add_argument("--output", default="runs/detection", help="folder; a run that was stopped goes on from there")
    parser.add_argument(
        "--cases", nargs="*", default=(), help="names of cases, the first one of each rule unless given"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    options = parser.parse_args()
    try:
        run(options.output, options.cases, options.workers)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
