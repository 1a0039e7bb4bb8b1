"""What the recurrences share: their shapes checked, and what W, U and b get."""

import jax
from jaxtyping import Array, Float

from jbackprop.rules._arrays import check_floating, check_integers, check_numbers, cotangent, given, within
from jbackprop.rules._factors import Factored, Outer, Summed

from ._through_time import Course, states_before

State = Float[Array, "*batch hidden"]


def factors(course: Course, reverse: bool, delta: jax.Array, of_state: jax.Array) -> dict[str, Factored]:
    """What W, U and b get from δ and δ'."""
    x = within(course.x, course.seq_lengths)
    return {"w": Outer(x, delta), "u": Outer(states_before(course, reverse), of_state), "b": Summed(delta)}


def like(arguments, gradients):
    """Each gradient in its argument's dtype, None for an argument that was not given."""
    return tuple(map(cotangent, arguments, gradients))


def check(rule, gates, x, w, u, b, seq_lengths, b_n=None, **carry):
    check_floating(rule, x=x, w=w, u=u, **given(b=b, b_n=b_n, **carry))
    check_integers(rule, **given(seq_lengths=seq_lengths))
    if x.ndim < 2:
        raise ValueError(f"{rule}: x, wanted shape (*batch, time, n_in), got {x.shape}")
    if u.ndim != 2 or u.shape[1] != gates * u.shape[0]:
        raise ValueError(f"{rule}: u, wanted shape (hidden, {gates} · hidden), got {u.shape}")
    hidden, columns = u.shape
    wanted = {
        "w": (w, (x.shape[-1], columns)),
        "b": (b, (columns,)),
        "b_n": (b_n, (hidden,)),
        **{name: (state, (*x.shape[:-2], hidden)) for name, state in carry.items()},
        "seq_lengths": (seq_lengths, x.shape[:-2]),
    }
    for name, (array, shape) in wanted.items():
        if array is not None and array.shape != shape:
            raise ValueError(
                f"{rule}: {name}, wanted shape {shape} for x of {x.shape}, u of {u.shape}, got {array.shape}"
            )
    if seq_lengths is not None:
        time = x.shape[-2]
        check_numbers(rule, "seq_lengths", seq_lengths, time, f"numbers in [0, {time}]")
