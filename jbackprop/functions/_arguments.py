"""Arguments in words, for the command line: "f32[8,16]" is a random array.

    f32[8,16]      floating point, standard normal: f16, bf16, f32, f64; or in full, float32[8,16]
    c64[5]         complex, standard normal: c64, c128
    i32[5]<10      integers from 0 to 9, or 0 and 1 without a bound: i8 to i64, u8 to u64
    bool[3]        each true or false
    f32[n,16]      n stands for the size, where one is given
    key            a random key
    5.0, -3, true  a number or a truth value

The seed decides the random values; no two arguments share them.  Numbers are of 64 bits at most, and an array has no
more entries than `ENTRIES`.
"""

import ast
import math
import re
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ._precision import precision

_FLOATING = {"f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64"}
_COMPLEX = {"c64": "complex64", "c128": "complex128"}
_INTEGER = {f"{kind[0]}{bits}": f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
_DTYPES = {**_FLOATING, **_COMPLEX, **_INTEGER, "bool": "bool"}
ENTRIES = 2**28
"""The most that an array may have, 1 GiB in float32: more is a slip, and would end the process."""
SEEDS = 2**63
"""A seed is less."""

_SPEC = re.compile(r"(?P<dtype>[a-z]+\d*)\[(?P<shape>[\dn, ]*)\](?:<(?P<bound>\d+))?")


def parse_arguments(specs: Sequence[str], seed: int = 0, size: int | None = None) -> tuple[Any, ...]:
    """The value of each spec; the same seed gives the same values.

    Args:
      specs: in the words of the module's docstring.
      seed: of the random numbers, from 0 to 2⁶³ − 1.
      size: what n stands for, at least 0.

    Raises:
      ValueError: a spec that has no meaning, or a number out of its range; the message says what to type.
    """
    if not 0 <= seed < SEEDS:
        raise ValueError(f"seed, wanted 0 to 2⁶³ − 1, got {seed}")
    if size is not None and size < 0:
        raise ValueError(f"size, wanted at least 0, got {size}")
    keys = jax.random.split(jax.random.key(seed), max(1, len(specs)))
    return tuple(_value(spec.strip(), key, size) for spec, key in zip(specs, keys, strict=False))


def parse_option(text: str) -> tuple[str, Any]:
    """A static option, "name=value": a Python literal (True, 0.1, (0, 1), None), or else a string.

    Raises:
      ValueError: there is no name, or no equals sign.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ValueError(f"option {text!r}, wanted name=value, as in axis=-1")
    return name, _literal(value.capitalize() if value in ("true", "false", "none") else value)


def full_dtype_name(dtype: str) -> str:
    """The type's own name for its short one, float32 for f32; any other word as it is."""
    return _DTYPES.get(dtype, dtype)


def _literal(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _value(spec, key, size):
    if spec == "key":
        return key
    if spec.lower() in ("true", "false"):
        return spec.lower() == "true"
    if match := _SPEC.fullmatch(spec):
        return _array(spec, key, size, **match.groupdict())
    return _number(spec)


def _number(spec):
    if re.fullmatch(r"[+-]?\d+", spec):
        return _in_64_bits(spec)
    try:
        return float(spec)
    except ValueError:
        wanted = "wanted an array such as f32[8,16], i32[5]<10 or bool[3], a number, or key"
        raise ValueError(f"argument {spec!r}, {wanted}") from None


def _in_64_bits(spec):
    digits = spec.lstrip("+-0")
    if len(digits) > 19 or not -(2**63) <= int(spec) < 2**63:
        raise ValueError(f"argument {_cut(spec)!r}, wanted a whole number of 64 bits, got one of {len(digits)} digits")
    return int(spec)


def _array(spec, key, size, dtype, shape, bound):
    name = full_dtype_name(dtype)
    if name not in _DTYPES.values():
        raise ValueError(f"argument {spec!r}, wanted one of the types {', '.join(_DTYPES)}, got {dtype}")
    if bound is not None and name not in _INTEGER.values():
        raise ValueError(f"argument {spec!r}, wanted a bound on integers alone, as in i32[5]<10")
    dims = tuple(_dimension(spec, word.strip(), size) for word in shape.split(",")) if shape.strip() else ()
    count = math.prod(max(dim, 1) for dim in dims)  # XLA multiplies the sizes of an empty array too
    if count > ENTRIES:
        got = f"{count:,}" if count < 10**15 else f"10^{math.log10(count):.0f}"
        raise ValueError(f"argument {_cut(spec)!r}, wanted at most {ENTRIES:,} entries, got {got}")
    with precision(name):
        return _random(key, dims, jnp.dtype(name), 2 if bound is None else _bound(spec, bound, name))


def _bound(spec, word, name):
    bits, wide = jnp.iinfo(name).bits, name in ("int64", "uint64")
    most = min(int(jnp.iinfo(name).max), 2**63 - 1 if wide else 2**31 - 1) + (bits < 32)  # what `randint` takes
    if len(word) > 20 or not 1 <= int(word) <= most:
        raise ValueError(f"argument {_cut(spec)!r}, wanted a bound from 1 to {most} on {name}")
    return int(word)


def _dimension(spec, word, size):
    if word == "n" and size is None:
        raise ValueError(f"argument {spec!r}, wanted sizes for n: add --sizes 16 64 256")
    if word == "n":
        return size
    if not word.isdigit():
        raise ValueError(f"argument {spec!r}, wanted dimensions as in f32[8,16], got {word!r}")
    return int(word[:30])  # far more than there may be


def _cut(spec):
    return spec if len(spec) <= 60 else f"{spec[:57]}..."


def _random(key, shape, dtype, bound):
    if jnp.issubdtype(dtype, jnp.bool):
        return jax.random.bernoulli(key, shape=shape)
    if jnp.issubdtype(dtype, jnp.integer):
        return jax.random.randint(key, shape, 0, bound, dtype)
    return jax.random.normal(key, shape, dtype)
