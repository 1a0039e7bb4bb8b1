"""Names, recordings and texts: what `make data` writes, as arrays."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jbackprop import report

from . import fetch
from .errors import InputError
from .language import NONE, encoded

CHARACTERS = 2**28
"""The most that a file may have."""
SPLIT_SEED = 0
"""Of the shuffle below: the held-out part is the same in every run, whatever the run's own seed."""


@dataclasses.dataclass(frozen=True)
class Names:
    """Names of small letters.

    Attributes:
      rows: (names, 2, length) int32: each name's letters behind an end sign 0, and what comes next, 0 at the end.
      alphabet: the end sign and the letters.
    """

    rows: np.ndarray
    alphabet: str

    @property
    def length(self) -> int:
        """Of the longest name, with its end."""
        return self.rows.shape[-1]

    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Nine tenths to train on, and those held out."""
        order = np.random.default_rng(SPLIT_SEED).permutation(len(self.rows))
        count = len(order) // 10
        return self.rows[order[count:]], self.rows[order[:count]]

    def text(self, ids: np.ndarray) -> str:
        """The name up to its end sign."""
        return "".join(self.alphabet[i] for i in ids).partition("\n")[0].capitalize()


def names(path: Path) -> Names:
    """A file of names, the first word of each line.

    Raises:
      InputError: there is no such file, fewer than ten names, or one is longer than 40 letters.
    """
    words = sorted({line.split()[0].lower() for line in _text(path, "names").splitlines() if line.strip()})
    if len(words) < 10 or max(map(len, words)) > 40:
        raise InputError(f"--names, wanted at least ten names of up to 40 letters, got {len(words)} in {path}")
    alphabet = "\n" + "".join(sorted(set("".join(words))))
    length = max(map(len, words)) + 1
    rows = np.zeros((len(words), 2, length), np.int32)
    rows[:, 1] = NONE
    for row, letters in zip(rows, encoded(words, alphabet), strict=True):
        row[0, 1 : len(letters) + 1] = letters
        row[1, : len(letters)] = letters
        row[1, len(letters)] = 0
    return Names(rows, alphabet)


class Text(NamedTuple):
    """A text as numbers.

    Attributes:
      train: the ids of its first nineteen twentieths.
      held_out: those of the rest.
      alphabet: its characters in order.
    """

    train: np.ndarray
    held_out: np.ndarray
    alphabet: str


def text(path: Path, alphabet: str | None = None) -> Text:
    """A file of text.

    Args:
      path: the file, in UTF-8.
      alphabet: the characters that there may be; those that there are unless given.

    Raises:
      InputError: there is no such file, it is not text, or has characters outside the alphabet.
    """
    whole = _text(path, "text")
    found = "".join(sorted(set(whole)))
    strange = sorted(set(found) - set(alphabet or found))
    if strange:
        raise InputError(
            f"--text, wanted the {len(alphabet or '')} characters of the run, got {strange[0]!r} in {path}"
        )
    (ids,) = encoded([whole], alphabet or found)
    end = len(ids) * 19 // 20
    return Text(ids[:end], ids[end:], alphabet or found)


class Recordings(NamedTuple):
    """Sequences of their own lengths, padded with zeros behind.

    Attributes:
      x: (recordings, time, channels) float32.
      lengths: (recordings,) int32.
      y: labels, (recordings,) int32.
    """

    x: np.ndarray
    lengths: np.ndarray
    y: np.ndarray


def recordings(path: Path, length: int = 29) -> Recordings:
    """A file of the `.ts` format: behind `@data` a line for each recording, channels parted by colons, the label last.

    Raises:
      InputError: there is no such file, or a line is not of that format or longer.
    """
    lines = [line for line in _text(path, "data-dir").partition("@data\n")[2].splitlines() if line]
    if not lines:
        raise InputError(f"{path}, wanted recordings behind a line @data, got none")
    x, lengths, y = [], [], []
    for number, line in enumerate(lines, 1):
        *channels, label = line.split(":")
        try:
            steps = np.array([channel.split(",") for channel in channels], np.float32).T
            label = int(label) - 1
        except ValueError:
            raise InputError(f"{path}, wanted channels of one length and a label, got recording {number}") from None
        if len(steps) > length or steps.shape[1:] != (x[0].shape[1:] if x else steps.shape[1:]):
            raise InputError(f"{path}, wanted up to {length} steps of the same channels, got recording {number}")
        x.append(np.pad(steps, [(0, length - len(steps)), (0, 0)]))
        lengths.append(len(steps))
        y.append(label)
    return Recordings(np.stack(x), np.array(lengths, np.int32), np.array(y, np.int32))


def _text(path, setting):
    try:
        return report.read(path, CHARACTERS)
    except UnicodeDecodeError:
        raise InputError(f"--{setting}, wanted a text in UTF-8, got {path}") from None
    except ValueError:
        raise InputError(f"--{setting}, wanted at most {CHARACTERS:,} characters, got more in {path}") from None
    except OSError as error:
        hint = "; `make data` writes it" if path.parent == fetch.FOLDER else ""
        raise InputError(f"--{setting}, wanted a file to read, got {path} ({error.strerror}){hint}") from None
