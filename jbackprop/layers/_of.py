"""A layer of any hand-written rule: everything about it is read off the rule.

Its output's shape is that of the rule by `jax.eval_shape`, its cache the rule's residuals less the parameters.  Its
backward pass is the rule's backward half; a rule of ours that has parameters names the two pieces of that half, and so
its δ and factored gradients.  A rule that names none is its own gradient, one example at a time where one asks for it:
for that each residual either has the examples first or is the same for all of them, which its shape for twice as many
examples tells.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jbackprop.functions import Halves, halves
from jbackprop.rules import Factored, Mixed, factored, once, pieces, repeated, static

from ._given import check_named_params, keys_for
from ._kept import Kept, spread
from ._layer import NOTHING, About, Layer, Params, Shape, check_shape
from ._parameters import Initialize, Parameter


@dataclasses.dataclass(frozen=True, repr=False)
class Of(Layer):
    """The layer of one rule; `of` makes it.

    Attributes:
      rule: the `jax.custom_vjp` function.
      options: its static options, by name.
      parameters: how to draw those of its arrays that are parameters, by name.
      constants: numbers for those that are the same for every example, by name.
      inputs: the names of the others, in order: the layer takes a tuple where there are several, or the first alone.
      integers: the names of those that hold integers.
      booleans: the names of those that hold booleans.
      axes: how many axes an example has, None where any number will do.
      mixes_examples: whether an example's output depends on the others.
      written: how the layer prints, if it was made by a function of its own.
      says: equations, for people to read.
    """

    rule: Callable[..., Any]
    options: tuple[tuple[str, Any], ...] = ()
    parameters: tuple[tuple[str, Parameter], ...] = ()
    constants: tuple[tuple[str, float], ...] = ()
    inputs: tuple[str, ...] = ("x",)
    integers: tuple[str, ...] = ()
    booleans: tuple[str, ...] = ()
    axes: int | None = None
    mixes_examples: bool = False
    written: str = dataclasses.field(default="", compare=False)
    says: About = dataclasses.field(default=NOTHING, compare=False)

    @property
    def halves(self) -> Halves:
        """The rule's two halves, its options filled in."""
        return halves(functools.partial(self.rule, **dict(self.options)), f"{self.name}: rule")

    @property
    def name(self) -> str:
        """The rule's."""
        return getattr(self.rule, "__name__", "rule")

    def __repr__(self) -> str:
        options = [f"{name}={value!r}" for name, value in (*self.options, *self.constants)]
        drawn = [f"{name}={_shown(parameter)}" for name, parameter in self.parameters]
        return self.written or f"of({', '.join([self.name, *options, *drawn])})"

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """Draws each parameter; raises ValueError where the rule refuses inputs of that shape."""
        check_shape(self.name, shape)
        shapes = shape if len(self.inputs) > 1 and shape and not isinstance(shape[0], int) else (shape,)
        self._check_axes(shapes)
        first = self._numbers(shapes)[0]
        features = first[-1] if first else 0
        keys = keys_for(self.name, key, len(self.parameters))
        drawn = zip(self.parameters, keys, strict=True)
        params = {name: parameter.draw(own_key, features) for (name, parameter), own_key in drawn}
        return params or (), self._out_shape(params, shapes)

    def forward(self, params: Params, x: Any, key: jax.Array | None = None) -> tuple[Any, Kept]:
        """The rule's forward half."""
        check_named_params(self.name, params, dict(self.parameters))
        inputs, fixed = self._named(x), self.fixed(params)
        y, residuals = self.halves.forward(**inputs, **fixed)
        names_none = self.parameters and pieces(self.rule) is None
        how = spread(self.halves.forward, inputs, fixed, residuals) if names_none else None
        return y, Kept.of(residuals, fixed, how, len(inputs))

    def backward(self, params: Params, cache: Kept, dy: Any) -> tuple[Any, Any]:
        """The rule's backward half, or the piece of it that travels on."""
        residuals, two = cache.residuals(self.fixed(params)), pieces(self.rule)
        if two is None:
            named, delta = dict(zip(self.halves.arrays, self.halves.backward(residuals, dy), strict=True)), dy
        else:
            dx, delta = two.travel(*self.halves.static, residuals, dy)
            named = self._travelled(dx)
        each = tuple(named.get(name) for name in self.inputs[: cache.inputs])
        return each if len(each) > 1 else each[0], delta if self.parameters else ()

    def factors(self, params: Params, cache: Kept, delta: Any) -> Any:
        """The rule's other piece; for a rule without, its backward half, not yet run."""
        two = pieces(self.rule)
        if not params:
            return ()
        if two is not None:
            named = two.factors(*self.halves.static, cache.residuals(self.fixed(params)), delta)
            return {name: named[name] for name in params}
        return {name: Pulled.of(self, name, params, cache, delta) for name in params}

    def about(self) -> About:
        """The equations that were given, or those of a function of single entries."""
        name = self.written.partition("(")[0] or self.name
        given = {field: text for field, text in self.says._asdict().items() if text}
        if self.parameters or len(self.inputs) > 1:
            return About(**{"name": name, **given})
        return About(**{"name": name, "output": f"{name}({{x}})", "input": f"{{dy}} ⊙ {name}′({{x}})", **given})

    def fixed(self, params: Params) -> dict[str, jax.Array]:
        """What is the same for every example."""
        return {**dict(params), **{name: jnp.asarray(value) for name, value in self.constants}}

    def _named(self, x):
        if len(self.inputs) > 1 and isinstance(x, tuple):
            return dict(zip(self.inputs, x, strict=True))
        return {self.inputs[0]: x}

    def _travelled(self, dx):
        """By names: that of the input, or those of the rule's first array and of the ones behind its parameters."""
        if not isinstance(dx, tuple):
            return {self.inputs[0]: dx}
        first, *last = self.halves.arrays
        return dict(zip((first, *last[len(last) + 1 - len(dx) :]), dx, strict=True))

    def _numbers(self, shapes):
        """The shapes of the inputs that hold floating point numbers; all where none does."""
        named = zip(self.inputs, shapes, strict=False)
        return [shape for name, shape in named if name not in (*self.integers, *self.booleans)] or shapes

    def _check_axes(self, shapes):
        if len(shapes) not in (1, len(self.inputs)):
            raise ValueError(f"{self.name}: shape, wanted one for each of {', '.join(self.inputs)}, got {shapes}")
        for shape in self._numbers(shapes):
            if self.axes is not None and len(shape) != self.axes:
                wanted = f"wanted {self.axes} axes (of one example, without the batch)"
                raise ValueError(f"{self.name}: shape, {wanted}, got {tuple(shape)}")
            if not shape and any(parameter.shape for _, parameter in self.parameters) and self.integers != self.inputs:
                raise ValueError(f"{self.name}: shape, wanted at least one axis (the features), got ()")

    def _out_shape(self, params, shapes):
        dtypes = dict.fromkeys(self.integers, jnp.int32) | dict.fromkeys(self.booleans, jnp.bool_)
        named = zip(self.inputs, shapes, strict=False)
        batch = [jax.ShapeDtypeStruct((1, *shape), dtypes.get(name, jnp.result_type(float))) for name, shape in named]
        try:
            y = jax.eval_shape(lambda *x: self.forward(params, x if len(x) > 1 else x[0])[0], *batch)
        except (TypeError, ValueError) as error:
            given = shapes[0] if len(shapes) == 1 else shapes
            raise ValueError(f"{self.name}: shape, wanted that of an input it takes, got {given}: {error}") from error
        return jax.tree.map(lambda out: out.shape[1:], y)


