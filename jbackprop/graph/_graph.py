"""What a computation graph is made of.

A node is an input or a quantity computed from others; an edge says which is computed directly from which.  Nodes stand
in the order of computation, so every edge leads from a smaller index to a larger one: the forward pass reads them from
the first to the last, backpropagation from the last to the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp

INPUT = "input"
CONSTANT = "constant"


@dataclass(frozen=True, eq=False)
class Node:
    """One quantity.

    Attributes:
      operation: the JAX primitive that computes it, or "input", or "constant" (whatever depends on
        no input).
      name: the argument's name, the name given by `jax.ad_checkpoint.checkpoint_name`, or v1, v2, …
      operands: the nodes it is computed from, in the primitive's order.
      primitive, params: the primitive itself (None for inputs and constants) and its parameters.
      output: which of the primitive's results this is.
      scope: the inlined functions and unrolled steps it was computed in, from the outside inwards.
    """

    index: int
    operation: str
    name: str
    value: jax.Array
    operands: tuple[int, ...] = ()
    primitive: Any = None
    params: Mapping[str, Any] = field(default_factory=dict)
    output: int = 0
    scope: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The value's shape."""
        return self.value.shape

    @property
    def dtype(self) -> Any:
        """The value's dtype."""
        return self.value.dtype

    @property
    def differentiable(self) -> bool:
        """Whether a gradient can reach it: constants and integers have none."""
        return self.operation != CONSTANT and bool(jnp.issubdtype(self.dtype, jnp.floating))


@dataclass(frozen=True)
class Edge:
    """`target` is computed from `source`, its operand number `position`."""

    source: int
    target: int
    position: int


@dataclass(frozen=True, eq=False)
class Graph:
    """The computation graph of one call of a function.

    Attributes:
      nodes: in the order of computation.
      inputs: the node of each leaf of the arguments.
      outputs: the node of each leaf of the result.
      arguments: the tree of the arguments.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    arguments: Any

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        return tuple(
            Edge(source, node.index, position) for node in self.nodes for position, source in enumerate(node.operands)
        )

    @cached_property
    def successors(self) -> tuple[tuple[Edge, ...], ...]:
        """For each node the edges that lead out of it, in the order of computation."""
        leaving: list[list[Edge]] = [[] for _ in self.nodes]
        for edge in self.edges:
            leaving[edge.source].append(edge)
        return tuple(tuple(edges) for edges in leaving)


@dataclass(frozen=True, eq=False)
class Message:
    """What a node sends back along one edge: its own gradient × the local gradient of the edge.

    Attributes:
      received: ∂C/∂target, the backpropagated gradient of the edge's target.
      local: ∂target/∂source where it acts element by element, else None (a linear map has no
        array of the same shape: `formula` says what it does).
      value: the product, of the source's shape.
      formula: the product in symbols.
    """

    edge: Edge
    received: jax.Array
    local: jax.Array | None
    value: jax.Array
    formula: str


@dataclass(frozen=True, eq=False)
class Sweep:
    """A graph with its messages and gradients, what the sweep back through it leaves.

    Attributes:
      messages: in the order in which they are sent.
      gradients: ∂C/∂node for each node, None where there is none (constants, integers).
    """

    graph: Graph
    messages: tuple[Message, ...]
    gradients: tuple[jax.Array | None, ...]

    @property
    def cost(self) -> Node:
        """The node of the result, whose gradients these are."""
        return self.graph.nodes[self.graph.outputs[0]]

    @cached_property
    def arguments(self) -> tuple[Any, ...]:
        """The gradient of each argument, as trees like the arguments; None at integer leaves."""
        leaves = [self.gradients[index] for index in self.graph.inputs]
        return jax.tree.unflatten(self.graph.arguments, leaves)

    @cached_property
    def received(self) -> tuple[tuple[Message, ...], ...]:
        """For each node the messages from its successors, in the order in which they arrive."""
        arrived: list[list[Message]] = [[] for _ in self.graph.nodes]
        for message in self.messages:
            arrived[message.edge.source].append(message)
        return tuple(tuple(messages) for messages in arrived)
