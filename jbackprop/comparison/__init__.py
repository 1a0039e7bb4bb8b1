"""The manual gradient of a function beside the automatic one: error, time, memory, work and residuals.

`compare` measures and returns data (`Comparison`, or `Comparisons` for a sweep over sizes); the data know how to print
themselves as text, Markdown, JSON, HTML, SVG and PNG.

What the figures mean.
  error       of each gradient against a float64 evaluation of the automatic one (or of the reference), on the same
              arguments and one random cotangent.  In roundings, it is the largest error of an entry, divided by the
              dtype's rounding (the distance from 1 to the next number) times the largest entry of the truth; relative,
              it is ‖error‖ / ‖truth‖.
  forward     the output and the residuals; backward: the gradients from the residuals and the cotangent, compiled
              alone, so that no forward pass is fused into it; whole: the output and the gradients in one program.
  time        seconds a call, dispatch included.  In each round every program of both sides runs in turn, in a random
              order; the quartiles are over the rounds, and the ratio is formed within each round.
  memory      what the compiled program reports (`memory_analysis`): temporary, peak, arguments, outputs.
  work        FLOPs and bytes accessed as the compiler counts them (`cost_analysis`); the body of a loop counts once.
  residuals   what the forward pass keeps for the backward pass; arguments and outputs that live anyway are told apart
              from new memory.
A figure that the device or its compiler does not tell is None, and is printed as a dash.
"""

from jbackprop.functions import Quartiles as Quartiles

from ._compare import compare as compare
from ._comparison import Comparison as Comparison
from ._comparison import Comparisons as Comparisons
from ._data import CompiledFor as CompiledFor
from ._data import Error as Error
from ._data import Measurement as Measurement
from ._data import Program as Program
from ._data import Ratios as Ratios
from ._data import Side as Side
from ._data import Stage as Stage
from ._inputs import TRANSFORMS as TRANSFORMS
from ._targets import TARGETS as TARGETS
from ._targets import prepare_targets as prepare_targets
