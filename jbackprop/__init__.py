"""Layers for JAX whose backward pass is written by hand, proved against `jax.grad` and measured against it."""

from . import _interrupted as _interrupted
from . import graph as graph
from . import layers as layers
from . import rules as rules
from . import signals as signals
from . import training as training
from .comparison import Comparison as Comparison
from .comparison import Comparisons as Comparisons
from .comparison import compare as compare
from .functions import Residual as Residual
from .functions import automatic as automatic
from .functions import residuals as residuals
from .layers import autodiff as autodiff
from .layers import backprop as backprop
from .proof import CHECKS as CHECKS
from .proof import GradientError as GradientError
from .proof import Report as Report
from .proof import assert_gradients as assert_gradients
from .proof import check as check
from .table import explain as explain
