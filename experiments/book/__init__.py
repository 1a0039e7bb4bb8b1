"""The book: backpropagation from one neuron to attention, made of the source that it explains.

mathml        the plain-text notation of the docstrings, as MathML
typeset       a docstring or a text with such notation in it, as HTML
chapters      the chapters' texts, with the source, the derivations and the examples that they call for
build         the document
"""

from ._build import page as page
from ._chapters import chapters_of_graphs as chapters_of_graphs
from ._typeset import equations as equations
from ._typeset import is_equations as is_equations
from ._typeset import prose as prose
