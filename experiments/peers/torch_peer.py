"""PyTorch as a peer: a case's function and gradients on tensors."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import torch

from jbackprop.cases import Case

from .torch_twins import TWINS


def twin(case: Case) -> Callable | None:
    """The function of a case in PyTorch, its options bound; None where PyTorch has none."""
    rule = TWINS.get(case.name) or TWINS.get(case.rule_name)
    if rule is None:
        return None

    def of_tensors(x, *others):
        options = {name: tensor(v).to(x.dtype) if isinstance(v, jax.Array) else v for name, v in case.options.items()}
        return rule(x, *others, **options)

    return of_tensors


def tensor(array: Any) -> torch.Tensor:
    """The same numbers; integers as int64, which PyTorch wants of class numbers."""
    made = torch.from_numpy(np.array(array))
    return made if made.is_floating_point() or made.dtype == torch.bool else made.long()


def gradients(f: Callable, arguments: Sequence[Any], cotangents: Sequence[Any]) -> Callable[[], tuple]:
    """A call that computes the gradients of Σ ⟨u, output⟩ by every floating point argument."""
    tensors = [tensor(a) for a in arguments]
    chosen = [t.requires_grad_() for t in tensors if t.is_floating_point()]
    pulled = [tensor(u) for u in cotangents]

    def run():
        outputs = f(*tensors)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return torch.autograd.grad(outputs[: len(pulled)], chosen, pulled)

    return run
