"""The command line: one word for the experiment, then its settings."""

import contextlib
import dataclasses
import functools
import io
import math
import re
from collections.abc import Sequence

import tyro

from . import (
    deq,
    digits_mlp,
    dp_gpt,
    dp_mnist,
    gallery,
    gradient_flow,
    influence,
    kfac,
    learning_rules,
    mnist_cnn,
    mnist_mlp,
    names_lstm,
    resnet,
    runs,
    shakespeare_gpt,
    vowels_gru,
)
from .errors import InputError

EXPERIMENTS = {
    "deq": deq,
    "digits-mlp": digits_mlp,
    "dp-gpt": dp_gpt,
    "dp-mnist": dp_mnist,
    "gallery": gallery,
    "gradient-flow": gradient_flow,
    "influence": influence,
    "kfac": kfac,
    "learning-rules": learning_rules,
    "mnist-cnn": mnist_cnn,
    "mnist-mlp": mnist_mlp,
    "names-lstm": names_lstm,
    "resnet": resnet,
    "shakespeare-gpt": shakespeare_gpt,
    "vowels-gru": vowels_gru,
}


def main(arguments: Sequence[str]) -> None:
    """Runs the experiment that the arguments name, or prints the list of them.

    Raises:
      InputError: there is no such experiment or setting, or a setting has no such value.
    """
    name, *settings = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(_listing())
        return
    if name not in EXPERIMENTS:
        raise InputError(f"experiment, wanted one of {', '.join(EXPERIMENTS)}, got {name!r}")
    experiment = EXPERIMENTS[name]
    parsed = _parsed(experiment, name, settings)
    _check_numbers(parsed)
    experiment.run(parsed)


def _listing():
    width = max(map(len, EXPERIMENTS))
    lines = [f"  {name:{width}}  {experiment.SUMMARY}" for name, experiment in EXPERIMENTS.items()]
    usage = "usage: python -m experiments EXPERIMENT [--help] [SETTINGS]"
    return "\n".join([usage, "", "experiments:", *lines, "", "EXPERIMENT --help lists its settings."])


def _parsed(experiment, name, arguments):
    """The settings that the arguments give; a run to go on with says what they leave out."""
    given = _read(experiment, name, arguments, {})
    if getattr(given, "resume", None) is None:
        return given
    stored = runs.stored_settings(given.resume, name, experiment.Settings)
    found = _read(experiment, name, arguments, {"default": stored})
    return runs.resumed(stored, found)


def _check_numbers(settings):
    """Raises InputError for what is no number, or not one of 64 bits, or no seed: in no setting of any experiment."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        least = 0 if field.name == "seed" else -(2**63)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and math.isnan(number):
                raise InputError(f"{_flag(field)}, wanted a number, got {number}")
            if isinstance(number, int) and not least <= number < 2**63:
                raise InputError(f"{_flag(field)}, wanted {least} to {2**63 - 1}, got {number}")


def _flag(field):
    return f"--{field.name.replace('_', '-')}"


def _read(experiment, name, arguments, default):
    """tyro's box around an error becomes one line."""
    usage = {"prog": f"python -m experiments {name}", "description": experiment.SUMMARY}
    parse = functools.partial(tyro.cli, experiment.Settings, args=arguments, **usage, **default)
    box = io.StringIO()
    try:
        with contextlib.redirect_stdout(box), contextlib.redirect_stderr(box):
            return parse()
    except SystemExit as stop:
        if stop.code:
            raise InputError(_message(box.getvalue())) from None
    return parse()  # it was help: again, to the terminal


def _message(box):
    """What stands between the first two rules of a box drawn for a file: under its title, over the help for it."""
    blocks = re.split(r"\n\W+\n", box)
    return " ".join(blocks[min(1, len(blocks) - 1)].split())
