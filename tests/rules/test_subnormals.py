"""Numbers that XLA on a CPU flushes to zero and other hardware keeps: rules replayed in NumPy, which keeps them.

The reciprocal of a subnormal number is ∞, and ∞ · 0 no number: where a CPU divides by 0 and a `where` drops it, or
never gets there, an accelerator may meet one.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy import special

from jbackprop import rules
from jbackprop.functions import called_jaxpr, evaluate_jaxpr

BY_NUMPY = {
    "add": np.add,
    "add_any": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "square": np.square,
    "tanh": np.tanh,
    "pow": np.power,
    "max": np.maximum,
    "min": np.minimum,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "integer_pow": lambda x, y: np.power(x, y) if y >= 0 else 1 / np.power(x, -y),
    "select_n": lambda which, *cases: np.choose(which.astype(int), cases),
    "reduce_sum": lambda x, axes, **_: x.sum(axes),
    "reduce_max": lambda x, axes, **_: x.max(axes),
    "stop_gradient": lambda x: x,
    "optimization_barrier": lambda x: x,
    "reduce_precision": lambda x: np.sign(x) * 2 ** np.rint(np.log2(np.where(x == 0, 1, np.abs(x)))) * (x != 0),
}
MOVES = {
    "broadcast_in_dim",
    "convert_element_type",
    "reshape",
    "squeeze",
    "iota",
    "and",
    "or",
    "not",
    "erf_inv",
    "erf",
    "erfc",
}


def _replayed(jaxpr, arguments):
    return evaluate_jaxpr(jaxpr, arguments, _apply, np.asarray)


def _apply(equation, inputs):
    name, params, shapes = equation.primitive.name, equation.params, [out.aval for out in equation.outvars]
    if name in BY_NUMPY:
        named = {key: params[key] for key in ("y", "axes") if key in params}
        with np.errstate(all="ignore"):
            return [np.asarray(BY_NUMPY[name](*inputs, **named), shapes[0].dtype)]
    if name in ("jit", "pjit", "custom_jvp_call", "custom_vjp_call"):
        return _replayed(params["jaxpr"] if "jaxpr" in params else called_jaxpr(equation), inputs)
    assert name in MOVES
    return [
        np.asarray(equation.primitive.bind(*map(jnp.asarray, inputs), **equation.primitive.get_bind_params(params)))
    ]


SIZES = np.concatenate([np.arange(80.0, 110.0, 0.5), [0.0, 1.0, 44.0, 300.0], 10.0 ** np.arange(-45.0, -37.0)])
Z = np.concatenate([SIZES, -SIZES]).astype(np.float32)[None]
LOG_P = -np.abs(Z)


def _labelled(rule, label, **options):
    return lambda z: rule(z, jnp.full(z.shape, label), **options)


RULES = {
    **{
        f"{rule.__name__}, label {label}": _labelled(rule, label)
        for rule in (rules.sigmoid_focal, rules.sigmoid_cross_entropy)
        for label in (0, 1, 0.3)
    },
    "sigmoid_focal, alpha, gamma 1.5": _labelled(rules.sigmoid_focal, 1, alpha=0.3, gamma=1.5),
    "sigmoid_focal, gamma 0.3": _labelled(rules.sigmoid_focal, 0, gamma=0.3),
    **{
        name: getattr(rules, name)
        for name in ("silu", "mish", "softplus", "log_sigmoid", "sigmoid", "tanh", "elu", "selu", "celu", "gelu")
    },
    "swiglu": lambda z: rules.swiglu(z, z),
    "softmax": rules.softmax,
    "log_softmax": rules.log_softmax,
    "logsumexp": rules.logsumexp,
    "kl_divergence": lambda z: rules.kl_divergence(-jnp.abs(z), special.expit(z)),
    "log_cosh": lambda z: rules.log_cosh(z, 0 * z),
    "huber": lambda z: rules.huber(z, 0 * z),
}


@pytest.mark.parametrize("name", RULES)
def test_no_rule_makes_of_a_subnormal_number_what_is_none(name):
    def function(z, dout):
        out, pull = jax.vjp(RULES[name], z)
        return out, *pull(dout)

    dout = np.random.default_rng(0).normal(size=jax.eval_shape(RULES[name], Z).shape).astype(np.float32)
    got = _replayed(jax.make_jaxpr(function)(Z, dout), [Z, dout])
    with jax.enable_x64(True):
        wanted = jax.jit(function)(Z.astype(np.float64), dout.astype(np.float64))
    for single, double in zip(got, wanted, strict=True):
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-5)


def test_the_replay_keeps_subnormal_numbers():
    tiny = np.array([1e-40], np.float32)
    (reciprocal,) = _replayed(jax.make_jaxpr(lambda x: 1 / x)(tiny), [tiny])
    assert np.isinf(reciprocal).all()
    (kept,) = _replayed(jax.make_jaxpr(lambda x: x * 2)(tiny), [tiny])
    assert kept > 0


@pytest.mark.parametrize("epsilon", [0.0, 1e-12])
@pytest.mark.parametrize(("name", "arrays"), [("cosine_similarity", 2), ("cosine_distance", 2), ("triplet", 3)])
@pytest.mark.parametrize("size", [1e-40, 1e-44])
def test_lengths_that_are_subnormal_have_finite_gradients(name, arrays, size, epsilon):
    def function(dout, *arrays):
        out, pull = jax.vjp(
            lambda *a: getattr(rules, name)(*a, **{"eps" if name == "triplet" else "epsilon": epsilon}), *arrays
        )
        return out, *pull(dout)

    drawn = np.random.default_rng(0).normal(size=(arrays, 3, 4)) * size
    arguments = [np.array([1, 2, 3], np.float32), *drawn.astype(np.float32)]
    for out in _replayed(jax.make_jaxpr(function)(*arguments), arguments):
        assert np.isfinite(out).all()


@pytest.mark.parametrize("rule", [rules.layer_norm, rules.rms_norm, rules.clip_gradient_norm])
def test_rows_that_are_subnormal_have_finite_gradients(rule):
    def function(x, dy):
        y, pull = jax.vjp(lambda x: rule(x, limit=1.0) if rule is rules.clip_gradient_norm else rule(x), x)
        return y, *pull(dy)

    x, dy = (np.random.default_rng(0).normal(size=(2, 3, 4)) * 1e-40).astype(np.float32)
    for out in _replayed(jax.make_jaxpr(function)(x, dy), [x, dy]):
        assert np.isfinite(out).all()
