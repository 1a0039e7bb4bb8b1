"""The experiments on error signals: what their runs leave behind."""

import json
import math
import sys
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import jbackprop as jb
from experiments import (
    __main__,
    classifier,
    data,
    dp_mnist,
    feedback,
    influence,
    learning_rules,
    private,
    small_training,
)

PNG = b"\x89PNG\r\n"


def main(*arguments):
    return __main__.main([str(argument) for argument in arguments])


def lines_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_gradient_flow(tmp_path, capsys):
    assert main("gradient-flow", "--depth", 12, "--width", 16, "--examples", 32, "--out", tmp_path) == 0
    (run,) = tmp_path.iterdir()
    lines = {line["network"]: line for line in lines_of(run)}
    assert all(len(line["delta_norms"]) == 12 for line in lines.values())
    first = {name: line["delta_norms"][0] for name, line in lines.items()}
    assert first["sigmoid"] < 1e-4
    assert first["with residuals"] > 0.1
    assert first["relu, 1 / √n"] < 0.3 * first["relu, 2 / √n"]
    assert np.mean(lines["relu"]["zeros"]) > 0.2
    printed = capsys.readouterr().out
    for question in ("activations", "initialisations", "shortcuts"):
        assert (run / f"{question}.png").read_bytes().startswith(PNG)
        assert f"{question}.png" in printed


SMALL_RULES = ("--hidden", 16, 12, "--examples", 400, "--batch-size", 20)


def test_learning_rules(tmp_path, capsys):
    assert main("learning-rules", *SMALL_RULES, "--epochs", 8, "--learning-rate", 0.2, "--out", tmp_path) == 0
    (run,) = tmp_path.iterdir()
    lines = {(line["rule"], line["epoch"]): line for line in lines_of(run)}
    assert len(lines) == 5 * 9
    for rule in feedback.RULES:
        first, last = lines[rule, 0], lines[rule, 8]
        assert last["accuracy"] > 0.35 > first["accuracy"]
        assert len(last["angles"]) == 3
        assert last["angles"][2] == 0
    assert lines["backprop", 8]["angles"] == [0, 0, 0]
    assert all(5 < angle < 60 for angle in lines["sign-symmetric", 8]["angles"][:2])
    assert lines["feedback alignment", 8]["angles"][1] < lines["feedback alignment", 0]["angles"][1]
    assert max(lines["weight mirror", 8]["angles"][:2]) < 30 < lines["weight mirror", 0]["angles"][1]
    printed = capsys.readouterr().out
    for picture in ("accuracy.png", "angles.png"):
        assert (run / picture).read_bytes().startswith(PNG)
        assert picture in printed


@pytest.fixture
def small_pass():
    """A chain of two layers, its parameters, cache and an error at its output."""
    net = classifier.mlp((4,), "tanh", classes=3)
    params, _ = net.init(jax.random.key(0), (5,))
    x, error = jax.random.normal(jax.random.key(1), (7, 5)), jax.random.normal(jax.random.key(2), (7, 3))
    return net, params, net.forward(params, x)[1], x, error


