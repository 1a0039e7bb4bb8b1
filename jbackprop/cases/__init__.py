"""The one table of cases that drives all generic tests, the comparison and the benchmarks.

A case holds shapes, not arrays: `draw` makes the arguments for a key and a dtype.  Its sizes are pairwise distinct, so
that a transpose cannot hide, and every rule with batch axes occurs with none, one and two of them.  `reference` is an
implementation that shares no code with ours: of `jax.nn`, of optax, or written out.
"""

from ._activations import ACTIVATIONS, PIECEWISE, SMOOTH
from ._attention import ATTENTION
from ._case import Case as Case
from ._convolution import CONVOLUTION
from ._dropout import DROPOUT
from ._embedding import EMBEDDING
from ._gated import GATED
from ._implicit import IMPLICIT
from ._layers import LAYERS as LAYERS
from ._layers import NETWORKS as NETWORKS
from ._layers import LayerCase as LayerCase
from ._linear import LINEAR
from ._normalisation import NORMALISATION
from ._on_purpose import ON_PURPOSE as ON_PURPOSE
from ._on_purpose import Replaced as Replaced
from ._pooling import POOLING
from ._positions import POSITIONS
from ._recurrent import RECURRENT
from ._softmax import SOFTMAX
from .losses import CTC, LOSSES, SIMILARITY, SOFTMAX_CROSS_ENTROPY

CASES = (
    *LINEAR,
    *ACTIVATIONS,
    *PIECEWISE,
    *SMOOTH,
    *GATED,
    *DROPOUT,
    *SOFTMAX,
    *LOSSES,
    *SIMILARITY,
    *SOFTMAX_CROSS_ENTROPY,
    *NORMALISATION,
    *ATTENTION,
    *EMBEDDING,
    *POSITIONS,
    *POOLING,
    *CONVOLUTION,
    *RECURRENT,
    *IMPLICIT,
    *CTC,
)
"""Every rule of the library, with its options."""

FIRST_CASES = tuple(
    case for i, case in enumerate(CASES) if case.rule_name not in {earlier.rule_name for earlier in CASES[:i]}
)
"""One case of each rule, the one that comes first."""