@factored
class Pulled(Factored):
    """What a parameter gets by the whole backward half of a rule that does not name its pieces.

    Attributes:
      cache: of the forward pass; what is the same for every example once for each.
      delta: ∂C/∂output.
      params: the parameters that the backward half needs, once for each example.
      layer: whose rule it is.
      name: the parameter's.
      axes: of delta; with one less, it is that of one example.
    """

    cache: Kept
    delta: Any
    params: dict[str, jax.Array]
    layer: Of = static()
    name: str = static()
    axes: int = static()

    @classmethod
    def of(cls, layer: Of, name: str, params: Params, cache: Kept, delta: Any) -> "Pulled | Mixed":
        """The factored gradient of a parameter from what its layer kept, marked where no example has one of its own."""
        first, fixed = jax.tree.leaves(delta)[0], layer.fixed(params)
        needed = cache.whole, {name: fixed[name] for name in cache.parameters}
        whole, each = jax.tree.map(lambda array: repeated(array, first), needed)
        pulled = cls(dataclasses.replace(cache, whole=whole), delta, each, layer, name, first.ndim)
        return Mixed.of(pulled) if layer.mixes_examples or cache.mixed else pulled

    def total(self) -> jax.Array:
        """The rule's gradient of all examples; under `jax.vmap` that of a batch of one."""
        alone = jax.tree.leaves(self.delta)[0].ndim < self.axes
        arrays, delta, whole, params = self.cache.arrays, self.delta, self.cache.whole, self.params
        if alone:
            arrays, delta = jax.tree.map(lambda leaf: leaf[None], (arrays, delta))
        else:
            whole, params = jax.tree.map(once, (whole, params))
        rule, cache = self.layer.halves, dataclasses.replace(self.cache, arrays=arrays, whole=whole)
        return dict(zip(rule.arrays, rule.backward(cache.residuals(params), delta), strict=True))[self.name]


