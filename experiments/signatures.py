"""Signatures that a person can read: `x: float[*batch, n_in]` for `x: jaxtyping.Float[Array, '*batch n_in']`."""

import inspect
import re
from collections.abc import Collection
from typing import Any

_ARRAY = re.compile(r"(?:jaxtyping\.)?(\w+)\[(?:[\w.]+\.)?(?:Array|ArrayLike), '([^']*)'\]")
_HOME = re.compile(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z])")
_KINDS = {"Integer": "int", "Num": "number", "Shaped": "any", "Key": "key"}


class Written:
    """An annotation that prints as the text that it was given."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text


def readable(signature: inspect.Signature, public: Collection[type] = ()) -> inspect.Signature:
    """The same signature with its annotations as short text.

    Args:
      signature: of a function.
      public: the classes that a user can name; another one of this library is written as its first base among them.
    """
    parameters = [
        parameter.replace(annotation=written(_known(parameter.annotation, public)))
        for parameter in signature.parameters.values()
    ]
    result = written(_known(signature.return_annotation, public))
    return signature.replace(parameters=parameters, return_annotation=result)


def _known(annotation, public):
    """A class, or the nearest of its bases, that a user can name."""
    if not inspect.isclass(annotation) or annotation is inspect.Signature.empty:
        return annotation
    return next((base for base in annotation.__mro__ if base in public), annotation)


def written(annotation: Any) -> Any:
    """An annotation as short text: arrays as their dtype and shape, everything else without the modules it is from."""
    if annotation is inspect.Signature.empty:
        return annotation
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = _ARRAY.sub(_array, text)
    return Written(without_home(text).replace("NoneType", "None").replace("~", ""))


def without_home(text: str) -> str:
    """Names without the modules that they are from."""
    return _HOME.sub("", text)


def _array(found: re.Match[str]) -> str:
    kind, shape = _KINDS.get(found[1], found[1].lower()), found[2].split()
    return f"{kind}[{', '.join(shape)}]"
