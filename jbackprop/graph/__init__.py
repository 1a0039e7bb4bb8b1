"""Computation graphs with their messages: values go forward, backpropagated gradients come back.

back = graph.backpropagate(graph.trace(f, *args))
print(back)
back.save("f.html")
"""

from ._animation import animation as animation
from ._backpropagate import backpropagate as backpropagate
from ._backpropagation import Backpropagation as Backpropagation
from ._count import Products as Products
from ._count import count as count
from ._count import plot_products as plot_products
from ._draw import LIMIT as LIMIT
from ._draw import png as png
from ._draw import svg as svg
from ._graph import Edge as Edge
from ._graph import Graph as Graph
from ._graph import Message as Message
from ._graph import Node as Node
from ._graph import Sweep as Sweep
from ._group import group as group
from ._rules import Factor as Factor
from ._rules import Linear as Linear
from ._rules import derivative as derivative
from ._trace import trace as trace
