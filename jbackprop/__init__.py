"""Layers for JAX whose backward pass is written by hand, proved against `jax.grad` and measured against it."""

from . import graph as graph
from . import layers as layers
from . import rules as rules
from . import training as training
from ._automatic import automatic as automatic
from ._backprop import autodiff as autodiff
from ._backprop import backprop as backprop
from ._residuals import Residual as Residual
from ._residuals import residuals as residuals
from .check import CHECKS as CHECKS
from .check import GradientError as GradientError
from .check import Report as Report
from .check import assert_gradients as assert_gradients
from .check import check as check
from .compare import Comparison as Comparison
from .compare import Comparisons as Comparisons
from .compare import compare as compare
from .explain import explain as explain