def test_each_rule_exchanges_the_matrix_alone(small_pass):
    net, params, cache, x, error = small_pass
    slope = 1 - jnp.tanh(x @ params[0]["w"] + params[0]["b"]) ** 2
    w = params[2]["w"]
    for rule, matrix in {"backprop": w, "sign-symmetric": jnp.abs(w).mean() * jnp.sign(w)}.items():
        _, deltas = feedback.RULES[rule](net, 0).backward(params, cache, error)
        np.testing.assert_allclose(deltas[2], error, rtol=1e-6)
        np.testing.assert_allclose(deltas[0], error @ matrix.T * slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", ["feedback alignment", "direct feedback alignment"])
def test_fixed_matrices_do_not_know_the_weights(rule, small_pass):
    net, params, cache, _, error = small_pass
    taught = feedback.RULES[rule](net, 0)
    others = jax.tree.map(lambda array: 3 * array + 1, params)
    _, deltas = taught.backward(params, cache, error)
    for one, other in zip(deltas, taught.backward(others, cache, error)[1], strict=True):
        np.testing.assert_array_equal(one, other)
    _, drawn_anew = feedback.RULES[rule](net, 1).backward(params, cache, error)
    assert not np.allclose(deltas[0], drawn_anew[0])
    _, twice = taught.backward(params, cache, 2 * error)
    np.testing.assert_allclose(twice[0], 2 * deltas[0], rtol=1e-6)


def test_a_mirror_turns_towards_the_weights_and_carries_the_error(small_pass):
    net, params, cache, x, error = small_pass
    taught = feedback.RULES["weight mirror"](net, 0)
    (_, mirrors), _ = taught.init(jax.random.key(3), (5,))
    together = params, mirrors
    _, beside = taught.forward(together, jnp.tile(x, (4000, 1)), jax.random.key(4))
    turned = taught.factors(together, (cache, beside[1]), taught.backward(together, (cache, ()), error)[1])
    for mirror, own, factored in zip(mirrors, params, turned[1], strict=True):
        if own:
            np.testing.assert_allclose(mirror - factored.total(), own["w"], atol=0.05)
    expected = net.backward((params[0], params[1], {**params[2], "w": mirrors[2]}), cache, error)[1]
    np.testing.assert_array_equal(taught.backward(together, (cache, ()), error)[1][0], expected[0])
    assert jax.tree.map(jnp.shape, taught.own(together)) == jax.tree.map(jnp.shape, params)


def test_direct_feedback_skips_the_layers_above():
    net = classifier.mlp((4, 6), "tanh", classes=3)
    params, _ = net.init(jax.random.key(0), (5,))
    _, cache = net.forward(params, jax.random.normal(jax.random.key(1), (7, 5)))
    error = jax.random.normal(jax.random.key(2), (7, 3))
    flat = (*cache[:3], jax.tree.map(jnp.ones_like, cache[3]), cache[4])
    reaches = {}
    for rule in ("feedback alignment", "direct feedback alignment"):
        taught = feedback.RULES[rule](net, 0)
        first, other = (taught.backward(params, kept, error)[1][0] for kept in (cache, flat))
        reaches[rule] = not np.allclose(first, other)
    assert reaches == {"feedback alignment": True, "direct feedback alignment": False}


def test_the_angle_between_updates():
    u, v = {"w": jnp.array([[1.0, 0.0]])}, {"w": jnp.array([[3.0, 3.0]])}
    np.testing.assert_allclose(learning_rules.angle(u, v), 45, rtol=1e-6)
    np.testing.assert_allclose(learning_rules.angle(u, {"w": -u["w"]}), 180, rtol=1e-6)


def test_influence(tmp_path, capsys):
    arguments = "--hidden", 16, "--examples", 400, "--epochs", 4, "--predictions", 2, "--shown", 3
    assert main("influence", *arguments, "--out", tmp_path) == 0
    (run,) = tmp_path.iterdir()
    lines = lines_of(run)
    assert [line["label"] == line["predicted"] for line in lines] == [False, False, True, True]
    labels = np.asarray(data.mnist_5k().y[:400])
    for line in lines:
        assert len(set(line["helpful"]) | set(line["harmful"])) == 6
        helpful, harmful = line["helpful_influences"], line["harmful_influences"]
        assert helpful == sorted(helpful, reverse=True)
        assert harmful == sorted(harmful)
        assert min(helpful) > 0 > max(harmful)
        assert np.mean(labels[line["helpful"]] == line["label"]) > 0.5
        assert line["label"] not in labels[line["harmful"]]
    assert (run / "influence.png").read_bytes().startswith(PNG)
    assert "influence.png" in capsys.readouterr().out


def test_influence_is_what_a_step_on_the_image_does():
    settings = influence.Settings(hidden=(8,), epochs=2, examples=200, batch_size=20, learning_rate=2e-3)
    digits, net = settings.digits(), settings.net()
    test = digits.x_held_out[:2], digits.y_held_out[:2]
    params = influence.checkpoints(net, settings, digits)
    found = influence.traced(net, settings, params, digits, np.arange(2))
    assert found.shape == (2, 200)

    def costs(params):
        return small_training.COST(net.forward(params, test[0])[0], test[1])

    for image in (0, 7):
        x, y = digits.x[image, None], digits.y[image, None]
        step, moved = jax.grad(lambda params, x, y: small_training.COST(net.apply(params, x), y).sum()), jnp.zeros(2)
        for at in params:
            there = jax.tree.map(lambda p, g: p - 1e-4 * g, at, step(at, x, y))
            moved += costs(at) - costs(there)
        np.testing.assert_allclose(found[:, image], moved, rtol=0.03, atol=1e-5)


SMALL_PRIVATE = {"hidden": (8,), "examples": 60, "epochs": 3, "batch_size": 60, "learning_rate": 0.3}


def test_dp_mnist(tmp_path, capsys):
    pytest.importorskip("dp_accounting")
    arguments = "--examples", 400, "--batch-size", 100, "--epochs", 10, "--noise", 0.5, 20
    assert main("dp-mnist", *arguments, "--out", tmp_path) == 0
    (run,) = tmp_path.iterdir()
    without, little, much = lines_of(run)
    assert without["epsilon"] is None
    assert little["epsilon"] > 10 > 1 > much["epsilon"] > 0
    assert without["accuracy"] > 0.5 > 0.3 > much["accuracy"]
    assert (run / "accuracy.png").read_bytes().startswith(PNG)
    assert "accuracy.png" in capsys.readouterr().out


@pytest.mark.parametrize("steps", [1, 9])
def test_epsilon_of_whole_batches_is_that_of_the_gaussian_mechanism(steps):
    """B. Balle, Y.-X. Wang, ICML, 2018, theorem 8: δ of (ε, δ), where k steps are one of noise σ / √k."""
    pytest.importorskip("dp_accounting")
    noise, delta = 4.0, 1e-3
    found, cdf = private.epsilon(noise, 1.0, steps, delta), NormalDist().cdf
    sigma = noise / math.sqrt(steps)
    told = cdf(0.5 / sigma - found * sigma) - math.exp(found) * cdf(-0.5 / sigma - found * sigma)
    np.testing.assert_allclose(told, delta, rtol=0.01)


def test_private_training_of_whole_batches_without_a_limit_is_gradient_descent():
    settings = dp_mnist.Settings(**SMALL_PRIVATE, max_norm=1e6)
    digits, net = settings.digits(), settings.net()
    params, _ = net.init(jax.random.key(settings.seed), (784,))
    for _ in range(3):
        _, gradients, _ = jb.backprop(net, small_training.COST)(params, digits.x, digits.y)
        params = jax.tree.map(lambda p, g: p - settings.learning_rate * g, params, gradients)
    found = private.trainer(settings, *dp_mnist.task(settings))(0.0)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 4])
