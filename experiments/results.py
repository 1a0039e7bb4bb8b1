"""`python -m experiments.results FILE`: trains every network both ways, and writes what came out as a table.

The longer ones are cut short, as their commands in the table say.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import cli

COMMANDS = (
    "digits-mlp",
    "mnist-mlp",
    "mnist-cnn",
    "resnet --epochs 6",
    "vowels-gru",
    "names-lstm --epochs 1",
    "shakespeare-gpt --preset tiny --backward both",
    "deq --epochs 6",
)
HEAD = "| command | held out | by hand | automatic | parameters apart | step, ms: by hand, automatic | scratch, MB |"


def rows(commands: Sequence[str] = COMMANDS) -> Iterator[str]:
    """A table in Markdown, a row for each training."""
    yield HEAD
    yield "|" + "---|" * HEAD.count(" | ") + "---|"
    for command in commands:
        with tempfile.TemporaryDirectory() as out:
            cli.main([*command.split(), "--out", out, "--keep", "1"])
            runs = sorted(Path(out).iterdir(), key=lambda run: run.stat().st_ctime)
            for number, run in enumerate(runs, 1):
                result = json.loads((run / "result.json").read_text(encoding="utf-8"))
                yield _row(command if len(runs) == 1 else f"{command} ({number})", result)


def _row(command, result):
    copies = [result["copies"].get(name) for name in ("manual", "automatic")]
    scores = ["" if copy is None else f"{copy['score']:.4g}" for copy in copies]
    times = ", ".join("" if copy is None else f"{1e3 * copy['seconds']:.3g}" for copy in copies)
    sizes = ", ".join("" if copy is None else f"{copy['temporary_bytes'] / 1e6:.3g}" for copy in copies)
    apart = "" if result["apart"] is None else f"{result['apart']:.1e}"
    return f"| `{command}` | {result['score']} | {' | '.join(scores)} | {apart} | {times} | {sizes} |"


def main() -> None:
    """Reads the command line, trains, and writes and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.results", description=__doc__)
    parser.add_argument("file", type=Path, help="where the table goes")
    parser.add_argument("--commands", nargs="*", default=COMMANDS, help="of trainings, instead of all")
    options = parser.parse_args()
    lines = list(rows(options.commands))
    options.file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
