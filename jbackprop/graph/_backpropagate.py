"""Reverse mode by message passing.

    ∂C/∂x = Σ over the successors y of x   ∂C/∂y · ∂y/∂x

∂C/∂y is the backpropagated gradient of the successor, ∂y/∂x the local gradient of the edge.  Taken from the last node
to the first, every ∂C/∂y is there when it is needed, and each product is computed once, however many paths lead through
it.

Nothing of JAX's own differentiation is used: the local gradients come from the library's table.
"""

import functools
import operator

import jax
import jax.numpy as jnp

from jbackprop.report import described

from . import _derivatives as _derivatives  # fills the table
from ._backpropagation import Backpropagation
from ._graph import CONSTANT, INPUT, Graph, Message
from ._rules import Call, Factor, rule_for


def backpropagate(graph: Graph) -> Backpropagation:
    """Every message and every gradient of a traced function with one scalar result.

    Raises:
      ValueError: the result is not one scalar.
      TypeError: the result is no float, or no input is.
      NotImplementedError: the table lacks a primitive; `derivative` adds it.  Or there are complex numbers on the way.

    Example:
      >>> from jbackprop import graph
      >>> back = graph.backpropagate(graph.trace(lambda w, x: (w * x) ** 2, 3.0, 2.0))
      >>> [float(gradient) for gradient in back.arguments]
      [24.0, 36.0]
    """
    _check(graph)
    cost = graph.outputs[0]
    gradients: list[jax.Array | None] = [None] * len(graph.nodes)
    messages = []
    values = [tuple(graph.nodes[index].value for index in node.operands) for node in graph.nodes]
    for node in reversed(graph.nodes):
        if not node.differentiable:
            continue
        received = [
            message
            for edge in graph.successors[node.index]
            if (message := _message(graph, edge, values[edge.target], gradients[edge.target])) is not None
        ]
        arrived = [message.value for message in received] + [jnp.ones_like(node.value)] * (node.index == cost)
        gradients[node.index] = functools.reduce(operator.add, arrived) if arrived else jnp.zeros_like(node.value)
        messages += received
    return Backpropagation(graph, tuple(messages), tuple(gradients))


def _message(graph, edge, operands, received):
    """What the target sends back along the edge, if anything."""
    if received is None:
        return None
    target = graph.nodes[edge.target]
    rule = rule_for(target.operation, edge.position)
    if rule is None:
        return None
    call = Call(target.primitive, target.params, operands, target.value, edge.position, target.output)
    if isinstance(rule, Factor):
        local = rule.local(call)
        value = received * local
    else:
        local = None
        value = rule.pull(received, call)
    formula = _formula(graph, edge, rule, call)
    if value.shape != call.x.shape:
        value, formula = _unbroadcast(value, call.x), f"Σ {formula} over the copies"
    return Message(edge, received, local, value.astype(call.x.dtype), formula)


def _unbroadcast(value, x):
    """The sum over the axes along which the operation repeated x: those it lacks, or has once."""
    extra = value.ndim - x.ndim
    repeated = [extra + i for i, size in enumerate(x.shape) if size != value.shape[extra + i]]
    return jnp.sum(value, (*range(extra), *repeated)).reshape(x.shape)


def _formula(graph, edge, rule, call):
    """The product in symbols, such as ∂C/∂z · a(1 − a)."""
    target = graph.nodes[edge.target]
    x, a, b = (graph.nodes[target.operands[i]].name for i in (edge.position, 0, min(1, len(target.operands) - 1)))
    message = f"∂{graph.nodes[graph.outputs[0]].name}/∂{target.name}"
    text = rule.text if isinstance(rule.text, str) else rule.text(call)
    filled = text.format(m=message, y=target.name, x=x, a=a, b=b)
    times = "⊙" if call.y.ndim else "·"
    return f"{message} {times} {filled}" if isinstance(rule, Factor) else filled


def _check(graph):
    _check_real(graph)
    nodes = [graph.nodes[index] for index in graph.outputs]
    shapes = [node.shape for node in nodes]
    if shapes != [()]:
        raise ValueError(f"backpropagate: result, wanted one scalar, got shapes {shapes}")
    if not jnp.issubdtype(nodes[0].dtype, jnp.floating):
        raise TypeError(f"backpropagate: result, wanted a float, got {nodes[0].dtype}")
    if not any(graph.nodes[index].differentiable for index in graph.inputs):
        dtypes = [str(graph.nodes[index].dtype) for index in graph.inputs]
        raise TypeError(f"backpropagate: arguments, wanted a float among them, got {dtypes}")


def _check_real(graph):
    for node in graph.nodes:
        if node.operation != CONSTANT and jnp.issubdtype(node.dtype, jnp.complexfloating):
            source = "an argument" if node.operation == INPUT else f"the primitive {node.operation!r}"
            raise NotImplementedError(
                f"backpropagate: f, wanted real numbers alone, got {described(node.value)} from {source} ({node.name})"
            )
