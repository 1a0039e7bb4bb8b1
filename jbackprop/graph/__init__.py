"""Computation graphs with their messages: values go forward, backpropagated gradients come back."""

from ._backpropagate import backpropagate as backpropagate
from ._graph import Backpropagation as Backpropagation
from ._graph import Edge as Edge
from ._graph import Graph as Graph
from ._graph import Message as Message
from ._graph import Node as Node
from ._rules import Factor as Factor
from ._rules import Linear as Linear
from ._rules import derivative as derivative
from ._trace import trace as trace
