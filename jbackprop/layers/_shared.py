"""One parameter, several uses: its gradient is the sum over them.

    ∂C/∂p = Σ over the uses of p of what each gets        a use of pᵀ gets the transpose

The factored gradient keeps the uses apart, so that whoever wants a norm of it finds the cross terms.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from jbackprop.rules import Factored, Product, factored

from ._layer import Layer, Params, Shape, Swept, check_layer, is_factored

_TRANSPOSED = ".T"


@factored
class Transposed(Factored):
    """What a parameter gets that was used transposed.

    Attributes:
      factor: what its transpose gets.
    """

    factor: Factored

    def total(self) -> jax.Array:
        """The transpose of the other's gradient."""
        return self.factor.total().T

    def weighted(self, weights: jax.Array) -> jax.Array:
        """The transpose of the other's."""
        return self.factor.weighted(weights).T

    def products(self) -> tuple[Product, ...] | None:
        """The other's, left and right exchanged."""
        found = self.factor.products()
        return None if found is None else tuple(Product(right, left) for left, right in found)


@factored
class Uses(Factored):
    """What a parameter gets that is used several times.

    Attributes:
      factors: of each use.
    """

    factors: tuple[Factored, ...]

    def total(self) -> jax.Array:
        """The sum over the uses."""
        return functools.reduce(jnp.add, [factor.total() for factor in self.factors])

    def per_example(self) -> jax.Array:
        """The sum over the uses, of each example."""
        return functools.reduce(jnp.add, [factor.per_example() for factor in self.factors])

    def weighted(self, weights: jax.Array) -> jax.Array:
        """The sum over the uses."""
        return functools.reduce(jnp.add, [factor.weighted(weights) for factor in self.factors])

    def products(self) -> tuple[Product, ...] | None:
        """Those of all uses; None where one has none."""
        found = [factor.products() for factor in self.factors]
        named = [products for products in found if products is not None]
        return tuple(product for products in named for product in products) if len(named) == len(found) else None


@dataclasses.dataclass(frozen=True, repr=False)
class Shared(Layer):
    """A network in which some parameters are one; `shared` makes it.

    Attributes:
      inner: the network.
      ties: groups of places, each of which holds the parameter of the first.
      evaluated: whether a place that is not None holds what is its own: statistics, below a part that is tied.
    """

    inner: Layer
    ties: tuple[tuple[str, ...], ...]
    evaluated: bool = False

    def __repr__(self) -> str:
        return f"shared({', '.join(map(repr, (self.inner, *self.ties)))})"

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """Those of the network, None in every place but the first of each group."""
        params, out_shape = self.inner.init(key, shape)
        shapes = {name: None if leaf is None else leaf.shape for name, leaf in _named(params)}
        uses = self._uses(shapes)
        _check_groups(uses)
        for use, owner, turned in uses:
            _check_shapes(shapes, use, owner, turned)
        return _replaced(params, {use: None for use, _, _ in uses}), out_shape

    def forward(self, params: Params, x: Any, key: jax.Array | None = None) -> tuple[Any, Any]:
        """The network's."""
        return self.inner.forward(self.whole(params), x, key)

    def backward(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any]:
        """The network's."""
        return self.inner.backward(self.whole(params), cache, dy)

    def backpropagate(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any, Params]:
        """The network's, the gradients of one parameter added up."""
        dx, delta, gradients = self.inner.backpropagate(self.whole(params), cache, dy)
        return dx, delta, self._added(params, gradients)

    @property
    def sweeps(self) -> bool:
        """Whether the network does."""
        return self.inner.sweeps

    def sweep(self, params: Params, x: Any, dy: Any, key: jax.Array | None = None) -> Swept:
        """The network's, the gradients of one parameter added up."""
        swept = self.inner.sweep(self.whole(params), x, dy, key)
        return swept._replace(gradients=self._added(params, swept.gradients))

    def factors(self, params: Params, cache: Any, delta: Any) -> Any:
        """The network's, those of one parameter together."""
        factors = self.inner.factors(self.whole(params), cache, delta)
        return self._together(params, factors, Transposed, lambda uses: Uses(tuple(uses)))

    def statistics(self, params: Params, cache: Any) -> Any:
        """The network's."""
        return self.inner.statistics(self.whole(params), cache)

    def evaluation(self) -> "Shared":
        """The same ties, which leave alone the statistics that come to stand among the parameters."""
        return dataclasses.replace(self, evaluated=True)

    def whole(self, params: Params) -> Params:
        """The network's parameters, with one in every place that holds it."""
        found = dict(_named(params))
        owners = self._owners(params).items()
        return _replaced(params, {use: found[owner].T if turned else found[owner] for use, (owner, turned) in owners})

    def _added(self, params, gradients):
        return self._together(params, gradients, jnp.transpose, lambda uses: functools.reduce(jnp.add, uses))

    def _together(self, params, tree, transposed, together):
        """A tree like the network's parameters, with what all uses of one get in the first of its places."""
        found = dict(_named(tree))
        owners = self._owners(params)
        uses = {owner: [found[owner]] for owner, _ in owners.values()}
        for use, (owner, turned) in owners.items():
            uses[owner].append(transposed(found[use]) if turned else found[use])
        return _replaced(tree, {owner: together(every) for owner, every in uses.items()} | dict.fromkeys(owners))

    def _owners(self, params):
        """For each place that holds another's parameter: that other place, and whether transposed."""
        found = dict(_named(params))
        uses = [each for each in self._uses(found) if found.get(each[1]) is not None]
        return {use: (owner, turned) for use, owner, turned in uses if found[use] is None or not self.evaluated}

    def _uses(self, names):
        """Every place but the first of each group, the first, and whether transposed."""
        uses = []
        for first, *others in self.ties:
            for other in others:
                place = other.removesuffix(_TRANSPOSED)
                uses += [(name, first + name.removeprefix(place), place != other) for name in _below(place, names)]
        return uses


