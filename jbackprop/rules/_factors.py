"""What a parameter gets, named and not yet computed: a value made of the parameter's input and of δ.

With n an example and t a position of it,

    Outer(a, δ)          ∂C/∂W = Σ_n Σ_t a_ntᵀ δ_nt              a weight, z = a W
    Summed(δ)            ∂C/∂b = Σ_n Σ_t δ_nt                    a bias, z = … + b; a scale too, of δ ⊙ x̂
    Looked(ids, δ)       ∂C/∂E_k = Σ_{n, t: ids_nt = k} δ_nt     a table, z = E[ids]

Each is a tree of arrays with the examples first.  `total` is the gradient; since it sums over whatever axes there are,
`jax.vmap(total)` is the gradient of each example, and no formula stands twice.  With C_i the cost of example i,

    weighted(c) = Σ_i c_i ∂C_i/∂p = total of the same with c_i δ_i        for it is linear in δ
    products    = pairs (l, r) with ∂C_i/∂p = Σ_t l_itᵀ r_it, where there are such

so that a table is a weight whose inputs are one-hot, and ⟨∂C_i/∂p, ∂C_j/∂p⟩ = Σ_ts ⟨l_it, l_js⟩ ⟨r_it, r_js⟩.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast, dataclass_transform

import jax
import jax.numpy as jnp
from jax import lax

from ._arrays import added_at_rows, cotangent, outer, product, rows, whole, wide_dtype, widen
from ._compiled import compiled_once
from ._meshes import by_compiler, may_be_spread

T = TypeVar("T")

_MIXED = "total: factored, wanted one that keeps its examples apart, got one that mixes them"


class Factored:
    """A gradient in its factors.

    One of your own says what its `total` is, and has a field `delta` in which it is linear; the rest follows.
    """

    def total(self) -> jax.Array:
        """The gradient: the factors contracted over all examples and positions."""
        raise NotImplementedError

    def per_example(self) -> jax.Array:
        """The gradient of each example, (examples, *shape of the parameter)."""
        return jax.vmap(lambda one: one.total())(self)

    def weighted(self, weights: jax.Array) -> jax.Array:
        """Σ_i weights_i ∂C_i/∂p for one weight an example: δ is scaled before it is contracted."""
        record = cast(Any, self)
        delta = jax.tree.map(lambda delta: _times(weights, delta), record.delta)
        return dataclasses.replace(record, delta=delta).total()

    def products(self) -> "tuple[Product, ...] | None":
        """The same as sums of outer products, or None for what is no such sum."""
        return None


def static(**options: Any) -> Any:
    """A field of the structure; keywords as for `dataclasses.field`."""
    return dataclasses.field(metadata={"static": True}, **options)


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, static))
def factored(cls: type[T]) -> type[T]:
    """A frozen dataclass as a tree of its fields; those marked `static` are part of the tree's structure."""
    record: Any = dataclasses.dataclass(frozen=True)(cls)
    meta = [field.name for field in dataclasses.fields(record) if field.metadata.get("static")]
    data = [field.name for field in dataclasses.fields(record) if field.name not in meta]
    return jax.tree_util.register_dataclass(record, data, meta)


@factored
class OneHot:
    """Rows that are 1 at one place and 0 elsewhere, never written out.

    Attributes:
      ids: the places, (*examples).
      size: how long a row is.
    """

    ids: jax.Array
    size: int = static()

    @property
    def shape(self) -> tuple[int, ...]:
        """(*examples, size)."""
        return (*self.ids.shape, self.size)


class Product(NamedTuple):
    """Σ leftᵀ right over the positions of each example.

    Attributes:
      left: (*examples, rows of the parameter).
      right: (*examples, its columns).
    """

    left: jax.Array | OneHot
    right: jax.Array | OneHot


@factored
class Outer(Factored):
    """aᵀ δ of a weight (n_in, n_out).

    Attributes:
      a: the weight's input, (*examples, n_in).
      delta: δ of what the weight makes of it, (*examples, n_out).
    """

    a: jax.Array
    delta: jax.Array

    def total(self) -> jax.Array:
        """Σ aᵀ δ over every axis but the last, in the factors' common dtype; half precision is summed in float32."""
        return outer(self.a, self.delta, rounded=True)

    def products(self) -> tuple[Product, ...]:
        """Itself."""
        return (Product(self.a, self.delta),)


