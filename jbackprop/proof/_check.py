"""The checks, and the one call that runs them."""

import itertools
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jbackprop.functions import DTYPES, SEEDS, Wrt, error_line, full_dtype_name, function_name
from jbackprop.functions import residuals as kept

from . import _draws, _inputs, _sharding, _transformations, _values
from ._differences import finite_differences
from ._domain import on_domain
from ._explained import explained
from ._flat import lay_flat
from ._kept import residuals
from ._report import Failure, GradientError, NotApplicableError, Report, Result
from ._subject import Subject

Check = Callable[[Subject], Iterator[Failure]]

CHECKS: dict[str, Check] = {
    "structure": _values.structure,
    "primal": _values.primal,
    "gradient": _values.gradient,
    "reference": _values.reference_gradient,
    "finite differences": finite_differences,
    "linearity": _values.linearity,
    "each output": _values.each_output,
    "random inputs": _draws.random_inputs,
    "special inputs": _inputs.special_inputs,
    "large inputs": _inputs.large_inputs,
    "non-finite inputs": _inputs.non_finite_inputs,
    "batches": _inputs.batches,
    "determinism": _values.determinism,
    "jit": _transformations.jit,
    "vmap": _transformations.vmap,
    "scan": _transformations.scan,
    "checkpoint": _transformations.checkpoint,
    "second order": _transformations.second_order,
    "sharding": _sharding.sharding,
    "residuals": residuals,
}
"""Every check by name, in the order in which they run; each one's docstring says what it is for."""

QUICK = ("structure", "primal", "gradient", "reference", "linearity", "each output", "special inputs", "large inputs")
"""Those that need few programs, since compiling takes most of the time: about a second for a rule."""

NOTHING_TO_PROVE = "holds no custom_vjp or custom_jvp rule: there is nothing hand-written to prove"
"""The note on a function without rules."""


