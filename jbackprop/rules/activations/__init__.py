"""Functions of single entries: a = σ(z), and prelu, whose slope is a parameter."""

from ._activations import elu as elu
from ._activations import gelu as gelu
from ._activations import leaky_relu as leaky_relu
from ._activations import relu as relu
from ._activations import selu as selu
from ._activations import sigmoid as sigmoid
from ._activations import silu as silu
from ._activations import softplus as softplus
from ._activations import swish as swish
from ._activations import tanh as tanh
from ._piecewise import hard_sigmoid as hard_sigmoid
from ._piecewise import hard_silu as hard_silu
from ._piecewise import hard_swish as hard_swish
from ._piecewise import hard_tanh as hard_tanh
from ._piecewise import prelu as prelu
from ._piecewise import relu6 as relu6
from ._piecewise import relu_squared as relu_squared
from ._piecewise import sparse_plus as sparse_plus
from ._piecewise import sparse_sigmoid as sparse_sigmoid
from ._smooth import celu as celu
from ._smooth import log_sigmoid as log_sigmoid
from ._smooth import mish as mish
from ._smooth import soft_sign as soft_sign
from ._smooth import squareplus as squareplus
