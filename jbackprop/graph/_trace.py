"""From a function to its computation graph, by walking its jaxpr.

Each equation is computed as it is met, so that every node holds its value.  Calls (`jit`, `checkpoint`, `custom_jvp`,
`custom_vjp`) are replaced by what they call: a function with a hand-written rule appears as its forward pass, and is
differentiated as that.  What depends on no input is a constant.  Left out are copies that a formula does not have, and
what the result does not depend on.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jbackprop.functions import argument_names, called_jaxpr, evaluate_jaxpr
from jbackprop.report import number, plain

from ._fold import folded
from ._graph import CONSTANT, INPUT, Graph, Node
from ._unroll import UNROLLED

_RELU_FILE = inspect.unwrap(jax.nn.relu).__code__.co_filename


NODES = 20_000
"""A larger graph takes minutes and gigabytes, and no table of it is read."""


def trace(f: Callable[..., Any], *args: Any, unroll: bool = False, limit: int = NODES) -> Graph:
    """The computation graph of `f(*args)`.

    Args:
      f: any function that JAX can trace.
      args: its arguments, trees of arrays and numbers; they give the inputs' names and values.
      unroll: write out `scan`, `while_loop` and `cond` for these values, step by step; otherwise
        each is one node.
      limit: how many nodes there may be, and how many steps a loop that is written out may have.

    Raises:
      ValueError: there are more than `limit`.
      TypeError: an argument has no concrete value (the call stands inside a transformation).

    Example:
      >>> from jbackprop import graph
      >>> [node.operation for node in graph.trace(lambda w, x: (w * x) ** 2, 3.0, 2.0).nodes]
      ['input', 'input', 'mul', 'integer_pow']
    """
    paths, arguments = jax.tree.flatten_with_path(args)
    if any(isinstance(leaf, jax.core.Tracer) for _, leaf in paths):
        raise TypeError("trace: args, wanted concrete values, got a traced one (inside jit, grad?)")
    builder = _Builder(unroll, limit)
    inputs = [
        builder.add(INPUT, name, jnp.asarray(leaf))
        for name, (_, leaf) in zip(_names(f, args, paths), paths, strict=True)
    ]
    outputs = builder.inline(jax.make_jaxpr(f)(*args), inputs, ())
    builder.name_result(getattr(f, "__name__", ""), outputs)
    return _without_dead_nodes(folded(builder.nodes, outputs), inputs, outputs, arguments)


class _Builder:
    """The list of nodes while it grows."""

    def __init__(self, unroll: bool, limit: int):
        self.nodes: list[Node] = []
        self.unroll = unroll
        self.limit = limit
        self.calls = 0

    def check(self, what: str, count: int) -> None:
        """Refuses what would grow without end."""
        if count > self.limit:
            got = "more" if count == self.limit + 1 else count
            raise ValueError(f"trace: f, wanted at most {self.limit} {what}, got {got}; limit= sets another number")

    def add(self, operation: str, name: str, value: jax.Array, **fields: Any) -> int:
        self.check("nodes", len(self.nodes) + 1)
        self.nodes.append(Node(len(self.nodes), operation, name, value, **fields))
        return len(self.nodes) - 1

    def constant(self, value: Any) -> int:
        return self.add(CONSTANT, "", jnp.asarray(value))

    def values(self, indices: Sequence[int]) -> list[jax.Array]:
        return [self.nodes[index].value for index in indices]

    def inline(self, closed: Any, operands: Sequence[int], scope: tuple[str, ...]) -> list[int]:
        """Adds the equations of a jaxpr; the nodes of its results."""
        return evaluate_jaxpr(closed, operands, partial(self.equation, scope), self.constant)

    def call(self, f: Callable[..., Any], operands: Sequence[int], scope: tuple[str, ...]):
        """Adds the equations of a function of the operands."""
        return self.inline(jax.make_jaxpr(f)(*self.values(operands)), operands, scope)

    def equation(self, scope: tuple[str, ...], equation: Any, operands: list[int]) -> Sequence[int]:
        name, params = equation.primitive.name, equation.params
        if _is_relu(equation):
            return [self.relu(operands[0], scope)]
        if (called := called_jaxpr(equation)) is not None:
            return self.inline(called, operands, self.inside(equation, called, scope))
        if self.unroll and name in UNROLLED:
            return UNROLLED[name](self, params, operands, scope)
        if name == "name":
            return [self.rename(operands[0], params["name"])]
        if _changes_nothing(equation):
            return operands
        return self.compute(equation, operands, scope)

    def compute(self, equation: Any, operands: list[int], scope: tuple[str, ...]) -> list[int]:
        primitive = equation.primitive
        params = primitive.get_bind_params(equation.params)
        results = primitive.bind(*self.values(operands), **params)
        results = results if primitive.multiple_results else [results]
        if all(self.nodes[index].operation == CONSTANT for index in operands):
            return [self.constant(value) for value in results]
        shared = {"operands": tuple(operands), "primitive": primitive, "params": params}
        return [self.add(primitive.name, "", value, output=k, scope=scope, **shared) for k, value in enumerate(results)]

    def relu(self, x: int, scope: tuple[str, ...]) -> int:
        """One node: JAX's rule for relu (0 at 0) is not that of max(x, 0) (½ where both agree)."""
        value = jnp.maximum(self.nodes[x].value, 0)
        if self.nodes[x].operation == CONSTANT:
            return self.constant(value)
        return self.add("relu", "", value, operands=(x,), scope=scope)

    def inside(self, equation: Any, called: Any, scope: tuple[str, ...]) -> tuple[str, ...]:
        """The scope of a called function: its name, numbered so that two calls stay apart."""
        self.calls += 1
        name = equation.params.get("name") or called.debug_info.func_name or equation.primitive.name
        return (*scope, f"{name.split(' ')[0]} #{self.calls}")

    def rename(self, index: int, name: str) -> int:
        if self.nodes[index].operation not in (INPUT, CONSTANT):
            self.nodes[index] = replace(self.nodes[index], name=name)
        return index

    def name_result(self, name: str, outputs: Sequence[int]) -> None:
        if len(outputs) == 1 and not self.nodes[outputs[0]].name:
            self.rename(outputs[0], name if name.isidentifier() else "f")


