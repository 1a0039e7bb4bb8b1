"""`python -m experiments.peers`: the benchmark, and its table."""

import argparse

from . import ROWS, run, table


def main() -> None:
    """Reads the command line, measures, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.peers", description=__doc__)
    parser.add_argument("--cases", nargs="*", default=tuple(ROWS), help="names of cases, all unless given")
    parser.add_argument("--rounds", type=int, default=11, help="how often each peer is timed")
    options = parser.parse_args()
    try:
        for line in table(run(options.cases, options.rounds)):
            print(line, flush=True)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
