"""How fast are the same functions elsewhere?  Every rule beside its autodiff twin, jax.nn, optax, Flax and PyTorch.

Measured is the gradient of a random-cotangent inner product ⟨u, f(x, …)⟩ by every floating point argument, in float32,
at the size of the case.  Each peer has a process of its own, started once, so that no library's threads or caches stand
in another's way; they are called in turn, in a random order in each round, while the others wait.

    python -m experiments.peers --cases gelu layer_norm --rounds 15
"""

from .measure import PEERS as PEERS
from .measure import ROWS as ROWS
from .measure import Row as Row
from .measure import run as run
from .measure import table as table
