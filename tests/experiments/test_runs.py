"""A run that is stopped, killed or damaged: it goes on as if it had not been, or says why not."""

import concurrent.futures
import dataclasses
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import __main__, checkpoints, classifier, data, digits_mlp, fit, passes, runs
from experiments.errors import InputError
from jbackprop import rules, training

pytest.importorskip("sklearn")

# Orbax leaves tasks of its reader behind where a file is broken.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SETTINGS = ["digits-mlp", "--hidden", "12", "--batch-size", "100", "--optimizer", "adam", "--learning-rate", "0.01"]
ROOT = Path(__main__.__file__).parents[1]
STEPS = 14
"""Of an epoch: 1,437 examples, 100 at a time."""
KILLS = int(os.environ.get("JBACKPROP_KILLS", "2"))
"""How often a run is killed; each costs a start."""


def main(*arguments):
    return __main__.main([str(argument) for argument in arguments])


def started(*arguments):
    """A process of its own, which Ctrl-C reaches even where a shell has its background jobs ignore it."""
    ours = signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = [sys.executable, "-m", "experiments", *map(str, arguments)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    signal.signal(signal.SIGINT, ours)
    return process


def wait_for(condition, process, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)


def only_run(root):
    (run,) = root.iterdir()
    return run


def arrays(run):
    """The last checkpoint's step, and the digest of what it holds."""
    step = max(int(folder.name) for folder in (run / "checkpoints").iterdir())
    return step, (run / "checkpoints" / str(step) / "about" / "metadata").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of six epochs that nobody disturbs."""
    out = tmp_path_factory.mktemp("whole")
    assert main(*SETTINGS, "--epochs", 6, "--out", out) == 0
    return only_run(out)


def test_resumed_is_as_if_never_stopped(whole, tmp_path, capsys):
    assert main(*SETTINGS, "--epochs", 3, "--out", tmp_path) == 0
    run = only_run(tmp_path)
    assert main("digits-mlp", "--resume", run, "--epochs", 6) == 0
    assert arrays(run) == arrays(whole)
    assert runs.Run(run).metrics() == runs.Run(whole).metrics()
    assert (run / "training.png").stat().st_size > 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop_it_ends_its_steps_saves_and_draws(number, status, tmp_path):
    process = started(*SETTINGS, "--epochs", 10**6, "--backward", "manual", "--out", tmp_path)
    try:
        wait_for(lambda: list(tmp_path.glob("*/checkpoints/*")), process)
        process.send_signal(number)
        _, printed = process.communicate(timeout=60)
    finally:
        process.kill()
    run = only_run(tmp_path)
    assert process.returncode == status
    step, _ = arrays(run)
    assert printed.splitlines()[-1] == f"experiments: stopped after {step} steps; --resume {run} goes on"
    assert "Traceback" not in printed
    last = runs.Run(run).metrics()[-1]["epoch"]
    assert step // STEPS == last and (run / "training.png").exists()
    assert "step ms" not in printed
    assert json.loads((run / "result.json").read_text())["copies"]["manual"].keys() == {"score"}


class _AskedAfter:
    """Somebody who asks to stop when a run has looked so often whether anybody does."""

    def __init__(self, looks):
        self._looks = looks

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    @property
    def signal(self):
        self._looks -= 1
        return None if self._looks >= 0 else signal.SIGTERM


@pytest.mark.parametrize("step", [3, STEPS + 6])
def test_stopped_inside_an_epoch_it_goes_on_bit_for_bit(step, whole, tmp_path, monkeypatch, capsys):
    """In the first, when there is nothing to draw yet, and in the second."""
    with monkeypatch.context() as patch:
        patch.setattr(passes, "SECONDS", 0)  # one step at a time
        patch.setattr(fit, "Asked", lambda: _AskedAfter(step))
        assert main(*SETTINGS, "--epochs", 6, "--out", tmp_path) == 143
    run = only_run(tmp_path)
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"experiments: stopped after {step} steps; --resume")
    assert (arrays(run)[0], len(runs.Run(run).metrics())) == (step, 2 * (step // STEPS))
    assert (run / "training.png").exists() == (step > STEPS)
    assert main("digits-mlp", "--resume", run, "--epochs", 6) == 0
    assert arrays(run) == arrays(whole)
    assert runs.Run(run).metrics() == runs.Run(whole).metrics()


def test_killed_at_any_moment_it_goes_on_bit_for_bit(whole, tmp_path):
    """Also while a checkpoint is written: each epoch writes one, and takes about as long."""
    draw = random.Random(7)
    arguments = [*SETTINGS, "--epochs", 6, "--out", tmp_path]
    for _ in range(KILLS):
        process = started(*arguments)
        try:
            wait_for(lambda: list(tmp_path.glob("*/metrics.jsonl")), process)
            time.sleep(draw.uniform(0, 0.5))
        finally:
            process.kill()
            process.communicate()
        arguments = ["digits-mlp", "--resume", only_run(tmp_path), "--epochs", 6]
    assert main(*arguments) == 0
    assert arrays(only_run(tmp_path)) == arrays(whole)
    assert runs.Run(only_run(tmp_path)).metrics() == runs.Run(whole).metrics()


def copied(run, tmp_path):
    return Path(shutil.copytree(run, tmp_path / "copy"))


def truncate(run):
    for file in (run / "checkpoints").rglob("d/*"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def alter(run):
    path = run / "checkpoints" / str(6 * STEPS) / "about" / "metadata"
    path.write_text(path.read_text().replace('"sha256": "', '"sha256": "0'))


def rename(run):
    (run / "config.json").write_text((run / "config.json").read_text().replace("digits-mlp", "mnist-mlp"))


def another(run):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "hidden": [13]}))


def nest(run):
    (run / "config.json").write_text(100_000 * "[")


def empty(run):
    (run / "config.json").write_text("")


DAMAGES = {
    "truncated": (truncate, [], "wanted one of this network, got"),
    "altered": (alter, [], "wanted its arrays as they were written, got others"),
    "another experiment": (rename, [], "--resume, wanted the folder of a run of digits-mlp, got"),
    "another network": (another, [], "wanted one of this network, got"),
    "nested settings": (nest, [], "--resume, wanted the folder of a run of digits-mlp, got"),
    "no settings": (empty, [], "--resume, wanted the folder of a run of digits-mlp, got"),
    "other settings": (lambda run: None, ["--seed", "3"], "--seed, wanted 0 as the run was started with, got 3"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_run_that_cannot_go_on_is_left_as_it_is(name, whole, tmp_path, capsys):
    damage, more, message = DAMAGES[name]
    run = copied(whole, tmp_path)
    damage(run)
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    assert main("digits-mlp", "--resume", run, *more) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.startswith("experiments: ") and printed.count("\n") == 1
    after = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    assert after == before


def test_a_run_that_another_process_writes(whole, tmp_path, capsys):
    run = copied(whole, tmp_path)
    with runs.opened(runs.stored_settings(run, "digits-mlp", digits_mlp.Settings), "digits-mlp"):
        assert main("digits-mlp", "--resume", run) == 2
    assert "--resume, wanted a run that no other process writes" in capsys.readouterr().err


def test_a_line_that_was_cut_off_is_none(tmp_path):
    run = runs.Run(tmp_path)
    run.log(epoch=1, cost=np.float32(2.5))
    with run.metrics_path.open("a") as file:
        file.write('{"epoch": 2, "co')
    assert run.metrics() == [{"epoch": 1, "cost": 2.5}]
    run.forget_after(0)
    assert run.metrics() == []


def test_a_line_that_is_none_is_named(tmp_path):
    run = runs.Run(tmp_path)
    run.metrics_path.write_text("[\n")
    with pytest.raises(InputError, match=r"metrics.jsonl, wanted a line of JSON for each epoch, got Expecting value"):
        run.metrics()


def test_the_best_so_far_is_that_of_the_copy_that_is_asked(tmp_path):
    """After a stop as without one: the other copy's scores do not count, nor one that was not finite."""
    settings, run = digits_mlp.Settings(), runs.Run(tmp_path)
    problem = classifier.problem(classifier.mlp((4,), "gelu", 10), data.digits())
    for backward, cost in (("manual", 0.5), ("automatic", float("nan")), ("automatic", 0.9)):
        run.log(backward=backward, epoch=1, held_out_cost=cost)
    best = fit._Best(settings, dataclasses.replace(problem, best="cost", largest=False), run)
    assert [best.is_now({"held_out_cost": cost}) for cost in (0.95, 0.7, 0.8)] == [False, True, False]


def test_a_checkpoint_holds_the_loss_scale(tmp_path):
    way = digits_mlp.Settings(precision="float16").ways(classifier.mlp((4,), "gelu", 10), rules.squared_error)["manual"]
    state = training.init(way.net.init(jax.random.key(0), (64,))[0], optax.sgd(0.1))
    state = training.with_statistics(way, state, np.ones((2, 64)), np.zeros((2, 10)))
    fallen = state._replace(loss_scale=training.LossScale(jnp.array(2.0**9), jnp.array(7)))
    checkpoints.Checkpoints(tmp_path, 1).save(3, {"manual": fallen})
    epoch, found = checkpoints.Checkpoints(tmp_path, 1).restored({"manual": state})
    assert epoch == 3 and found["manual"].loss_scale == (2.0**9, 7)


FULL = {
    "what the system says": OSError(28, "No space left on device"),
    "what tensorstore says": ValueError("RESOURCE_EXHAUSTED: Failed to write 9 bytes to file 7 [os_error_code='28']"),
}


@pytest.mark.parametrize("name", FULL)
def test_a_full_disk_is_one_line_and_exit_status_3(name, tmp_path, monkeypatch, capsys):
    def full(*arguments, **options):
        raise FULL[name]

    monkeypatch.setattr(checkpoints.ocp.CheckpointManager, "save", full)
    assert main(*SETTINGS, "--epochs", 2, "--out", tmp_path) == 3
    place = only_run(tmp_path) / "checkpoints"
    said = f"experiments: checkpoint {place}, wanted to write it, got No space left on device"
    assert capsys.readouterr().err.splitlines()[-1] == said
    assert [line["epoch"] for line in runs.Run(only_run(tmp_path)).metrics()] == [1, 1]


def test_a_full_disk_leaves_whole_lines(tmp_path):
    """Where a line does not fit, nothing of it is there."""
    run, before = runs.Run(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        run.log(text="a" * 60)
        with pytest.raises(OSError, match="No space left on device") as caught:
            run.log(text="b" * 60)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(run.metrics_path)
    assert run.metrics_path.read_text().endswith("\n") and run.metrics() == [{"text": "a" * 60}]


def test_runs_that_start_in_one_moment_have_folders_of_their_own(tmp_path):
    together = threading.Barrier(16)

    def start(_):
        together.wait()
        return runs.start(tmp_path, "digits-mlp", digits_mlp.Settings()).folder

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(start, range(16)))
    assert len(set(folders)) == 16


@pytest.mark.parametrize("seconds", [0.5, 3])
def test_interrupted_before_it_trains_it_ends_with_130(seconds, tmp_path):
    process = started(*SETTINGS, "--out", tmp_path)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert printed.splitlines()[-1].startswith("experiments: ") and "Traceback" not in printed


def test_on_several_devices_it_learns_the_same(whole, tmp_path):
    more = ["--devices", "4", "--sharded"]
    assert main(*SETTINGS, "--epochs", 6, *more, "--out", tmp_path) == 0
    pairs = zip(runs.Run(only_run(tmp_path)).metrics(), runs.Run(whole).metrics(), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one["cost"], other["cost"], rtol=0.05)
    assert jax.device_count() >= 4
