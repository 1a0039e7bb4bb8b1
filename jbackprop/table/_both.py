"""What is found for every layer of a network, those inside combinators too, each from what its combinator gets.

A branch of a combinator is gone through like a network: forward from what the combinator hands it of its input,
backward from what it hands it of ∂C/∂output.  So whose fault a wrong value is can be told at any depth.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ._delta import Evidence, gather
from ._passes import Pass, automatically, automatically_inside, by_hand, by_hand_inside, usable
from ._places import Step


class Found(NamedTuple):
    """Both ways through a network, or through a branch of a combinator.

    Attributes:
      hand: by the layers' own functions.
      twin: automatically.
      evidence: what each layer's δ is judged by.
      inside: for each layer what was found for each branch.
    """

    hand: Pass
    twin: Pass
    evidence: "list[Evidence]"
    inside: "list[list[Found]]"


def both_ways(steps: Sequence[Step], loss: Any, x: Any, y: Any) -> Found:
    """Through the whole network.

    Raises:
      ValueError: a layer or the loss refuses what it is given, or fails.
    """
    twin = automatically(steps, loss, x, y)
    return _found(steps, by_hand(steps, loss, x, y, twin.layers), twin)


def _found(steps, hand, twin) -> Found:
    evidence = list(map(gather, steps, hand.layers, twin.layers))
    inside = list(map(_inside, steps, hand.layers, twin.layers))
    kept = [layer._replace(cache=None) for layer in hand.layers]
    return Found(hand._replace(layers=kept), twin, evidence, inside)


def _inside(step, by, vjp):
    return [_through(branch, steps, by, vjp) for branch, steps in step.branches]


def _through(branch, steps, by, vjp):
    """Both ways through one branch."""
    dy, noise = (branch.arriving(d, vjp.x) for d in (vjp.dy, vjp.dy_noise))
    twin = automatically_inside(steps, branch.into(vjp.x), dy, noise)
    received = branch.arriving(usable(by.dy, vjp.dy), by.x)
    return _found(steps, by_hand_inside(steps, branch.into(by.x), received, twin.layers), twin)