def check(
    f: Callable,
    *args,
    reference: Callable | None = None,
    gradient_of: Callable | None = None,
    domain: Callable | None = None,
    wrt: Wrt = None,
    dtypes: Sequence[DTypeLike] | None = None,
    only: Collection[str] | None = None,
    skip: Collection[str] = (),
    seed: int = 0,
    raises: bool = True,
    quick: bool = False,
    tolerance: float = 0.0,
    time_limit: float | None = None,
    name: str | None = None,
    progress: Callable[[str], object] = str,
) -> Report:
    """Proves the hand-written reverse rules in a function, or says where they are wrong.

    Products of float32 are computed in float32 while it does, also on a GPU or TPU, whose default is TF32 or bfloat16.

    Args:
      f: any JAX function of trees of arrays; the rule may be f itself or stand somewhere inside it.
      *args: arguments to try it on, of any shape; generic values are best (random, of both signs, no two sizes equal).
        A `jax.ShapeDtypeStruct` is filled with such values.  Python numbers, strings and functions are options and stay
        as they are; integers, masks and random keys are held while the others move, so a rule that treats an empty mask
        or a repeated index wrongly is found by a call with one.  A complex array z counts as two, `z.real` and
        `z.imag`, so does a complex output; by z, a rule's gradient is ∂C/∂z.real − i ∂C/∂z.imag, as JAX has it.
      reference: an independent implementation of f, whose value and automatic gradient f's are compared with besides.
        Without one, a wrong forward pass cannot be told.  Where automatic differentiation cannot reverse f itself (a
        `while_loop`, a callback), the reference's gradient is the judge, and without a reference finite differences.
      gradient_of: another function of the same arguments, whose automatic gradient f is to have where that is not its
        own by design: for a straight-through estimator, a reversed or a clipped gradient.
      domain: for a function of positive numbers, of symmetric matrices, of sorted or normalised input: a function of
        the arguments that makes valid ones of them, such as `jnp.exp` or `lambda a, b: (a + a.T, b)`.  Then args are
        free numbers, and so is what the checks try instead; what is judged is the gradient by these, of f behind it.
      wrt: which arguments to differentiate by, by position or name; all that hold floating point arrays unless given.
      dtypes: floating point types to prove f in, one at a time; where the arguments have several, also in those.  Of
        float64, float32, bfloat16 and float16 those that f takes, unless given; float64 is always used to judge the
        others, so f has to take it.
      only: names of the checks to run, all of `jbackprop.CHECKS` unless given; each says in its docstring why.
      skip: names of checks to leave out.
      seed: of the random cotangents, directions and inputs, from 0 to 2⁶³ − 1.
      raises: whether to raise at the first fault, or to run every check and report.
      quick: for a test suite that runs at every save: the checks of `jbackprop.proof.QUICK` unless `only` is given, and
        of the floating point types float64 and that of the arguments unless `dtypes` are.  It compares values and
        gradients with automatic differentiation and the reference, also at zeros, ties and huge numbers.  Left out are
        finite differences (but where nothing else can judge), random and non-finite inputs, other batches, `jit`
        against eager, all transformations, second order, sharding and the residuals, and the other types: they are for
        the run before a release.
      tolerance: of f's own solver, for an implicit function: values and gradients may be off by so large a share of an
        array's largest entry, besides rounding.
      time_limit: how many seconds a check may take, for a function that may never end at odd input.  A check that takes
        longer has failed; what it had begun goes on in a thread of its own, for a running program cannot be stopped,
        and a process that ends meanwhile may do so by a fault (`os._exit` does not).  Without a limit everything runs
        in the caller's thread.
      name: what to call f in the report and in errors; the function's own name unless given.
      progress: is called with the name of each check before it runs.

    Returns:
      What every check found.  Printed, it is a table.  A number is right within 4 units of rounding, of which one is
      the spacing of the dtype at the array's largest entry, times the square root of the longest sum's length.

    Raises:
      GradientError: a check found a fault: which check, which argument, which entry, what it got and wanted, and the
        error in units of rounding.
      TypeError, ValueError: the arguments of `check` itself cannot be used.  What f raises on args is passed on.

    Example:
      >>> import jax.numpy as jnp
      >>> from jbackprop import check, rules
      >>> check(rules.silu, jnp.array([0.5, -1.25, 2.0])).passed
      True
    """
    __tracebackhide__ = True
    _callable(f=f, reference=reference, gradient_of=gradient_of, domain=domain)
    _not_negative(tolerance=tolerance, time_limit=time_limit or 0)
    wanted = _known((QUICK if quick else CHECKS) if only is None else only, "only")
    unwanted = _known(skip, "skip")
    _check_seed(seed)
    dtypes, called = _names(dtypes), name or function_name(f)
    with jax.default_matmul_precision("highest"):
        behind = on_domain(domain, f)
        standards = [other and on_domain(domain, other) for other in (reference, gradient_of)]
        subject = lay_flat(behind, standards[0], standards[1], args, wrt, dtypes, seed, quick, tolerance)
        if quick and only is None and subject.irreversible:
            wanted = (*QUICK, "finite differences")  # there is no other judge
        results = []
        for chosen in (one for one in CHECKS if one in wanted and one not in unwanted):
            progress(chosen)
            results.append(_within(time_limit, chosen, subject, 1 if raises else None))
            if raises and results[-1].failures:
                raise GradientError(called, chosen, results[-1].failures[0])
        asked = dtypes or (() if quick else DTYPES)
        return Report(called, tuple(results), _kept(behind, args, wrt), tuple(_notes(subject, asked)))


def assert_gradients(f: Callable, *args, **options) -> None:
    """`check` for a test suite: raises GradientError, an AssertionError, if any gradient of f is wrong.

    Takes the arguments of `check`.

    Raises:
      GradientError: a check found a fault.
      ValueError: f holds no rule, so that there is nothing to assert; besides what `check` raises.
    """
    __tracebackhide__ = True
    if NOTHING_TO_PROVE in check(f, *args, **options).notes:
        wanted = "wanted a function with a rule in it"
        raise ValueError(f"assert_gradients: f, {wanted}, got {function_name(f)}, which {NOTHING_TO_PROVE}")