def test_the_noise_of_steps_is_as_large_as_they_say_and_each_has_its_own(steps):
    settings = dp_mnist.Settings(**{**SMALL_PRIVATE, "epochs": steps}, max_norm=0.5)
    quiet, loud = map(private.trainer(settings, *dp_mnist.task(settings)), (0.0, 30.0))
    moved = (loud[0]["w"] - quiet[0]["w"]).ravel()
    np.testing.assert_allclose(moved.std(), settings.learning_rate * 30.0 * 0.5 / 60 * math.sqrt(steps), rtol=0.05)


def test_batches_hold_each_example_alike():
    rows, weights = private.batches(0, examples=50, share=0.2, steps=2000)
    assert weights.sum(1).max() == rows.shape[1]
    assert all(len(set(batch)) == len(batch) for batch in rows[:20])
    counts = np.bincount(rows[weights == 1], minlength=50)
    np.testing.assert_allclose(counts / 2000, 0.2, atol=0.05)
    np.testing.assert_allclose(weights.sum(1).var(), 50 * 0.2 * 0.8, rtol=0.15)


def test_batches_fill_up_to_a_number_that_parts_divide():
    rows, weights = private.batches(0, examples=11, share=0.9, steps=7, parts=4)
    assert rows.shape == weights.shape and rows.shape[1] % 4 == 0
    for batch, kept in zip(rows, weights == 1, strict=True):
        assert len(set(batch[kept])) == kept.sum()


def test_a_private_convolutional_network():
    """One step on a whole batch, in two parts, moves no further than the longest gradient."""
    arguments = {"hidden": (8,), "examples": 60, "epochs": 1, "batch_size": 60, "learning_rate": 0.3}
    settings = dp_mnist.Settings(**arguments, network="cnn", channels=(2, 3), max_norm=0.01, micro_batches=2)
    params, _ = settings.net().init(jax.random.key(settings.seed), (784,))
    found = private.trainer(settings, *dp_mnist.task(settings))(0.0)
    moved, _ = ravel_pytree(jax.tree.map(jnp.subtract, found, params))
    assert 0 < jnp.linalg.norm(moved) <= 0.3 * 0.01
    assert sum(leaf.ndim == 4 for leaf in jax.tree.leaves(found)) == 2


