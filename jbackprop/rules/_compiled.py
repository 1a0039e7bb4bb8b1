"""Rules that are called without `jit`.

JAX compiles a loop, and a choice of platform, anew whenever their functions are new ones, as a function is that is
defined in a rule's forward or backward half.  It keeps what it compiled, too.  So a half that has one is compiled as a
whole, once for its shapes and options; what goes into it is arrays, options that hash, and for a function that differs
from rule to rule a `jax.tree_util.Partial` of one that a module defines, and of the arrays that it needs.
"""

from functools import partial

import jax

compiled_once = partial(jax.jit, inline=True)
"""`jax.jit` for a part of a rule; within a program that is being traced already the part is written out."""
