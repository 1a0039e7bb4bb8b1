"""A progress bar on long work."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


Say = Callable[[str], object]
"""Says what of an item is being done."""


def track(items: Sequence[T], describe: Callable[[T], str]) -> Iterator[tuple[T, Say]]:
    """The items one by one, with a bar where stderr is a terminal; with a line each where tqdm is not installed.

    Beside each comes what tells the bar of the steps within it.
    """
    try:
        from tqdm import tqdm
    except ImportError:
        yield from _lines(items, describe)
        return
    with tqdm(items, file=sys.stderr, leave=False, disable=None) as bar:
        for item in bar:
            bar.set_description(describe(item))
            yield item, lambda step, item=item: bar.set_description(f"{describe(item)}: {step}")


def _lines(items, describe):
    for i, item in enumerate(items, start=1):
        print(f"[{i}/{len(items)}] {describe(item)}", file=sys.stderr)
        yield item, str
