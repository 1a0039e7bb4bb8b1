"""A run's folder: config.json, metrics.jsonl and plots.  Every line is on disk before the next one is computed."""

import contextlib
import dataclasses
import datetime
import errno
import fcntl
import itertools
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jbackprop import report

from .comparison import Difference, Measured
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
        """Appends one line to metrics.jsonl, or none; a number that is not finite is null, as JSON has no other."""
        line = json.dumps(_plain(values), allow_nan=False).encode() + b"\n"
        with naming(self.metrics_path), self.metrics_path.open("ab", buffering=0) as file:
            start = file.tell()
            if file.write(line) < len(line):
                file.truncate(start)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def conclude(self, score: str, measured: Mapping[str, Measured], apart: Difference | None) -> None:
        """Writes result.json: of each copy its last score and, if measured, the cost of a step; how far apart both are.

        Args:
          score: the name of the score.
          measured: for each copy; empty where the steps were not measured.
          apart: the largest difference of a parameter.
        """
        last = {line["backward"]: line[f"held_out_{score}"] for line in self.metrics()}
        costs = {name: cost._asdict() for name, cost in measured.items()}
        copies = {name: {"score": last[name], **costs.get(name, {})} for name in costs or last}
        found = {"score": score, "copies": copies, "apart": None if apart is None else apart.size}
        write(self.folder / "result.json", json.dumps(found, indent=2))

    def forget_after(self, epoch: int) -> None:
        """Drops the lines of later epochs, which are to come again."""
        if self.metrics_path.exists():
            kept = [line for line in self.metrics() if line["epoch"] <= epoch]
            beside = self.metrics_path.with_suffix(".new")
            write(beside, "\n".join(map(json.dumps, kept)), end="\n" if kept else "")
            beside.replace(self.metrics_path)

    def metrics(self) -> list[dict[str, Any]]:
        """The lines written so far; one that was cut off is none."""
        if not self.metrics_path.exists():
            return []
        whole, _, _ = self.metrics_path.read_text(encoding="utf-8").rpartition("\n")
        try:
            return [json.loads(line) for line in whole.splitlines()]
        except ValueError as error:
            raise InputError(f"{self.metrics_path}, wanted a line of JSON for each epoch, got {error}") from None


def write(path: Path, text: str, end: str = "\n") -> None:
    """Writes a text; OSError, with the path, where that cannot be."""
    with naming(path):
        path.write_text(text + end, encoding="utf-8")


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError of what is done to a file tells which: that of a full disk does not."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None


@contextlib.contextmanager
def opened(settings: Any, experiment: str) -> Iterator[Run]:
    """The run of some settings, a new one or one to go on with, for this process alone.

    Raises:
      InputError: the folder cannot be written to, or another process writes to it.
    """
    run = start(settings.out, experiment, settings) if settings.resume is None else Run(settings.resume)
    with (run.folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"--resume, wanted a run that no other process writes, got {run.folder}") from None
        yield run


def stored_settings(folder: Path, experiment: str, kind: type) -> Any:
    """The settings that a run was started with, which say where it is.

    Raises:
      InputError: the folder is no run of this experiment.
    """
    try:
        config = json.loads(report.read(folder / "config.json"))
    except (OSError, ValueError, RecursionError):
        config = {}
    if not isinstance(config, dict) or config.pop("experiment", None) != experiment:
        raise InputError(f"--resume, wanted the folder of a run of {experiment}, got {folder}")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if set(config) != set(fields):
        odd = ", ".join(sorted(set(config) ^ set(fields)))
        raise InputError(f"--resume, wanted a run with the settings of {experiment}, got other ones: {odd}")
    values = {name: _typed(value, fields[name].type) for name, value in config.items()}
    return kind(**{**values, "resume": folder})


CHANGEABLE = ("epochs", "keep", "explain", "resume", "out", "devices", "sharded")


def resumed(stored: Any, given: Any) -> Any:
    """The settings to go on with.

    Raises:
      InputError: one is given that would make another run of it.
    """
    for field in dataclasses.fields(stored):
        was, now = getattr(stored, field.name), getattr(given, field.name)
        if field.name not in CHANGEABLE and was != now:
            raise InputError(f"--{field.name.replace('_', '-')}, wanted {was} as the run was started with, got {now}")
    return given


def _typed(value, kind):
    """A value from JSON: a path is written as text, a tuple as a list."""
    if isinstance(value, list):
        return tuple(value)
    return Path(value) if isinstance(value, str) and "Path" in str(kind) else value


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
    write(run.folder / "config.json", json.dumps(config, indent=2, default=str))
    return run


def _new_folder(root, name):
    """Runs that start within one second get a number; whoever makes a folder has it."""
    root.mkdir(parents=True, exist_ok=True)
    folder, numbers = root / name, itertools.count(2)
    while not _made(folder):
        folder = root / f"{name}-{next(numbers)}"
    return folder


def _made(folder):
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _plain(value):
    """Arrays of one number as that number, and None for what is not finite."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
