"""Gradient descent on any optax optimizer: one jitted step, or an epoch of them as one scan."""

from ._finite import NonFiniteError as NonFiniteError
from ._finite import check_finite as check_finite
from ._finite import overflowed as overflowed
from ._mesh import fully_sharded as fully_sharded
from ._scale import DynamicScale as DynamicScale
from ._scale import LossScale as LossScale
from ._state import Metrics as Metrics
from ._state import State as State
from ._state import init as init
from ._step import epoch as epoch
from ._step import step as step
from ._step import with_statistics as with_statistics
from ._ways import in_parts as in_parts
from ._ways import mixed_precision as mixed_precision
