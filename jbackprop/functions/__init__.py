"""Anybody's function taken apart: its arrays and their names, its automatic twin, its two passes, its rounding.

Nothing here knows a rule or a layer of ours; every tool of the library is built on it.
"""

from ._arguments import arguments as arguments
from ._arguments import drawn as drawn
from ._arguments import in_full as in_full
from ._arguments import option as option
from ._automatic import automatic as automatic
from ._differentiable import Differentiable as Differentiable
from ._differentiable import Wrt as Wrt
from ._differentiable import argument_names as argument_names
from ._differentiable import described as described
from ._differentiable import differentiable as differentiable
from ._differentiable import is_array as is_array
from ._differentiable import is_inexact as is_inexact
from ._differentiable import is_wide as is_wide
from ._differentiable import replaced as replaced
from ._errors import first_line as first_line
from ._errors import named as named
from ._halves import Halves as Halves
from ._halves import halves as halves
from ._jaxprs import called_jaxpr as called_jaxpr
from ._jaxprs import evaluate_jaxpr as evaluate_jaxpr
from ._precision import DTYPES as DTYPES
from ._precision import Arrays as Arrays
from ._precision import cast as cast
from ._precision import exact as exact
from ._precision import is_real as is_real
from ._precision import precision as precision
from ._precision import precision_of as precision_of
from ._precision import rounded as rounded
from ._residuals import Residual as Residual
from ._residuals import new_bytes as new_bytes
from ._residuals import passes as passes
from ._residuals import residuals as residuals
from ._rounding import SHARE as SHARE
from ._rounding import UNITS as UNITS
from ._rounding import Allowance as Allowance
from ._rounding import largest as largest
from ._rounding import neighbours as neighbours
from ._rounding import twin_noise as twin_noise
from ._traced import computed_in as computed_in
from ._traced import count_rules as count_rules
from ._traced import draws_random_numbers as draws_random_numbers
from ._traced import longest_sum as longest_sum
