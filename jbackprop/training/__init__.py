"""Gradient descent on any optax optimizer: one jitted step, or an epoch of them as one scan."""

from ._training import Metrics as Metrics
from ._training import NonFiniteError as NonFiniteError
from ._training import State as State
from ._training import check_finite as check_finite
from ._training import epoch as epoch
from ._training import init as init
from ._training import step as step