def _is_relu(equation):
    """Whether an equation calls `jax.nn.relu` with its rule, and not the function inside the rule."""
    if equation.primitive.name != "custom_jvp_call":
        return False
    debug = called_jaxpr(equation).debug_info
    return debug.func_name == "relu" and debug.func_filename == _RELU_FILE


def _changes_nothing(equation):
    """A conversion to the dtype that the operand already has (it only drops JAX's weak type)."""
    if equation.primitive.name != "convert_element_type":
        return False
    return equation.invars[0].aval.dtype == equation.params["new_dtype"]


def _names(f, args, paths):
    """The name of each leaf: its argument's name, then its path inside, as in params.W."""
    arguments = argument_names(f, len(args))
    rests = [jax.tree_util.keystr(path[1:], simple=True, separator=".") for path, _ in paths]
    return [
        ".".join(filter(None, [arguments[path[0].idx], rest])) for (path, _), rest in zip(paths, rests, strict=True)
    ]


def _without_dead_nodes(nodes, inputs, outputs, arguments):
    """The inputs and what the outputs depend on, numbered anew, the nameless named v1, v2, …"""
    alive = {*inputs, *outputs}
    for node in reversed(nodes):
        if node.index in alive:
            alive.update(node.operands)
    kept = [node for node in nodes if node.index in alive]
    new = {node.index: index for index, node in enumerate(kept)}
    names = iter(range(1, len(kept) + 1))
    return Graph(
        tuple(
            replace(
                node,
                index=new[node.index],
                operands=tuple(new[operand] for operand in node.operands),
                name=node.name or _spare_name(node, names),
            )
            for node in kept
        ),
        tuple(new[index] for index in inputs),
        tuple(new[index] for index in outputs),
        arguments,
    )


def _spare_name(node, numbers):
    """A scalar constant is called by its value, everything else by a number."""
    written = plain(node.value) is not None and not jnp.issubdtype(node.dtype, jnp.complexfloating)
    if node.operation == CONSTANT and node.shape == () and written:
        return number(node.value)
    return f"{'c' if node.operation == CONSTANT else 'v'}{next(numbers)}"
