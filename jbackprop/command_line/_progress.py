"""A progress bar on long work."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def track(items: Sequence[T], describe: Callable[[T], str]) -> Iterator[T]:
    """The items one by one, with a bar where stderr is a terminal; with a line each where tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield from _lines(items, describe)
        return
    with tqdm(items, file=sys.stderr, leave=False, disable=None) as bar:
        for item in bar:
            bar.set_description(describe(item))
            yield item


def _lines(items, describe):
    for i, item in enumerate(items, start=1):
        print(f"[{i}/{len(items)}] {describe(item)}", file=sys.stderr)
        yield item
