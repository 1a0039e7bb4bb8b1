"""A classifier trained by mini-batch descent, its gradients by hand, automatically, or by both side by side."""

import dataclasses
from pathlib import Path
from typing import Literal

import jax
import optax
from tqdm import tqdm

import jbackprop as jb
from jbackprop import layers, rules, training

from . import comparison, plots, report, runs
from .data import Data
from .errors import InputError

BACKWARD = {"manual": jb.backprop, "automatic": jb.autodiff}

ACTIVATIONS = {"relu": layers.relu, "tanh": layers.tanh, "sigmoid": layers.sigmoid, "gelu": layers.gelu}

Activation = Literal["relu", "tanh", "sigmoid", "gelu"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What every classifier can be told."""

    backward: Literal["manual", "automatic", "both"] = "both"
    """Whose gradients to train with; both trains two copies from one seed and compares them."""
    epochs: int = 20
    """Passes over the training examples."""
    batch_size: int | None = 50
    """Examples a step: 1 is stochastic descent, None full-batch descent."""
    learning_rate: float = 0.2
    """η in W ← W − η ∂C/∂W."""
    momentum: float = 0.0
    """The share of the last step that goes into the next; 0.0 is plain gradient descent."""
    weight_decay: float = 0.0
    """λ: adds λ p to the gradient of each parameter p."""
    clip_norm: float | None = None
    """The largest norm that a whole gradient may have; a longer one is scaled down."""
    seed: int = 0
    """Draws the initial parameters and the order of the examples."""
    explain: bool = False
    """Write the backprop table of one mini-batch, after the training, as explain.html and explain.txt."""
    out: Path = Path("runs")
    """The folder in which the run makes its own."""

    @property
    def backwards(self) -> tuple[str, ...]:
        """The names in `BACKWARD` that are to be trained."""
        return tuple(BACKWARD) if self.backward == "both" else (self.backward,)


def mlp(hidden: tuple[int, ...], activation: str, classes: int) -> layers.Layer:
    """Linear layers with an activation of `ACTIVATIONS` between them, one logit for each class at the end.

    Raises:
      InputError: a width is not positive.
    """
    if any(width < 1 for width in hidden):
        raise InputError(f"--hidden, wanted positive widths, got {hidden}")
    parts = [part for width in hidden for part in (layers.linear(width), ACTIVATIONS[activation]())]
    return layers.chain(*parts, layers.linear(classes))


def train(experiment: str, settings: Settings, net: layers.Layer, data: Data) -> None:
    """Trains, and writes the run's folder; prints a table and the paths of the plots.

    Raises:
      InputError: a setting is out of its range.
      NonFiniteError: the training diverged; the lines up to there are written.
    """
    _check(settings, examples=len(data.x))
    run = runs.start(settings.out, experiment, settings)
    print(f"{experiment}: {len(data.x)} examples, {len(data.x_held_out)} held out; writing {run.folder}", flush=True)
    backpropagates = {name: BACKWARD[name](net, rules.softmax_cross_entropy) for name in settings.backwards}
    states = _fit(settings, net, data, backpropagates, run)
    batch = slice(0, settings.batch_size)
    measured = comparison.measure(backpropagates, _optimizer(settings), states, data.x[batch], data.y[batch])
    print(report.table(run.metrics(), measured))
    if settings.backward == "both":
        print(report.agreement(*(state.params for state in states.values())))
    print(report.paths(plots.draw(run)))
    if settings.explain:
        _explain(net, states[settings.backwards[0]].params, data.x[batch], data.y[batch], run)


def _fit(settings, net, data, backpropagates, run):
    """The state of each copy after the last epoch; an epoch's key, and so its order, is the same for all."""
    init_key, order_key = jax.random.split(jax.random.key(settings.seed))
    params, _ = net.init(init_key, data.x.shape[1:])
    optimizer, evaluate = _optimizer(settings), jax.jit(_evaluation(net))
    passes = {name: training.epoch(f, optimizer, settings.batch_size) for name, f in backpropagates.items()}
    states = {name: training.init(params, optimizer) for name in passes}
    for epoch in tqdm(range(1, settings.epochs + 1), desc="training", unit="epoch"):
        key = jax.random.fold_in(order_key, epoch)
        for name, one_pass in passes.items():
            states[name], metrics = one_pass(states[name], key, data.x, data.y)
            held_out = evaluate(states[name].params, data.x_held_out, data.y_held_out)
            run.log(backward=name, epoch=epoch, step=int(states[name].step), **held_out, **_means(metrics))
            training.check_finite(metrics)
    return states


def _explain(net, params, x, y, run):
    table = jb.explain(net, rules.softmax_cross_entropy)(params, x, y)
    for name in ("explain.txt", "explain.html"):
        table.save(run.folder / name, f"{run.folder.name}: one mini-batch after the training")
        print(f"table: {run.folder / name}")


def _optimizer(settings):
    clip = optax.identity() if settings.clip_norm is None else optax.clip_by_global_norm(settings.clip_norm)
    decay = optax.add_decayed_weights(settings.weight_decay)
    return optax.chain(clip, decay, optax.sgd(settings.learning_rate, settings.momentum))


def _evaluation(net):
    def evaluate(params, x, y):
        logits = net.apply(params, x)
        return {
            "held_out_cost": rules.softmax_cross_entropy(logits, y).mean(),
            "held_out_accuracy": (logits.argmax(axis=-1) == y).mean(),
        }

    return evaluate


def _means(metrics):
    """An epoch's cost and ‖δˡ‖, each the mean over its steps."""
    deltas = jax.tree_util.tree_leaves_with_path(metrics.delta_norms)
    norms = {jax.tree_util.keystr(path, simple=True, separator="."): norm.mean() for path, norm in deltas}
    return {"cost": metrics.cost.mean(), "delta_norms": norms}


def _check(settings, examples):
    for name in ("learning_rate", "momentum", "weight_decay"):
        if getattr(settings, name) < 0:
            raise InputError(f"--{name.replace('_', '-')}, wanted at least 0, got {getattr(settings, name)}")
    if settings.epochs < 1:
        raise InputError(f"--epochs, wanted at least 1, got {settings.epochs}")
    if settings.batch_size is not None and not 1 <= settings.batch_size <= examples:
        raise InputError(f"--batch-size, wanted 1 to {examples} (the examples) or None, got {settings.batch_size}")
    if settings.clip_norm is not None and not settings.clip_norm > 0:
        raise InputError(f"--clip-norm, wanted a positive number or None, got {settings.clip_norm}")