def shared(layer: Layer, *ties: tuple[str, ...]) -> Shared:
    """A network with parameters that are one: params, gradients and factors hold each in the first of its places.

    Args:
      layer: the network.
      *ties: groups of places in the tree of its parameters, such as ("0.table", "2.w.T"): the second is the transpose
        of the first.  A place may be a whole part, such as ("0", "3").

    Raises:
      TypeError: layer is not a `Layer`.
      ValueError: a group has fewer than two places; `init` raises it where there is no such place, shapes differ, or a
        place is in several groups and not the first of each.

    Example: an embedding whose table is the output layer's weight too.

      >>> import jax
      >>> from jbackprop import layers
      >>> net = layers.chain(layers.embedding(50, 16), layers.tanh(), layers.linear(50, bias=False))
      >>> params, _ = layers.shared(net, ("0.table", "2.w.T")).init(jax.random.key(0), (5,))
      >>> jax.tree.map(lambda p: p.shape, params)
      ({'table': (50, 16)}, (), {'w': None})
    """
    check_layer("shared", layer=layer)
    for tie in ties:
        if isinstance(tie, str) or len(tie) < 2:
            raise ValueError(f'shared: ties, wanted groups of places such as ("0.table", "2.w.T"), got {tie!r}')
    return Shared(layer, tuple(map(tuple, ties)))


def _named(tree):
    """Every leaf, None and factored gradients among them, with the name of its place."""
    found = jax.tree_util.tree_leaves_with_path(tree, is_leaf=_is_place)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in found]


def _is_place(leaf):
    return leaf is None or is_factored(leaf)


def _replaced(tree, others):
    """The tree with other leaves in some places."""
    leaves, structure = jax.tree.flatten(tree, is_leaf=_is_place)
    names = [name for name, _ in _named(tree)]
    return structure.unflatten([others.get(name, leaf) for name, leaf in zip(names, leaves, strict=True)])


def _below(place, names):
    """The places at a place, or below it; ValueError where there is none."""
    found = [name for name in names if name == place or name.startswith(f"{place}.")]
    if not found:
        raise _nowhere(place, names)
    return found


def _check_groups(uses):
    """Raises ValueError where a place that holds another's parameter stands a second time."""
    places = [use for use, _, _ in uses]
    owners = {owner for _, owner, _ in uses}
    for place in places:
        if place in owners or places.count(place) > 1:
            raise ValueError(f"shared: ties, wanted each place once, or as the first of each group, got {place} again")


def _check_shapes(shapes, use, owner, turned):
    """Raises ValueError unless a place can hold the parameter of the other."""
    if owner not in shapes:
        raise _nowhere(owner, shapes)
    wanted, got = shapes[owner], shapes[use]
    if (wanted is None) != (got is None):
        filled = use if got is None else owner
        raise ValueError(f"shared: ties, wanted places that hold a parameter, got {filled}, which another tie fills")
    wanted = wanted[::-1] if turned and wanted else wanted
    if got != wanted:
        raise ValueError(f"shared: ties, wanted {use} of shape {wanted} (as {owner}), got {got}")


def _nowhere(place, names):
    return ValueError(f"shared: ties, wanted places among {', '.join(names)}, got {place!r}")
