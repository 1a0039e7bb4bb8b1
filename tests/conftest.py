"""Settings that hold for every test: eight simulated devices, on the CPU."""

import jax

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
