"""Ctrl-C and SIGTERM: asked to stop, a run ends its steps, saves and draws; asked again, it ends at once."""

import signal
import threading
from types import FrameType
from typing import Any

_SIGNALS = signal.SIGINT, signal.SIGTERM


class Stopped(KeyboardInterrupt):
    """A run that was asked to stop, and did when it had saved.

    Attributes:
      status: the exit status that shells give to a program that this signal ended.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.status = 128 + number


class Asked:
    """Whether somebody has asked to stop; a context.

    Attributes:
      signal: the number of the signal; None while nobody has.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Asked":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in _SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self):
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
