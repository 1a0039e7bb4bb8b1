"""Settings that hold for every test: eight simulated devices on the CPU, and compilers in a hurry."""

import os

import jax

# What a test compiles it runs a few times: most of the time would go into optimising it.
if jax.__version_info__ < (0, 11):
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_use_fusion_emitters=false"
jax.config.update("jax_disable_most_optimizations", True)

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
