"""A run's folder: config.json, metrics.jsonl and plots.  Every line is on disk before the next one is computed."""

import dataclasses
import datetime
import itertools
import json
import math
from pathlib import Path
from typing import Any

from .errors import InputError


@dataclasses.dataclass(frozen=True)
class Run:
    """Where a run writes.

    Attributes:
      folder: its folder, there already.
    """

    folder: Path

    @property
    def metrics_path(self) -> Path:
        return self.folder / "metrics.jsonl"

    def log(self, **values: Any) -> None:
        """Appends one line to metrics.jsonl; a number that is not finite is null, as JSON has no other."""
        with self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_plain(values), allow_nan=False) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The lines written so far."""
        return [json.loads(line) for line in self.metrics_path.read_text(encoding="utf-8").splitlines()]


def start(root: Path, experiment: str, settings: Any) -> Run:
    """A new folder `root/experiment-time` that holds the settings.

    Args:
      root: the folder of all runs, made if it is not there.
      experiment: its name.
      settings: a dataclass.

    Raises:
      InputError: the folder cannot be made.
    """
    try:
        run = Run(_new_folder(root, f"{experiment}-{datetime.datetime.now():%Y%m%d-%H%M%S}"))
    except OSError as error:
        raise InputError(f"--out, wanted a folder to write to, got {root} ({error.strerror})") from None
    config = {"experiment": experiment, **dataclasses.asdict(settings)}
    (run.folder / "config.json").write_text(json.dumps(config, indent=2, default=str) + "\n", encoding="utf-8")
    return run


def _new_folder(root, name):
    """Runs that start within one second get a number."""
    root.mkdir(parents=True, exist_ok=True)
    folder, numbers = root / name, itertools.count(2)
    while folder.exists():
        folder = root / f"{name}-{next(numbers)}"
    folder.mkdir()
    return folder


def _plain(value):
    """Arrays of one number as that number, and None for what is not finite."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
