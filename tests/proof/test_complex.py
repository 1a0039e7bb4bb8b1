"""Complex arguments and outputs: proved as their two parts, in JAX's convention."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

import jbackprop as jb
from experiments.detection.composed import power, recurrence
from jbackprop.command_line import main
from tests.proof.ruled import ruled_by

FAST = ("structure", "gradient", "finite differences", "special inputs")
Z = jax.random.normal(jax.random.key(0), (3, 4), dtype="complex64")
U = jax.random.normal(jax.random.key(1), (3, 4), dtype="complex64")


phase = ruled_by(
    lambda t: jnp.exp(1j * t), lambda kept, u: ((u * 1j * jnp.exp(1j * kept[0])).real.astype(kept[0].dtype),)
)
product = ruled_by(lambda z, w: z * w, lambda kept, u: (u * kept[1], u * kept[0]))

RIGHT = {
    "complex to real": (power, Z),
    "real to complex": (phase, Z.real),
    "complex to complex": (product, Z, U),
    "a recurrence": (recurrence, 0.5 * Z[0], U),
    "without a rule": (lambda z: jnp.fft.ifft(jnp.fft.fft(z) ** 2), Z),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_one_passes(name):
    f, *arguments = RIGHT[name]
    assert jb.check(f, *arguments, only=FAST).passed


def test_every_check_takes_complex_numbers():
    report = jb.check(lambda tree: power(tree["z"] * U), {"z": Z}, name="power")
    assert report.passed
    skipped = {result.check: result.skipped for result in report.results if result.skipped}
    assert list(skipped) == ["reference"]
    assert report.notes == ("the function takes no bfloat16 and no float16",)


WRONG = {
    "no conjugate": (ruled_by(power.fun, lambda kept, u: (2 * u * kept[0],)), (Z,), r"z\.imag.*the other sign"),
    "its own conjugate": (
        ruled_by(lambda z, w: z * w, lambda kept, u: (u * kept[1].conj(), u * kept[0].conj())),
        (Z, U),
        r"gradient of z\.",
    ),
    "the imaginary part lost": (
        ruled_by(lambda z: z**2, lambda kept, u: (2 * u.real * kept[0],)),
        (Z,),
        r"gradient of z\.",
    ),
    "half of it": (ruled_by(power.fun, lambda kept, u: (u * kept[0].conj(),)), (Z,), r"z\.real.*0\.5 times"),
    "NaN at 0": (
        ruled_by(jnp.abs, lambda kept, u: (u * kept[0].conj() / jnp.abs(kept[0]),)),
        (Z,),
        r"special inputs: .*got nan",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_one_fails(name):
    f, arguments, message = WRONG[name]
    with pytest.raises(jb.GradientError, match=f"(?s){message}"):
        jb.check(f, *arguments, only=FAST)


def test_a_reference_and_a_domain_are_of_complex_numbers_too():
    turned = ruled_by(lambda z: z / jnp.sqrt(power.fun(z)), lambda kept, u: (_pulled_turn(kept[0], u),))
    options = {"domain": lambda z: z + 3, "only": ("reference", *FAST)}
    jb.assert_gradients(turned, Z, reference=lambda z: jnp.exp(1j * jnp.angle(z)), **options)
    with pytest.raises(jb.GradientError, match="reference"):
        jb.assert_gradients(turned, Z, reference=lambda z: jnp.exp(2j * jnp.angle(z)), **options)


def _pulled_turn(z, u):
    """Of z / |z|: u / |z| − z̄ Re(u z) / |z|³."""
    size = jnp.sqrt(power.fun(z))
    return u / size - z.conj() * (u * z).real / size**3


def test_shapes_are_filled_and_the_shell_takes_them(capsys):
    assert jb.check(power, jax.ShapeDtypeStruct((3,), "complex64"), only=["gradient"]).passed
    assert main(["check", f"{__name__}:power", "--args", "c64[3]", "--only", "gradient"]) == 0
    assert "every check passed" in capsys.readouterr().out


def test_a_gradient_that_is_meant_is_of_complex_numbers_too():
    reversed_one = ruled_by(lambda z: z, lambda kept, u: (-u,))
    jb.assert_gradients(reversed_one, Z, gradient_of=jnp.negative, only=["gradient"])
    with pytest.raises(ValueError, match="gradient_of, wanted a function with outputs like those of f"):
        jb.check(reversed_one, Z, gradient_of=partial(jnp.real))
