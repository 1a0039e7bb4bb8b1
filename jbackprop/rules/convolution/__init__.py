"""Convolution, and its transpose."""

from ._convolution import Correlated as Correlated
from ._convolution import conv as conv
from ._convolution import conv_transpose as conv_transpose