def of(
    rule: Callable[..., Any],
    /,
    *,
    inputs: Sequence[str] | None = None,
    integers: bool | Sequence[str] = False,
    booleans: bool | Sequence[str] = False,
    axes: int | None = None,
    mixes_examples: bool = False,
    says: About = NOTHING,
    **parameters: Initialize | Parameter | float,
) -> Of:
    """The layer of a rule, ours or anyone's: y = rule(x, parameters).

    Args:
      rule: a `jax.custom_vjp` function with examples first in its arrays; `functools.partial` sets its static options.
        Gradients of single examples want them first in its residuals too, those that are the same for all aside.
      inputs: the names of the arguments that are the layer's input, several for a tuple; those that are no parameter
        and have no default, unless given.
      integers: the names of the inputs that hold integers, such as ("labels",); True for all.
      booleans: the names of the inputs that hold booleans, such as ("mask",); True for all.
      axes: how many axes an example has, for a rule that must not be given a batch by mistake; of inputs of floating
        point numbers, where there are such.
      mixes_examples: whether an example's output depends on the others; then there is no gradient of one example.
      says: equations, for `jbackprop.explain`.
      **parameters: for each argument of the rule that is a parameter, what draws it: an initializer of
        `jax.nn.initializers` for one number a feature, or a `Parameter` with a shape; for one that never changes, a
        number.

    Raises:
      TypeError: the rule is not a `jax.custom_vjp` function with its two halves defined, or asks for symbolic zeros.
      ValueError: a name is not that of an array among its arguments, or no argument is left to be the input.

    Example:
      >>> import jax
      >>> from jbackprop import layers, rules
      >>> layers.of(rules.layer_norm, scale=jax.nn.initializers.ones).init(jax.random.key(0), (3,))
      ({'scale': Array([1., 1., 1.], dtype=float32)}, (3,))
    """
    settings = {"axes": axes, "mixes_examples": mixes_examples, "says": says}
    return layer_from(rule, parameters, inputs=inputs, integers=integers, booleans=booleans, **settings)


def layer_from(
    rule: Callable[..., Any],
    parameters: Mapping[str, Initialize | Parameter | float],
    *,
    inputs: Sequence[str] | None = None,
    integers: bool | Sequence[str] = False,
    booleans: bool | Sequence[str] = False,
    **settings: Any,
) -> Of:
    """`of` with the parameters in a dictionary."""
    found = halves(rule, "of: rule")
    plain, options = (rule.func, _options(rule)) if isinstance(rule, functools.partial) else (rule, {})
    if getattr(plain, "symbolic_zeros", False):
        raise TypeError(f"of: rule, wanted one whose halves take plain arrays, got {plain.__name__} of symbolic_zeros")
    left = tuple(name for name in found.required if name not in parameters)
    inputs = left if inputs is None else tuple(inputs)
    _check_names(plain.__name__, found.arrays, (*parameters, *inputs), left, inputs)
    constants = {name: value for name, value in parameters.items() if isinstance(value, int | float)}
    return Of(
        rule=plain,
        options=tuple((name, _hashable(value)) for name, value in options.items()),
        parameters=tuple((name, _parameter(value)) for name, value in parameters.items() if name not in constants),
        constants=tuple(constants.items()),
        inputs=inputs,
        integers=_among("integers", integers, inputs),
        booleans=_among("booleans", booleans, inputs),
        **settings,
    )


def _options(rule):
    """By name, those given by position among them."""
    return {**inspect.signature(rule.func).bind_partial(*rule.args).arguments, **rule.keywords}


def _check_names(rule, arrays, names, left, inputs):
    for name in names:
        if name not in arrays:
            raise ValueError(f"of: {name}, wanted the name of an array argument of {rule} ({', '.join(arrays)})")
    if not inputs or set(left) - set(inputs):
        raise ValueError(f"of: inputs, wanted those of {rule} that have no default, {left}, got {inputs}")


def _among(argument, given, inputs):
    """The inputs that were named, all for True."""
    if isinstance(given, bool):
        return inputs if given else ()
    if isinstance(given, str) or set(given) - set(inputs):
        raise ValueError(f"of: {argument}, wanted names among the inputs {inputs}, got {given!r}")
    return tuple(name for name in inputs if name in given)


def _parameter(given):
    return given if isinstance(given, Parameter) else Parameter(given)


def _hashable(value):
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


def _shown(parameter):
    return parameter.initializer.__name__ if inspect.isfunction(parameter.initializer) else repr(parameter.initializer)