@factored
class Summed(Factored):
    """Σ δ of a bias, or of a scale with δ ⊙ x̂.

    Attributes:
      delta: (*examples, *shape), the first axis of shape perhaps shorter than the parameter's.
      shape: the parameter's; one axis, as long as δ's last, unless given.
    """

    delta: jax.Array
    shape: tuple[int, ...] | None = static(default=None)

    def total(self) -> jax.Array:
        """Σ δ over the leading axes in δ's dtype, summed in float32 at least; rows that δ does not reach are 0."""
        shape = self.delta.shape[-1:] if self.shape is None else self.shape
        leading = tuple(range(self.delta.ndim - len(shape)))
        summed = self.delta.sum(leading, dtype=wide_dtype(self.delta)).astype(self.delta.dtype)
        missing = [(0, wanted - got) for wanted, got in zip(shape, summed.shape, strict=True)]
        if not any(after for _, after in missing):
            return summed
        return by_compiler(partial(jnp.pad, pad_width=missing), summed, layouts=lambda: [(None,) * len(shape)])

    def weighted(self, weights: jax.Array) -> jax.Array:
        """Σ_i weights_i δ_i, as a product where an example has one δ: XLA on a CPU adds rows up column by column."""
        if self.delta.shape[1:] != self.shape:
            return super().weighted(weights)
        row = weights.astype(wide_dtype(self.delta))[None]
        return product(row, self.delta.reshape(len(self.delta), -1)).reshape(self.shape).astype(self.delta.dtype)


@factored
class Looked(Factored):
    """What the rows of a table get that were looked up.

    Attributes:
      ids: numbers of rows, (*examples).
      delta: δ of the rows that were found, (*examples, features).
      rows: how many the table has.
      padding_index: the row that gets nothing, or None.
    """

    ids: jax.Array
    delta: jax.Array
    rows: int = static()
    padding_index: int | None = static(default=None)

    def total(self) -> jax.Array:
        """δ added to the rows that were looked up, in float32 at least; a row that does not exist gets nothing."""
        ids, delta = whole(self.ids), self.delta
        if delta.dtype == wide_dtype(delta) or ids.size >= self.rows or may_be_spread(delta) or may_be_spread(ids):
            table = _added_up(ids, delta, self.rows)
        else:
            table = _added_best(ids, delta, self.rows)
        return table if self.padding_index is None else table.at[self.padding_index].set(0)

    def products(self) -> tuple[Product, ...]:
        """One-hot rows and δ, which is 0 where no row gets it."""
        ids = whole(self.ids)
        counts = (ids >= 0) & (ids < self.rows)
        counts = counts if self.padding_index is None else counts & (ids != self.padding_index)
        return (Product(OneHot(ids, self.rows), jnp.where(counts[..., None], self.delta, 0)),)


@compiled_once(static_argnames="count")
def _added_best(ids, delta, count):
    """The same in the platform's way."""
    return lax.platform_dependent(
        ids, delta, cpu=partial(_added_up, count=count), default=partial(_added_apart, count=count)
    )


def _added_up(ids, delta, count):
    """A table of so many rows in float32 at least, δ added where each lies."""
    return added_at_rows(count, ids, widen(delta), mode="drop", wrap_negative_indices=False)


def _added_apart(ids, delta, count):
    """The same for fewer ids than rows of half precision: sums in float32 of the rows that were looked up alone.

    They lie where a row was first looked up, and are rounded as the table is written, half as many bytes.
    """
    ids, delta = ids.reshape(-1), rows(delta)
    places = jnp.arange(ids.size)
    first = jnp.full(count, ids.size).at[ids].min(places, mode="drop", wrap_negative_indices=False)
    mine = first.at[ids].get(mode="fill", fill_value=ids.size, wrap_negative_indices=False)
    sums = jnp.zeros(delta.shape, wide_dtype(delta)).at[mine].add(widen(delta), mode="drop")
    return widen(sums.astype(delta.dtype).at[first].get(mode="fill", fill_value=0))


@factored
class Mixed(Factored):
    """A gradient to which no example contributes alone, as in batch normalisation.

    Attributes:
      factor: what the parameter gets from all examples at once.
      axes: of its arrays, in order; with one less each, somebody asks for the gradient of one example.
    """

    factor: Factored
    axes: tuple[int, ...] = static(default=())

    @classmethod
    def of(cls, factor: Factored) -> "Mixed":
        """The factor, marked."""
        return cls(factor, tuple(leaf.ndim for leaf in jax.tree.leaves(factor)))

    def total(self) -> jax.Array:
        """The gradient.

        Raises:
          ValueError: under `jax.vmap`, one example at a time.
        """
        if tuple(leaf.ndim for leaf in jax.tree.leaves(self.factor)) != self.axes:
            raise ValueError(_MIXED)
        return self.factor.total()

    def weighted(self, weights: jax.Array) -> jax.Array:
        """Raises ValueError: no example has a share of its own."""
        raise ValueError(_MIXED)


def _times(weights, delta):
    """δ of each example times a number, multiplied in float32 at least."""
    each = weights.reshape(-1, *[1] * (delta.ndim - 1))
    return (widen(delta) * each).astype(delta.dtype)


def totals(factors: Mapping[str, Factored], **parameters: jax.Array | None) -> tuple[jax.Array | None, ...]:
    """The gradient of each parameter in its dtype, None for one that was not given."""
    return tuple(
        None if parameter is None else cotangent(parameter, factors[name].total())
        for name, parameter in parameters.items()
    )
