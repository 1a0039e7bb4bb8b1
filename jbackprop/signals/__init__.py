"""What (input, δ) tell beyond the gradient: each quantity a small function of a factored gradient.

The factored gradients of a network are what its layers name, `net.factors(params, cache, deltas)`; every quantity takes
one of them, or a tree of them.
"""

from ._clipped import Clipped as Clipped
from ._clipped import ClippedGradient as ClippedGradient
from ._clipped import clipped_gradient as clipped_gradient
from ._dot import dot as dot
from ._dot import inner_products as inner_products
from ._flow import Flow as Flow
from ._flow import first_non_finite as first_non_finite
from ._flow import gradient_flow as gradient_flow
from ._forms import Cost as Cost
from ._forms import Form as Form
from ._forms import Plan as Plan
from ._forms import plan as plan
from ._influence import influence as influence
from ._kfac import KfacState as KfacState
from ._kfac import kfac as kfac
from ._kronecker import Kronecker as Kronecker
from ._kronecker import kronecker_factors as kronecker_factors
from ._passed import Signals as Signals
from ._passed import factored_gradient as factored_gradient
from ._per_example import per_example as per_example
from ._second_order import fisher_gradient as fisher_gradient
from ._second_order import ggn_vector_product as ggn_vector_product
from ._second_order import hessian_vector_product as hessian_vector_product
from ._squared_norm import squared_norm as squared_norm
from ._statistics import Noise as Noise
from ._statistics import cosines as cosines
from ._statistics import noise_scale as noise_scale
from ._statistics import second_moment as second_moment
from ._statistics import variance as variance
from ._tap import sink as sink
from ._tap import tap as tap