_THREAD = "check: "


def still_running() -> bool:
    """Whether a check goes on that has reached its time limit."""
    return any(thread.name.startswith(_THREAD) for thread in threading.enumerate())


def _within(seconds, name, subject, at_most):
    """A check, in a thread of its own if it has a limit."""
    if seconds is None:
        return _run(name, subject, at_most)
    results = []

    def alone():
        with jax.default_matmul_precision("highest"):  # such settings are a thread's own
            results.append(_run(name, subject, at_most))

    thread = threading.Thread(target=alone, name=_THREAD + name, daemon=True)
    thread.start()
    thread.join(seconds)
    if results:
        return results[0]
    return Result(name, (Failure("call", "", None, f"no result in {seconds:g} s", "an end"),), "", seconds)


def _run(name, subject, at_most=None):
    start = time.perf_counter()
    failures, skipped = [], ""
    try:
        failures.extend(itertools.islice(CHECKS[name](subject), at_most))
    except NotApplicableError as reason:
        skipped = "" if failures else str(reason)
    except Exception as error:  # whatever a rule raises is a finding about the rule
        failures.append(Failure("call", "", None, error_line(error), "a result"))
    failures = tuple(explained(subject, name, failure) for failure in failures)
    return Result(name, failures, skipped, time.perf_counter() - start)


def _notes(subject, dtypes) -> Iterator[str]:
    refused = [dtype for dtype in dtypes if dtype not in subject.dtypes]
    if refused:
        yield f"the function takes no {' and no '.join(refused)}"
    if subject.irreversible_as_known:
        yield f"no automatic gradient ({subject.irreversible_as_known})"
        yield "judged by finite differences, and below float64 by its own gradient there; a reference would tell more"
    elif subject.meant is None and not subject.has_rules:
        yield NOTHING_TO_PROVE
    if subject.judged_in != "float64":
        yield f"its automatic gradient is computed in {subject.judged_in}: judged no finer"


def _kept(f, args, wrt):
    try:
        return kept(f, *args, wrt=wrt)
    except Exception:  # it cannot be differentiated: what the checks have found
        return ()


def _not_negative(**numbers):
    __tracebackhide__ = True
    for argument, number in numbers.items():
        if not number >= 0:
            raise ValueError(f"check: {argument}, wanted a number that is not negative, got {number}")


def _callable(f, **others):
    __tracebackhide__ = True
    for argument, function in {"f": f, **{name: other for name, other in others.items() if other is not None}}.items():
        if not callable(function):
            raise TypeError(f"check: {argument}, wanted a function, got {type(function).__name__}")


def _check_seed(seed):
    __tracebackhide__ = True
    if not isinstance(seed, int | np.integer) or not 0 <= seed < SEEDS:
        raise ValueError(f"check: seed, wanted a whole number from 0 to 2⁶³ − 1, got {seed!r}")


def _known(names, argument):
    __tracebackhide__ = True
    if isinstance(names, str):
        raise ValueError(f"check: {argument}, wanted a list of names, as in [{names!r}], got {names!r}")
    for name in names:
        if name not in CHECKS:
            raise ValueError(f"check: {argument}, wanted names among {', '.join(CHECKS)}, got {name!r}")
    return names


def _names(dtypes):
    """The full names of floating point types."""
    __tracebackhide__ = True
    if isinstance(dtypes, str):
        raise ValueError(f"check: dtypes, wanted a list of types, as in [{dtypes!r}], got {dtypes!r}")
    return None if dtypes is None else tuple(map(_name, dtypes))


def _name(dtype):
    __tracebackhide__ = True
    wanted = f"check: dtypes, wanted real floating point types such as {', '.join(DTYPES)}, got {dtype!r}"
    try:
        name = str(jnp.dtype(full_dtype_name(dtype) if isinstance(dtype, str) else dtype))
    except TypeError:
        raise ValueError(wanted) from None
    if not jnp.issubdtype(name, jnp.floating):
        raise ValueError(wanted)
    return name
