"""Gradient descent on any optax optimizer: one jitted step, or an epoch of them as one scan."""

from ._finite import NonFiniteError as NonFiniteError
from ._finite import check_finite as check_finite
from ._state import Metrics as Metrics
from ._state import State as State
from ._state import init as init
from ._step import epoch as epoch
from ._step import step as step
