"""How far error signals come through a deep network before it is trained: one picture a question."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
from matplotlib.figure import Figure

import jbackprop as jb
from jbackprop import layers, rules, signals

from . import classifier, data, plots, report, runs
from .errors import InputError

SUMMARY = "Vanishing and exploding error signals by depth: activations, initialisations, shortcuts. A minute."


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of gradient-flow."""

    depth: int = 30
    """Hidden layers."""
    width: int = 64
    """Units in each of them."""
    examples: int = 256
    """Handwritten digits in the batch."""
    seed: int = 0
    """Draws the parameters."""
    out: Path = Path("runs")
    """The folder in which the run makes its own."""


@dataclasses.dataclass(frozen=True)
class Block:
    """A hidden layer.

    Attributes:
      activation: its name.
      gain: the standard deviation of its weights, times √width.
      normalised: whether a layer norm stands before the activation.
      residual: whether a shortcut leads around it.
    """

    activation: classifier.Activation = "tanh"
    gain: float = 1.0
    normalised: bool = False
    residual: bool = False

    def layer(self, width: int) -> layers.Layer:
        """The layer; its first part is the linear one."""
        weights = layers.normal(self.gain / math.sqrt(width))
        norm = [layers.layer_norm()] if self.normalised else []
        inside = layers.chain(layers.linear(width, weights=weights), *norm, classifier.ACTIVATIONS[self.activation]())
        return layers.residual(inside) if self.residual else inside


HE = math.sqrt(2)
QUESTIONS: dict[str, Mapping[str, Block]] = {
    "activations": {name: Block(name, HE if name == "relu" else 1.0) for name in ("sigmoid", "tanh", "relu")},
    "initialisations": {f"relu, {gain:.3g} / √n": Block("relu", gain) for gain in (1.0, HE, 1.7, 2.0)},
    "shortcuts": {
        "sigmoid": Block("sigmoid"),
        "with layer norm": Block("sigmoid", normalised=True),
        "with residuals": Block("sigmoid", residual=True),
        "with both": Block("sigmoid", normalised=True, residual=True),
    },
}
"""For each picture, the networks in it."""


def run(settings: Settings) -> None:
    """Measures every network, writes the run's folder, and prints the table and the paths of the pictures.

    Raises:
      InputError: a setting is out of its range.
    """
    for name in ("depth", "width", "examples"):
        if getattr(settings, name) < 1:
            raise InputError(f"--{name}, wanted a positive number, got {getattr(settings, name)}")
    folder = runs.start(settings.out, "gradient-flow", settings)
    digits = data.digits()
    x, y = digits.x[: settings.examples], digits.y[: settings.examples]
    for question, blocks in QUESTIONS.items():
        for name, block in blocks.items():
            norms, zeros = _flow(block, settings, x, y)
            folder.log(question=question, network=name, delta_norms=norms.tolist(), zeros=zeros.tolist())
    lines = folder.metrics()
    print("\n".join(_table(lines)))
    print(report.paths([_picture(lines, question, folder.folder) for question in QUESTIONS]))


def _flow(block: Block, settings: Settings, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """‖δ‖ of each hidden layer over that of the output, and the share of zeros, from the input to the output."""
    first = layers.chain(layers.linear(settings.width), classifier.ACTIVATIONS[block.activation]())
    hidden = [block.layer(settings.width) for _ in range(settings.depth)]
    net = layers.chain(first, *hidden, layers.linear(10))
    params, _ = net.init(jax.random.key(settings.seed), x.shape[1:])

    @jax.jit
    def look(params, x, y):
        _, gradients, deltas = jb.backprop(net, rules.softmax_cross_entropy)(params, x, y)
        return signals.gradient_flow(params, gradients, deltas)

    flow = look(params, x, y)
    norms, zeros = (jnp.stack([part[0] for part in tree[1:-1]]) for tree in (flow.deltas, flow.zeros))
    return norms / flow.deltas[-1], zeros


def _table(lines):
    width = max(len(line["network"]) for line in lines)
    yield f"{'network':{width}}  ‖δ¹‖ / ‖δᴸ‖  share of zeros in δ¹"
    for line in lines:
        yield f"{line['network']:{width}}  {line['delta_norms'][0]:11.2e}  {line['zeros'][0]:20.2f}"


def _picture(lines, question: str, folder: Path) -> Path:
    """‖δˡ‖ over depth, a curve for each network of the question."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for line in lines:
        if line["question"] == question:
            axes.plot(range(1, 1 + len(line["delta_norms"])), line["delta_norms"], label=line["network"])
    over = "hidden layer, from the input to the output"
    plots.label(axes, "‖δˡ‖ over that of the output", log=True, over=over)
    return plots.save(figure, folder / f"{question}.png")
