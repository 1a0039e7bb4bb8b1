"""`compare`: the manual gradient beside the automatic one."""

import argparse
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jbackprop import report
from jbackprop.cases import CASES
from jbackprop.comparison import TARGETS, TRANSFORMS, Comparison, Comparisons, compare, prepare_targets

from ._files import check_writable, write
from ._functions import (
    add_arguments,
    check_choice,
    check_signature,
    the_arguments,
    the_function,
    the_reference,
    whole_number,
)
from ._progress import track
from ._usage import UsageError, function_errors, usage_errors

_STACKED = 4


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("compare", help="the manual gradient beside the automatic one", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--dtype", help="cast the floating-point arguments, as in bfloat16")
    parser.add_argument("--transform", choices=TRANSFORMS, help="map or run along the leading axis, or recompute")
    parser.add_argument("--sizes", nargs="+", type=int, metavar="N", help="a sweep over n in the specs of --args")
    parser.add_argument("--repeats", type=whole_number(1, 10**5), default=15, help="rounds of timing")
    parser.add_argument(
        "--target", action="append", default=[], choices=TARGETS, help="also compile for it (may be repeated)"
    )
    for form in ("json", "markdown", "html", "png"):
        parser.add_argument(f"--{form}", metavar="FILE", help=f"write {form.upper()}")
    parser.add_argument("--baseline", metavar="FILE.json", help="show what changed since an earlier --json")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compares, prints, writes; 1 where a manual gradient disagrees with the automatic one."""
    check_choice(options)
    _check_files(options)
    baseline = _baseline(options.baseline)
    if options.target:
        prepare_targets()
    work = _cases(options) if options.all else _sweep(options)
    found = Comparisons(tuple(_measured(work)))
    print(found.text(baseline))
    _write(found, baseline, options)
    return 0 if all(c.agrees for c in found.comparisons) else 1


def _measured(work: list[tuple[str, Any]]):
    for (name, measure), _ in track(work, lambda item: item[0]):
        with function_errors("compare", name):
            yield measure()


def _sweep(options) -> list[tuple[str, Any]]:
    """What to call and how to run each point of the sweep, or the one comparison."""
    f, common = the_function(options), _common(options)
    measure = partial(compare, f, reference=the_reference(options), wrt=options.wrt, **common)
    if options.sizes is None:
        check_signature(f, the_arguments(options), options.function)
        return [(options.function, partial(measure, *the_arguments(options)))]
    if not any("n" in spec.partition("[")[2] for spec in options.args):
        raise UsageError('--sizes, wanted an n in --args, as in "f32[n,16]"')
    for size in options.sizes:
        check_signature(f, the_arguments(options, size), options.function)
    return [(f"{options.function}, n = {size}", partial(_point, measure, options, size)) for size in options.sizes]


def _point(measure, options, size) -> Comparison:
    (point,) = measure(partial(the_arguments, options), sizes=[size]).comparisons
    return point


def _cases(options) -> list[tuple[str, Any]]:
    if options.sizes:
        raise UsageError("--all takes no --sizes: name one function to sweep")
    return [(case.name, partial(_case, case, options)) for case in CASES if case.at_scale]


def _case(case, options) -> Comparison:
    return compare(case.rule, *_drawn(case, options), name=case.name, **_common(options))


def _drawn(case, options):
    """The case's arguments; several of them stacked, for a transformation along the leading axis."""
    key, dtype = jax.random.key(options.seed), _dtype(options.dtype) or jnp.float32
    if options.transform not in ("vmap", "scan"):
        return case.draw(key, dtype, at_scale=True)
    draws = [case.draw(key, dtype, at_scale=True) for key in jax.random.split(key, _STACKED)]
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *draws)


def _common(options) -> dict[str, Any]:
    return {
        "dtype": _dtype(options.dtype),
        "transform": options.transform,
        "repeats": options.repeats,
        "targets": options.target,
    }


def _dtype(name):
    with usage_errors("--dtype, wanted float16, bfloat16, float32 or float64: ", TypeError):
        return None if name is None else jnp.dtype(name)


def _check_files(options):
    for path in (options.json, options.markdown, options.html, options.png):
        check_writable(path)
    if options.png:
        with usage_errors("", ImportError):
            report.check_available()


def _baseline(path):
    if path is None:
        return None
    with usage_errors(f"--baseline {path}, wanted a file that --json wrote: ", OSError, ValueError, RecursionError):
        return Comparisons.from_json(report.read(path))


def _write(found, baseline, options):
    if options.json:
        write(options.json, found.json())
    if options.markdown:
        write(options.markdown, found.markdown(baseline))
    if options.html:
        write(options.html, found.html(baseline))
    if options.png:
        write(options.png, found.png())
