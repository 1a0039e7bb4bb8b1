"""Is everything right on this accelerator, and how fast?  `python -m experiments.accelerator`.

Every case of the table through `jb.check`, in several processes at once; then, alone, the programs for which people buy
accelerators, each beside what a user would write instead: JAX's own functions, cuDNN's attention, and PyTorch where it
is installed; and every case at a size for an accelerator, in bfloat16 and in float32, beside its autodiff twin and the
function of jax.nn or optax.
"""

from . import cases as cases
from .arrays import Array as Array
from .backends import ATTENTION as ATTENTION
from .checks import Checked as Checked
from .checks import check_all as check_all
from .report import document as document
from .rows import PROGRAMS as PROGRAMS
from .rows import Measured as Measured
from .rows import Program as Program
from .rows import measured as measured
from .rows import tiny as tiny
