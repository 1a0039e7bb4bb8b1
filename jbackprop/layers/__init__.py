"""Layers: records of pure functions in which the δ recursion is a function of its own.

`chain` builds a network, which is a layer again; `define` makes a layer of your own.
"""

from jax.nn.initializers import glorot_normal as glorot_normal
from jax.nn.initializers import glorot_uniform as glorot_uniform
from jax.nn.initializers import he_normal as he_normal
from jax.nn.initializers import he_uniform as he_uniform
from jax.nn.initializers import lecun_normal as lecun_normal
from jax.nn.initializers import lecun_uniform as lecun_uniform

from ._activations import elu as elu
from ._activations import gelu as gelu
from ._activations import leaky_relu as leaky_relu
from ._activations import log_softmax as log_softmax
from ._activations import relu as relu
from ._activations import selu as selu
from ._activations import sigmoid as sigmoid
from ._activations import silu as silu
from ._activations import softmax as softmax
from ._activations import softplus as softplus
from ._activations import tanh as tanh
from ._backprop import Backpropagate as Backpropagate
from ._backprop import autodiff as autodiff
from ._backprop import backprop as backprop
from ._chain import chain as chain
from ._layer import UNNAMED as UNNAMED
from ._layer import About as About
from ._layer import Contraction as Contraction
from ._layer import Layer as Layer
from ._layer import Params as Params
from ._layer import define as define
from ._layer import like as like
from ._layer import no_gradient as no_gradient
from ._layer import no_parameters as no_parameters
from ._layer import total as total
from ._linear import linear as linear
