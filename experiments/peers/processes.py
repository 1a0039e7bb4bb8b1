"""A process for each peer, so that no library's threads or caches stand in another's way; they are asked in turn.

A peer that is not installed, or refuses something by NotImplementedError, is left out, and a line says why.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

from jbackprop.functions import calls_per_sample, interleaved, quartiles, time_sample

Prepare = Callable[[str], Callable[[], Any] | None]
"""What a name stands for, as a call that waits for its result; None where the peer has no such thing."""


@contextmanager
def serving(peers: Mapping[str, Prepare]) -> Iterator[dict[str, Any]]:
    """A connection to a process for each peer, whose function has to be known by its module and name."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # an accelerator has its memory for all of them
    spawn, connections, processes = multiprocessing.get_context("spawn"), {}, []
    try:
        for peer, prepare in peers.items():
            connections[peer], theirs = spawn.Pipe()
            processes.append(spawn.Process(target=_serve, args=(peer, prepare, theirs), daemon=True))
            processes[-1].start()
        yield connections
    finally:
        for process in processes:
            process.terminate()


def medians(name: str, connections: Mapping[str, Any], rounds: int, sample_seconds: float) -> dict[str, float]:
    """The seconds of a call under this name, of each peer that has it.

    Args:
      name: what to prepare.
      connections: of `serving`.
      rounds: how often each is timed, one after another.
      sample_seconds: so long a sample takes at least, of as many calls as are needed.

    Raises:
      RuntimeError: a peer failed; which, and its message.
    """
    there = [peer for peer, connection in connections.items() if _ask(connection, "prepare", (name, sample_seconds))]
    figures = interleaved({peer: partial(_ask, connections[peer], "time", None) for peer in there}, rounds)
    return {peer: quartiles(values).middle for peer, values in figures.items()}


def _ask(connection, word, value):
    connection.send((word, value))
    answer = connection.recv()
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _serve(peer: str, prepare: Prepare, connection) -> None:
    """Answers "prepare" with whether there is such a call, and "time" with the seconds that one takes."""
    take: Any = None
    while True:
        word, value = connection.recv()
        try:
            if word == "prepare":
                take = _prepared(peer, prepare, *value)
                connection.send(take is not None)
            else:
                connection.send(take())
        except Exception as error:
            connection.send(RuntimeError(f"{peer}, {word}: {error}"))


def _prepared(peer, prepare, name, sample_seconds):
    """What takes one sample; None where the peer has no such call, or says why not."""
    try:
        run = prepare(name)
    except ImportError as error:
        return _say(f"without {peer}: {error}")
    except NotImplementedError as error:
        return _say(f"{name}, without {peer}: {error}")
    return run and partial(time_sample, run, calls_per_sample(run, sample_seconds))


@cache
def _say(line):
    """Once, on stderr."""
    print(line, file=sys.stderr, flush=True)
