"""Cases of the losses."""

from ._ctc import CTC as CTC
from ._losses import LOSSES as LOSSES
from ._similarity import SIMILARITY as SIMILARITY
from ._softmax_cross_entropy import SOFTMAX_CROSS_ENTROPY as SOFTMAX_CROSS_ENTROPY
