"""Arguments in words, for the command line: "f32[8,16]" is a random array.

    f32[8,16]      floating point, standard normal: f16, bf16, f32, f64; or in full, float32[8,16]
    c64[5]         complex, standard normal: c64, c128
    i32[5]<10      integers from 0 to 9, or 0 and 1 without a bound: i8 to i64, u8 to u64
    bool[3]        each true or false
    f32[n,16]      n stands for the size, where one is given
    key            a random key
    5.0, -3, true  a number or a truth value

The seed decides the random values; no two arguments share them.
"""

import ast
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
_SPEC = re.compile(r"(?P<dtype>[a-z]+\d*)\[(?P<shape>[\dn, ]*)\](?:<(?P<bound>\d+))?")


def parse_arguments(specs: Sequence[str], seed: int = 0, size: int | None = None) -> tuple[Any, ...]:
    """The value of each spec; the same seed gives the same values.

    Args:
      specs: in the words of the module's docstring.
      seed: of the random numbers.
      size: what n stands for.

    Raises:
      ValueError: a spec that has no meaning; the message says what to type.
    """
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
    for kind in (int, float):
        try:
            return kind(spec)
        except ValueError:
            continue
    raise ValueError(f"argument {spec!r}, wanted an array such as f32[8,16], i32[5]<10 or bool[3], a number, or key")


def _array(spec, key, size, dtype, shape, bound):
    name = full_dtype_name(dtype)
    if name not in _DTYPES.values():
        raise ValueError(f"argument {spec!r}, wanted one of the types {', '.join(_DTYPES)}, got {dtype}")
    if bound is not None and name not in _INTEGER.values():
        raise ValueError(f"argument {spec!r}, wanted a bound on integers alone, as in i32[5]<10")
    dims = tuple(_dimension(spec, word.strip(), size) for word in shape.split(",")) if shape.strip() else ()
    with precision(name):
        return _random(key, dims, jnp.dtype(name), 2 if bound is None else int(bound))


def _dimension(spec, word, size):
    if word == "n" and size is None:
        raise ValueError(f"argument {spec!r}, wanted sizes for n: add --sizes 16 64 256")
    if word == "n":
        return size
    if not word.isdigit():
        raise ValueError(f"argument {spec!r}, wanted dimensions as in f32[8,16], got {word!r}")
    return int(word)


def _random(key, shape, dtype, bound):
    if jnp.issubdtype(dtype, jnp.bool):
        return jax.random.bernoulli(key, shape=shape)
    if jnp.issubdtype(dtype, jnp.integer):
        return jax.random.randint(key, shape, 0, bound, dtype)
    return jax.random.normal(key, shape, dtype)
