"""Pure functions of arrays whose backward pass is written by hand, each a plain `jax.custom_vjp` object.

Drop-in functions for Flax, Equinox, Haiku or bare JAX.  The derivation of each family stands at the top of its file.
"""

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
from ._dropout import dropout as dropout
from ._gated import geglu as geglu
from ._gated import glu as glu
from ._gated import reglu as reglu
from ._gated import swiglu as swiglu
from ._linear import bias_gradient as bias_gradient
from ._linear import input_gradient as input_gradient
from ._linear import linear as linear
from ._linear import weight_gradient as weight_gradient
from ._losses import sigmoid_cross_entropy as sigmoid_cross_entropy
from ._losses import softmax_cross_entropy as softmax_cross_entropy
from ._losses import squared_error as squared_error
from ._on_purpose import clip_gradient as clip_gradient
from ._on_purpose import clip_gradient_norm as clip_gradient_norm
from ._on_purpose import reverse_gradient as reverse_gradient
from ._on_purpose import scale_gradient as scale_gradient
from ._on_purpose import stop_gradient as stop_gradient
from ._on_purpose import straight_through as straight_through
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
from ._smooth import log1mexp as log1mexp
from ._smooth import log_sigmoid as log_sigmoid
from ._smooth import mish as mish
from ._smooth import soft_sign as soft_sign
from ._smooth import squareplus as squareplus
from ._softmax import log_softmax as log_softmax
from ._softmax import logsumexp as logsumexp
from ._softmax import softmax as softmax
