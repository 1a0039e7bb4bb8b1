"""`python -m experiments.detection`: the study, and its report."""

import argparse
import json
from pathlib import Path

from .report import markdown, summary
from .study import run


def main() -> None:
    """Reads the command line, runs what is missing, writes report.md and report.json and prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m experiments.detection", description=__doc__)
    parser.add_argument("--output", default="runs/detection", help="folder; a run that was stopped goes on from there")
    parser.add_argument("--cases", nargs="*", default=(), help="names of cases, all unless given")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    options = parser.parse_args()
    rows = run(options.output, options.cases, options.workers)
    folder = Path(options.output)
    (folder / "report.md").write_text(markdown(rows))
    (folder / "report.json").write_text(json.dumps(summary(rows), ensure_ascii=False, indent=2))
    print(markdown(rows))


if __name__ == "__main__":
    main()
