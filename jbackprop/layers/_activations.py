"""Layers without parameters that are one rule each: a = σ(z) of single entries, the softmaxes, the gates.

The derivations stand with the rules.  A gate takes a pair, (gate, value), such as `parallel` hands on, or both in one
array, as a layer of twice the size forms them.
"""

from jbackprop import rules

from ._layer import About
from ._of import Of
from ._parameters import FEATURES, Initialize, Parameter, constant
from ._written import layer_of, written

_SOFTMAX = About(input="{y} ⊙ ({dy} − Σ {y} ⊙ {dy})")
_LOG_SOFTMAX = About(input="{dy} − exp({y}) Σ {dy}")

celu = layer_of(rules.celu)
elu = layer_of(rules.elu)
gelu = layer_of(rules.gelu)
hard_sigmoid = layer_of(rules.hard_sigmoid)
hard_silu = layer_of(rules.hard_silu)
hard_tanh = layer_of(rules.hard_tanh)
leaky_relu = layer_of(rules.leaky_relu)
log_sigmoid = layer_of(rules.log_sigmoid)
mish = layer_of(rules.mish)
relu = layer_of(rules.relu)
relu6 = layer_of(rules.relu6)
relu_squared = layer_of(rules.relu_squared)
selu = layer_of(rules.selu)
sigmoid = layer_of(rules.sigmoid)
silu = layer_of(rules.silu)
soft_sign = layer_of(rules.soft_sign)
softplus = layer_of(rules.softplus)
sparse_plus = layer_of(rules.sparse_plus)
sparse_sigmoid = layer_of(rules.sparse_sigmoid)
squareplus = layer_of(rules.squareplus)
tanh = layer_of(rules.tanh)

log_softmax = layer_of(rules.log_softmax, says=_LOG_SOFTMAX)
logsumexp = layer_of(rules.logsumexp, says=About(input="{dy} ⊙ softmax({x})"))
softmax = layer_of(rules.softmax, says=_SOFTMAX)

_PAIR = "gate", "value"
geglu = layer_of(rules.geglu, inputs=_PAIR)
glu = layer_of(rules.glu)
reglu = layer_of(rules.reglu, inputs=_PAIR)
swiglu = layer_of(rules.swiglu, inputs=_PAIR)


@written
def prelu(per_feature: bool = True, slope: Initialize = constant(0.25)) -> Of:
    """a = z where z ≥ 0, else slope · z, the slope a parameter: {"slope": (features,)} or {"slope": ()}."""
    says = About(output="prelu({x})", delta="{dy}", input="{dy} ⊙ prelu′({x})")
    return layer_of(rules.prelu, slope=Parameter(slope, (FEATURES,) if per_feature else ()), says=says)()
