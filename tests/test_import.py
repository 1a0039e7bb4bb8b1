"""What importing the library does, which is nothing but to define names."""

import os
import subprocess
import sys

_IMPORT_ALL = """
import importlib, pkgutil, jbackprop
for module in pkgutil.walk_packages(jbackprop.__path__, "jbackprop."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        print(module.name)
"""


def test_importing_every_module_starts_no_device():
    """It would keep the importing program from choosing its devices: here there is none that could be started."""
    environment = {**os.environ, "JAX_PLATFORMS": "no_such_platform", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "jbackprop.cases._normalisation" in done.stdout.split()
