"""Signatures that a person can read: `x: float[*batch, n_in]` for `x: jaxtyping.Float[Array, '*batch n_in']`."""

import inspect
import re
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


def readable(signature: inspect.Signature) -> inspect.Signature:
    """The same signature with its annotations as short text."""
    parameters = [
        parameter.replace(annotation=written(parameter.annotation)) for parameter in signature.parameters.values()
    ]
    return signature.replace(parameters=parameters, return_annotation=written(signature.return_annotation))


def written(annotation: Any) -> Any:
    """An annotation as short text: arrays as their dtype and shape, everything else without the modules it is from."""
    if annotation is inspect.Signature.empty:
        return annotation
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = _ARRAY.sub(_array, text)
    return Written(_HOME.sub("", text).replace("NoneType", "None").replace("~", ""))


def _array(found: re.Match[str]) -> str:
    kind, shape = _KINDS.get(found[1], found[1].lower()), found[2].split()
    return f"{kind}[{', '.join(shape)}]"