def test_dp_gpt(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(private, "epsilon", lambda noise, share, steps, delta: 2 / noise)
    (tmp_path / "text").write_text("To be, or not to be: that is the question.\n" * 60)
    size = "--depth", 2, "--width", 8, "--heads", 2, "--length", 6, "--batch-size", 64, "--steps", 30
    assert main("dp-gpt", *size, "--noise", 0.5, 50, "--text", tmp_path / "text", "--out", tmp_path / "runs") == 0
    (run,) = (tmp_path / "runs").iterdir()
    without, little, much = lines_of(run)
    assert [line["epsilon"] for line in (without, little, much)] == [None, 4, 0.04]
    assert without["bits"] < little["bits"] < 3.5 < much["bits"]  # counts of single characters take 3.67
    assert (run / "bits.png").read_bytes().startswith(PNG)
    printed = capsys.readouterr().out
    assert "bits.png" in printed and "by counts of single characters" in printed and "step, s" in printed
    assert all(line["step_seconds"] > 0 for line in (without, little, much))


def test_dp_mnist_without_its_library(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    assert main("dp-mnist", "--out", tmp_path) != 0
    assert "wanted dp-accounting (the extra `private` of jbackprop)" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("network", ["classifier", "autoencoder"])
def test_kfac_learns_in_fewer_steps(network, tmp_path, capsys):
    arguments = "--network", network, "--hidden", 12, 5, "--examples", 400, "--batch-size", 100, "--epochs", 3
    assert main("kfac", *arguments, "--out", tmp_path) == 0
    (run,) = tmp_path.iterdir()
    lines = {(line["optimizer"], line["epoch"]): line for line in lines_of(run)}
    assert len(lines) == 3 * 3
    for every in (1, 10):
        assert lines[f"K-FAC, {every}", 3]["cost"] < 0.9 * lines["Adam", 3]["cost"]
    score = {"classifier": "held_out_accuracy", "autoencoder": "held_out_error"}[network]
    assert all(line[score] > 0 for line in lines.values())
    assert (run / "cost.png").read_bytes().startswith(PNG)
    assert "cost.png" in capsys.readouterr().out


BAD = [
    ("gradient-flow --depth 0", "--depth, wanted a positive number, got 0"),
    ("gradient-flow --width 0", "--width, wanted a positive number, got 0"),
    ("gradient-flow --examples 0", "--examples, wanted a positive number, got 0"),
    ("learning-rules --epochs 0", "--epochs, wanted at least 1, got 0"),
    ("learning-rules --examples 4001", "--examples, wanted 1 to 4000 or None, got 4001"),
    ("learning-rules --batch-size 0", "--batch-size, wanted 1 to 4000 (the examples), got 0"),
    ("learning-rules --learning-rate 0.0", "--learning-rate, wanted a positive number, got 0.0"),
    ("influence --examples 50 --predictions 0", "--predictions, wanted at least 1, got 0"),
    ("influence --examples 50 --shown 51", "--shown, wanted 1 to 50 (the examples), got 51"),
    ("dp-mnist --noise 0.0", "--noise, wanted positive numbers, got (0.0,)"),
    ("dp-mnist --max-norm 0.0", "--max-norm, wanted a positive number, got 0.0"),
    ("dp-mnist --noise 1.0 --micro-batches 0", "--micro-batches, wanted at least 1, got 0"),
    ("dp-mnist --network cnn --hidden 8 9", "--hidden, wanted one width for a cnn, got (8, 9)"),
    ("kfac --momentum 1.0", "--momentum, wanted a number in [0, 1), got 1.0"),
    ("kfac --inverse-every 1 0", "--inverse-every, wanted positive numbers of steps, got (1, 0)"),
    ("kfac --damping -1", "--damping, wanted at least 0, got -1.0"),
    ("kfac --hidden 0", "--hidden, wanted positive widths, got (0,)"),
    ("dp-gpt --text none", "--text, wanted a file to read, got none"),
    ("dp-gpt --depth -1", "--depth, wanted a positive number, or 0 for the preset's, got -1"),
    ("dp-mnist --delta 1.0", "--delta, wanted a number between 0 and 1, got 1.0"),
]


@pytest.mark.parametrize(("command", "message"), BAD)
def test_bad_input_is_named(command, message, tmp_path, capsys):
    assert main(*command.split(), "--out", tmp_path) != 0
    assert message in capsys.readouterr().err
