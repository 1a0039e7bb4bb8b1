"""Is the rule right on several devices?  In each of the three ways in which JAX spreads arrays over a mesh.

    automatic    the compiler decides where everything lies
    explicit     the mesh of `jax.make_mesh`: an array's type says how it is spread
    shard_map    each device computes on its share; what is not spread is the same on all, and its gradient is the sum

The leading axis of the first argument is spread, and those of equal size with it, over as many devices as divide it.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jbackprop.functions import FLOAT64_SHARE, as_float64, cast, is_real, precision, replaced

from ._compare import gradients_agree, typical
from ._report import Failure, NotApplicableError
from ._subject import Subject
from ._together import together

_AXIS = "batch"


def sharding(subject: Subject) -> Iterator[Failure]:
    """Spread along the leading axis over several devices, by the compiler, on an explicit mesh and in `shard_map`.

    On the latter two the rule is compared with itself, in float64 and with an allowance far above its rounding: what
    goes wrong on a mesh is a sum over devices, never a rounding.  A rule that refuses either, by raising where JAX
    alone does not, is not wrong.
    """
    devices = jax.devices()
    if len(devices) == 1:
        raise NotApplicableError("there is one device; jax.config.update('jax_num_cpu_devices', 8) simulates eight")
    devices = devices[: _share_count(subject, len(devices))]
    yield from _by_compiler(subject, Mesh(np.array(devices), (_AXIS,), axis_types=(AxisType.Auto,)))
    yield from _by_type(subject, Mesh(np.array(devices), (_AXIS,), axis_types=(AxisType.Explicit,)))


def _share_count(subject, most):
    """Over how many devices the leading axis divides; all where it does not divide at all."""
    leading = subject.leaves[subject.wrt[0]].shape[:1] or (1,)
    return max((count for count in range(2, most + 1) if leading[0] % count == 0), default=most)


def _spec(subject, array, count):
    """How an array is spread: as the first argument is where it begins with as many entries, else not at all."""
    leading = np.shape(array)[:1]
    spread = leading and leading == subject.leaves[subject.wrt[0]].shape[:1] and leading[0] % count == 0
    return PartitionSpec(_AXIS) if spread else PartitionSpec()


def _placed(subject, arrays, mesh):
    specs = tuple(_spec(subject, array, mesh.size) for array in arrays)
    places = (NamedSharding(mesh, spec) for spec in specs)
    return tuple(map(jax.device_put, arrays, places)), specs


def _by_compiler(subject, mesh):
    (leaves, _), (cotangents, _) = (
        _placed(subject, arrays, mesh) for arrays in (cast(subject.given, subject.leaves), subject.cotangents())
    )
    got = as_float64(subject.pull(leaves, cotangents)[1])
    _, wanted = subject.evaluate(subject.pull, subject.given)
    yield from gradients_agree(subject, subject.given, got, wanted, note=f"sharded over {mesh.size} devices")


def _by_type(subject, mesh):
    """On the explicit mesh and in `shard_map`, against the rule itself on one device, whole and share by share."""
    rule, twin = (_gradients_of_a_sum(subject, f) for f in (subject.function, subject.twin))
    with precision("float64"):
        leaves = cast("float64", subject.leaves)
        specs = tuple(_spec(subject, leaf, mesh.size) for leaf in leaves)
        spread = tuple(specs[i] for i in subject.wrt)
        alone = together([(rule, leaves), (_share_by_share(rule, specs, spread, mesh.size), leaves)])
        with jax.set_mesh(mesh):
            placed, _ = _placed(subject, leaves, mesh)
            ways = lambda f: f, lambda f: jax.shard_map(f, in_specs=specs, out_specs=spread)
            results = together([(way(rule), placed) for way in ways])
            possible = [_takes(way(twin), placed) for way in ways]
    refusals, allowed = [], [FLOAT64_SHARE * scale for scale in typical(subject)]
    for note, wanted, got, by_jax in zip(("an explicit mesh", "shard_map"), alone, results, possible, strict=True):
        if isinstance(wanted, Exception):
            continue  # a share is no argument
        if not isinstance(got, Exception):
            arrays = as_float64(got), as_float64(wanted)
            yield from gradients_agree(subject, "float64", *arrays, lambda: allowed, note)
        elif by_jax:
            refusals.append(f"{note} ({type(got).__name__})")
    if refusals:
        raise NotApplicableError(f"the rule refuses {', '.join(refusals)}")


def _share_by_share(f, specs, spread, count):
    """f of each device's arguments: the gradients of what is spread side by side, of the rest added up."""

    def of_all(*leaves):
        shares = [
            leaf.reshape(count, -1, *leaf.shape[1:]) if len(spec) else leaf
            for leaf, spec in zip(leaves, specs, strict=True)
        ]
        each = jax.vmap(f, tuple(0 if len(spec) else None for spec in specs))(*shares)
        return tuple(
            g.reshape(-1, *g.shape[2:]) if len(spec) else g.sum(axis=0) for g, spec in zip(each, spread, strict=True)
        )

    return of_all


def _takes(f, arguments):
    try:
        jax.eval_shape(f, *arguments)
    except Exception:
        return False
    return True


def _gradients_of_a_sum(subject, function):
    """(*leaves) -> the gradients of Σ sin(outputs), whose cotangents lie as the outputs do."""

    def total(chosen, leaves):
        outputs = filter(is_real, function(*replaced(leaves, subject.wrt, chosen)))
        return sum(jnp.sin(out.astype(float)).sum() for out in outputs)

    return lambda *leaves: jax.grad(total)(tuple(leaves[i] for i in subject.wrt), leaves)
