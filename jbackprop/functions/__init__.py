"""Anybody's function taken apart: its arrays and their names, its automatic twin, its passes, rounding and time.

Nothing here knows a rule or a layer of ours; every tool of the library is built on it.
"""

from ._arguments import SEEDS as SEEDS
from ._arguments import full_dtype_name as full_dtype_name
from ._arguments import parse_arguments as parse_arguments
from ._arguments import parse_option as parse_option
from ._automatic import automatic as automatic
from ._differentiable import Differentiable as Differentiable
from ._differentiable import Wrt as Wrt
from ._differentiable import argument_names as argument_names
from ._differentiable import described as described
from ._differentiable import differentiable as differentiable
from ._differentiable import function_name as function_name
from ._differentiable import is_array as is_array
from ._differentiable import is_inexact as is_inexact
from ._differentiable import replaced as replaced
from ._drawn import draw_arguments as draw_arguments
from ._drawn import draw_cotangents as draw_cotangents
from ._errors import error_line as error_line
from ._errors import error_message as error_message
from ._halves import Halves as Halves
from ._halves import halves as halves
from ._jaxprs import called_jaxpr as called_jaxpr
from ._jaxprs import evaluate_jaxpr as evaluate_jaxpr
from ._jaxprs import every_equation as every_equation
from ._precision import DTYPES as DTYPES
from ._precision import Arrays as Arrays
from ._precision import as_float64 as as_float64
from ._precision import cast as cast
from ._precision import is_real as is_real
from ._precision import precision as precision
from ._precision import rounded_to as rounded_to
from ._residuals import Residual as Residual
from ._residuals import new_bytes as new_bytes
from ._residuals import passes as passes
from ._residuals import residuals as residuals
from ._rounding import FLOAT64_SHARE as FLOAT64_SHARE
from ._rounding import UNITS as UNITS
from ._rounding import Allowance as Allowance
from ._rounding import Distance as Distance
from ._rounding import absolute_errors as absolute_errors
from ._rounding import distance_to_truth as distance_to_truth
from ._rounding import largest as largest
from ._rounding import neighbours as neighbours
from ._rounding import noise_of as noise_of
from ._rounding import shaken as shaken
from ._timing import Quartiles as Quartiles
from ._timing import calls_per_sample as calls_per_sample
from ._timing import interleaved as interleaved
from ._timing import quartiles as quartiles
from ._timing import time_sample as time_sample
from ._traced import computed_in as computed_in
from ._traced import count_rules as count_rules
from ._traced import draws_random_numbers as draws_random_numbers
from ._traced import longest_sum as longest_sum
