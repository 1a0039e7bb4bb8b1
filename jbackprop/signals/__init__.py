"""What (input, δ) tell beyond the gradient: each quantity a small function of a factored gradient.

The factored gradients of a network are what its layers name, `net.factors(params, cache, deltas)`; every quantity takes
one of them, or a tree of them.
"""

from ._clipped import Clipped as Clipped
from ._clipped import ClippedGradient as ClippedGradient
from ._clipped import clipped_gradient as clipped_gradient
from ._dot import dot as dot
from ._dot import inner_products as inner_products
from ._forms import Cost as Cost
from ._forms import Form as Form
from ._forms import Plan as Plan
from ._forms import plan as plan
from ._passed import Signals as Signals
from ._passed import factored_gradient as factored_gradient
from ._per_example import per_example as per_example
from ._squared_norm import squared_norm as squared_norm
