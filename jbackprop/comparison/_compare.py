"""The public function: what is measured on what."""

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, overload

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jbackprop.functions import (
    Wrt,
    argument_names,
    automatic,
    count_rules,
    described,
    differentiable,
    error_line,
    function_name,
    precision,
)

from ._comparison import Comparison, Comparisons
from ._device import device_label
from ._inputs import check_options, dtypes, made_ready, transformation
from ._sides import measured, ratios


@overload
def compare(f: Callable, *args: Any, sizes: None = None, **options: Any) -> Comparison: ...


@overload
def compare(f: Callable, *args: Any, sizes: Iterable[int], **options: Any) -> Comparisons: ...


def compare(
    f: Callable,
    *args: Any,
    reference: Callable | None = None,
    wrt: Wrt = None,
    dtype: DTypeLike | None = None,
    transform: str | Callable[[Callable], Callable] | None = None,
    sizes: Iterable[int] | None = None,
    repeats: int = 15,
    key: jax.Array | None = None,
    targets: Sequence[str] = (),
    name: str | None = None,
) -> Comparison | Comparisons:
    """Measures the gradient of f, hand-written rules in place, beside the automatic one.

    Args:
      f: any function of trees of arrays; `functools.partial` sets its options.
      args: its arguments; Python numbers and strings are options, and a `jax.ShapeDtypeStruct` is filled with random
        numbers.  With `sizes`, one function instead, from a size to the tuple of arguments.
      reference: what to compare with; `automatic(f)`, all hand-written rules removed, unless given.  Where its gradient
        is NaN in float64, a note says so, and finite differences are the truth.
      wrt: which arguments to differentiate, by position or name; every floating one unless given.
      dtype: what to cast the floating-point arguments to.
      transform: "vmap" maps f over the leading axis of every argument, "scan" runs it along that axis, "checkpoint"
        recomputes it in the backward pass; any function of functions is welcome.
      sizes: the points of a sweep.
      repeats: rounds of timing.
      key: for the random cotangent; `jax.random.key(0)` unless given.
      targets: "h100" and "v5e": also compile for these accelerators.  They need not be there, their compilers do (the
        extra `targets`); without an accelerator at all, start with JAX_PLATFORMS=cpu.
      name: what to call f in the report; its own name unless given.

    Returns:
      A `Comparison`; with sizes, `Comparisons`, one for each size.  Print it, `save` it, or see its fields.

    Raises:
      ValueError, TypeError: an argument that cannot be used; the message says what was wanted.

    Example:
      >>> import jax.numpy as jnp, jbackprop as jb
      >>> found = jb.compare(jb.rules.softmax, jnp.ones((64, 128)))
      >>> [residual.kind for residual in found.manual.residuals]
      ['output']
    """
    check_options(f, reference, repeats, targets)
    options = {"wrt": wrt, "dtype": dtype, "transform": transform, "repeats": repeats, "targets": targets}
    one = partial(_compare, f, reference, name=name, key=jax.random.key(0) if key is None else key, **options)
    return one(args) if sizes is None else Comparisons(tuple(_sweep(one, args, sizes)))


def _sweep(one, args, sizes) -> Iterator[Comparison]:
    if len(args) != 1 or not callable(args[0]):
        raise TypeError(f"args, with sizes wanted one function from a size to the arguments, got {len(args)} arguments")
    for size in sizes:
        made = args[0](size)
        yield one(made if isinstance(made, tuple) else (made,), size=size)


def _compare(f, reference, args, *, wrt, dtype, transform, repeats, targets, name, key, size=None) -> Comparison:
    applied, transform_name = transformation(transform)
    names = argument_names(f, len(args))
    with precision(*dtypes(args), *([] if dtype is None else [jnp.dtype(dtype)])):
        args = made_ready(args, dtype)
        problem_of = partial(_problem, wrt=wrt, names=names)
        pair = [partial(problem_of, applied(side)) for side in (f, automatic(f) if reference is None else reference)]
        _check_reversible(*(problem_of(*args) for problem_of in pair))
        label = "automatic" if reference is None else "reference"
        manual, other, doubts = measured(pair, args, label, repeats, key, targets)
        return Comparison(
            name=name or function_name(f),
            arguments=_arrays(pair[0](*args)),
            transform=transform_name,
            size=size,
            device=device_label(),
            versions=f"jax {jax.__version__}, Python {platform.python_version()}",
            repeats=repeats,
            notes=(*_notes(f, pair[0](*args), reference), *doubts),
            manual=manual.side,
            automatic=other.side,
            ratios=ratios(manual.seconds, other.seconds),
        )


def _check_reversible(manual, other):
    """Refuses what only the manual side has a gradient of; what both refuse is for the caller to see."""
    try:
        _trace(other)
    except Exception as error:  # JAX's errors for this are of many types
        _trace(manual)
        wanted = "a function that has an automatic gradient, or a reference"
        raise ValueError(f"f, wanted {wanted}, got {error_line(error)}") from error


def _trace(problem):
    def whole(*leaves):
        outputs, pull = problem.vjp(*leaves)
        return pull(outputs)

    jax.eval_shape(whole, *problem.leaves)


def _problem(f, *args, wrt, names):
    return differentiable(f, *args, wrt=wrt, names=names)


def _arrays(problem) -> tuple[str, ...]:
    """ "name dtype[shape]" of each array, the differentiated ones starred."""
    return tuple(
        f"{name}{'*' if i in problem.chosen else ''} {described(leaf)}"
        for i, (name, leaf) in enumerate(zip(problem.names, problem.leaves, strict=True))
    )


def _notes(f, problem, reference) -> Iterator[str]:
    if reference is None and not count_rules(problem.primal, *problem.leaves):
        yield f"{function_name(f)} holds no custom_vjp rule: both sides are the same program; give a reference"
    if any(jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in problem.leaves):
        yield "a random key is among the arguments: where float64 draws other numbers, the errors mean nothing"
