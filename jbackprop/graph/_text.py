"""Numbers, arrays, operations and messages as short text."""

import jax
import jax.numpy as jnp

from jbackprop import report
from jbackprop.report import SHOWN, described, plain, superscript

from ._graph import CONSTANT, INPUT, Graph, Message, Node, Sweep

INFIX = {
    "add": "+",
    "add_any": "+",
    "sub": "−",
    "mul": "·",
    "div": "/",
    "dot_general": "@",
    "pow": "^",
    "gt": ">",
    "lt": "<",
}
SYMBOLS = {
    "neg": "−",
    "logistic": "σ",
    "reduce_sum": "Σ",
    "reduce_prod": "Π",
    "reduce_max": "max",
    "reduce_min": "min",
    "sqrt": "√",
    "transpose": "ᵀ",
    "broadcast_in_dim": "copy",
    "select_n": "select",
    "convert_element_type": "convert",
    "conv_general_dilated": "conv",
    "stop_gradient": "stop",
}
_ROOM = 16
"""Letters of a sum in a figure."""


def brief(value: jax.Array) -> str:
    """A scalar, a small array written out, or the dtype, shape and range of a large one."""
    if plain(value) is None:
        return described(value)
    return report.brief(value) if value.size <= SHOWN else f"{described(value)} {report.brief(value)}"


def symbol(node: Node) -> str:
    """The operation as a figure shows it."""
    if node.operation == "integer_pow":
        return superscript(node.params["y"])
    return INFIX.get(node.operation) or SYMBOLS.get(node.operation, node.operation)


def forward_equation(graph: Graph, node: Node) -> str:
    """How the node was computed: z = u + b = 5 + 1 = 6."""
    if node.operation in (INPUT, CONSTANT):
        return f"{node.name} = {brief(node.value)}"
    operands = [graph.nodes[index] for index in node.operands]
    steps = [node.name, operation(graph, node)]
    if all(operand.shape == () for operand in operands):
        steps.append(_applied(node, [brief(operand.value) for operand in operands]))
    return " = ".join([*steps, brief(node.value)])


def operation(graph: Graph, node: Node) -> str:
    """The node's right-hand side, as in w · x; what it is if it has none."""
    if node.operation in (INPUT, CONSTANT):
        return node.operation
    return _applied(node, [graph.nodes[index].name for index in node.operands])


def message_equation(back: Sweep, message: Message) -> str:
    """The product of one edge: ∂J/∂e · 2e = 1 · 8 = 8."""
    steps = [message.formula]
    if message.local is not None and message.value.ndim == 0 == message.received.ndim:
        steps.append(f"{brief(message.received)} · {bracketed(brief(message.local))}")
    return " = ".join([*steps, brief(message.value)])


def gradient_equation(back: Sweep, node: Node) -> str:
    """The sum over the successors: ∂f/∂b = 7 + 2 = 9."""
    if back.gradients[node.index] is None:
        return f"{node.name} has no gradient"
    return f"∂{back.cost.name}/∂{node.name} = {running_sum(back, node)}"


def running_sum(back: Sweep, node: Node, arrived: int | None = None) -> str:
    """What has arrived at a node, by default everything: 7, then 7 + 2 = 9."""
    gradient, received = back.gradients[node.index], back.received[node.index]
    if gradient is None:
        return ""
    complete = arrived is None or arrived == len(received)
    terms = [brief(message.value) for message in received[:arrived]]
    terms[1:] = map(bracketed, terms[1:])
    if (complete and not 1 < len(terms) <= SHOWN) or gradient.size > SHOWN:
        return brief(gradient)
    return " + ".join(terms) + (f" = {brief(gradient)}" if complete else "")


def figure_sum(back: Sweep, node: Node, arrived: int | None = None) -> str:
    """The running sum with its terms as long as a figure has room for them, else without."""
    text = running_sum(back, node, arrived)
    if len(text) <= _ROOM:
        return text
    return brief(jnp.asarray(sum(m.value for m in back.received[node.index][:arrived])))


def _applied(node, operands):
    if node.operation == "integer_pow":
        return f"{bracketed(operands[0])}{superscript(node.params['y'])}"
    if node.operation in INFIX and len(operands) == 2:
        return f"{operands[0]} {INFIX[node.operation]} {bracketed(operands[1])}"
    return f"{symbol(node)}({', '.join(operands)})"


def bracketed(text: str) -> str:
    return f"({text})" if text.startswith("−") else text
