"""Functions that make layers of rules, and layers that print as they were written."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec

import jax

from ._of import Of, of

P = ParamSpec("P")


def written(make: Callable[P, Of]) -> Callable[P, Of]:
    """A function that makes layers; they print as the call that made them."""

    @functools.wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> Of:
        words = [*map(repr, args), *(f"{name}={_word(value)}" for name, value in kwargs.items())]
        return dataclasses.replace(make(*args, **kwargs), written=f"{make.__name__}({', '.join(words)})")

    return made


def layer_of(rule: jax.custom_vjp, **settings: Any) -> Callable[..., Of]:
    """The function that makes the layer of a rule without parameters; its arguments are the rule's static options.

    Args:
      rule: the rule.
      **settings: as for `of`.
    """
    signature = inspect.signature(rule.fun)
    static = [parameter for i, parameter in enumerate(signature.parameters.values()) if i in rule.nondiff_argnums]
    options = signature.replace(parameters=static, return_annotation=Of)

    def make(*args: Any, **kwargs: Any) -> Of:
        return of(functools.partial(rule, **options.bind(*args, **kwargs).arguments), **settings)

    what, _, _ = (inspect.getdoc(rule.fun) or "").partition("\n\n")
    make.__name__ = make.__qualname__ = rule.__name__
    make.__doc__ = f"{what}\n\nOptions and errors as in `rules.{rule.__name__}`."
    vars(make)["__signature__"] = options  # for `inspect.signature`
    return written(make)


def _word(value):
    return value.__name__ if inspect.isfunction(value) else repr(value)
