"""The backprop table of a network, and how to write and debug a layer with it.

A layer of your own is a frozen dataclass with four functions.  Here is y = s ⊙ x³ with a trained scale s:

    ∂C/∂x = ∂C/∂y ⊙ s ⊙ 3 x²          what travels on
    δ     = ∂C/∂y ⊙ x³                 ∂C/∂s = Σ_rows δ

with a fault in its backward pass, where x stands for x² unless the power is right:

>>> import dataclasses
>>> import jax.numpy as jnp
>>> import jbackprop as jb
>>> from jbackprop import layers, rules
>>> @dataclasses.dataclass(frozen=True)
... class Cube(layers.Layer):
...     power: int
...     def init(self, key, shape):
...         return {"s": jnp.ones(shape[-1:])}, shape
...     def forward(self, params, x, key=None):
...         return params["s"] * x**3, x
...     def backward(self, params, x, dy):
...         return dy * params["s"] * 3 * x**self.power, dy * x**3
...     def factors(self, params, x, delta):
...         return {"s": layers.Summed(delta)}
...     def about(self):
...         return layers.About("cube", "s{l} ⊙ cube({x})", "{dy} ⊙ cube({x})", "{dy} ⊙ s{l} ⊙ cube′({x})")
>>> wrong = Cube(power=1)

Put it into a network and ask for the table, one mini-batch through it:

>>> net = layers.chain(layers.linear(2, bias=False), wrong)
>>> params = ({"w": jnp.array([[2.0, -1.0]])}, {"s": jnp.array([0.5, 1.0])})
>>> x, y = jnp.array([[0.5]]), jnp.array([[0.25, 1.0]])
>>> table = jb.explain(net, rules.squared_error)(params, x, y)
>>> for row in table.rows:
...     print(f"{row.symbol:11} = {row.equation:24} {row.verdict.text}")
z¹          = x W¹                     exact
z²          = s² ⊙ cube(z¹)            exact
C           = 1/m Σ squared_error(z², y) exact
∂C/∂z²      = (z² − y) / m             exact
δ²          = ∂C/∂z² ⊙ cube(z¹)        exact
∂C/∂s²      = Σ δ²                     exact
δ¹ = ∂C/∂z¹ = ∂C/∂z² ⊙ s² ⊙ cube′(z¹)  DIFFERS by 2.53 at [0, 1]: got 1.6875, wanted −0.84375
∂C/∂W¹      = xᵀ δ¹                    DIFFERS by 1.27 at [0, 1]: got 0.84375, wanted −0.421875
∂C/∂x       = δ¹ W¹ᵀ                   DIFFERS by 2.53 at [0, 0]: got −0.9375, wanted 1.59375

All rows that come after a fault differ, so the first one tells.  At z = 1, where z = z², this one does not show: that
entry is right by chance.

>>> table.first_difference.source
'layer 2, cube (part 1): backward'

Mended, every row agrees, for this mini-batch:

>>> right = Cube(power=2)
>>> net = layers.chain(layers.linear(2, bias=False), right)
>>> jb.explain(net, rules.squared_error)(params, x, y).first_difference is None
True

`jbackprop.check` proves the layer itself: in every dtype, for random cotangents, under every transformation.  `only`
picks one of its checks here; without it all of them run.

>>> z = jnp.array([[1.0, -0.5], [2.0, 0.25], [-1.5, 0.75]])
>>> jb.check(right.apply, params[1], z, only=["gradient"]).passed
True
>>> jb.check(wrong.apply, params[1], z, only=["gradient"], raises=False).passed
False
"""

from ._explain import explain as explain
from ._explanation import Explanation as Explanation
from ._explanation import Order as Order
from ._row import Block as Block
from ._row import Row as Row
from ._row import Verdict as Verdict
