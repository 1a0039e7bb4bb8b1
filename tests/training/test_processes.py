"""Two processes that train together over loopback equal one; where one dies, the other says so, and both can go on."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import chex
import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("two_processes.py")
SECONDS = 120
"""In which processes end, whatever becomes of the other: they notice a silent one after ten."""


@pytest.fixture
def address():
    """A free port of this machine."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            return f"127.0.0.1:{server.getsockname()[1]}"
    except OSError as error:
        pytest.skip(f"no loopback: {error}")


def run(address, folder, count, **environment):
    """The exit statuses and the errors of so many processes that train together."""
    folder.mkdir(exist_ok=True)
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPT, address, str(rank), str(count), folder],
            cwd=SCRIPT.parents[2],
            env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[2]), **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        errors = [process.communicate(timeout=SECONDS)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], errors


def steps(folder, rank):
    """Where a process stood after each step that it took."""
    return [list(np.load(file).values()) for file in sorted(folder.glob(f"{rank}-*.npz"))]


def test_two_processes_equal_one_outlive_each_other_and_go_on(address, tmp_path):
    assert run(address, tmp_path / "one", 1)[0] == [0]
    wanted = steps(tmp_path / "one", 0)
    statuses, errors = run(address, tmp_path / "two", 2)
    assert statuses == [0, 0], errors
    for rank in (0, 1):
        chex.assert_trees_all_close(steps(tmp_path / "two", rank), wanted, rtol=0, atol=1e-6)
    (status, died), (error, _) = run(address, tmp_path / "death", 2, DIE_AFTER="2")
    assert died == 9 and status == 3
    assert error.splitlines()[-1].startswith("rank 0: JaxRuntimeError: ")
    chex.assert_trees_all_close(steps(tmp_path / "death", 0), wanted[:2], rtol=0, atol=1e-6)
    statuses, errors = run(address, tmp_path / "death", 2, RESUME_AFTER="2")
    assert statuses == [0, 0], errors
    chex.assert_trees_all_equal(steps(tmp_path / "death", 0), steps(tmp_path / "two", 0))
