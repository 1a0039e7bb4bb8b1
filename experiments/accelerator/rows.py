"""Programs at the sizes of an accelerator, and what they take."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jbackprop import automatic, rules
from jbackprop.functions import Quartiles, calls_per_sample, interleaved, quartiles, replaced, time_sample

from . import gpt2, plain, torch_programs
from .arrays import BFLOAT16, FLOAT32, Array

Way = Callable[..., Any]


class Program(NamedTuple):
    """One computation, in several ways.

    Attributes:
      arguments: trees of `Array`, or of arrays that are drawn already.
      wrt: the positions of those to differentiate by.
      ways: ours first, by name.
      torch: the arguments -> a function that runs forward and backward, where there is PyTorch.
    """

    arguments: tuple[Any, ...]
    wrt: tuple[int, ...]
    ways: dict[str, Way]
    torch: Callable[..., torch_programs.Run] | None = None


class Measured(NamedTuple):
    """What a way took.

    Attributes:
      name: of the way.
      seconds: of value and gradients.
      bytes: of temporary memory, by the compiler, or by PyTorch's allocator; None where there was no run.
      failure: why there are no figures, else "".
    """

    name: str
    seconds: Quartiles | None
    bytes: int | None = None
    failure: str = ""


def _block(linear, gelu):
    return lambda x, w1, w2: linear(gelu(linear(x, w1)), w2)


_OURS, _THEIRS = rules.dot_product_attention, jax.nn.dot_product_attention
_ATTENTION = {
    "by hand": partial(_OURS, is_causal=True),
    "jax.nn, cuDNN": partial(_THEIRS, is_causal=True, implementation="cudnn"),
    "by hand, tiles": partial(_OURS, is_causal=True, implementation="xla"),
}


def _attention(dtype, *shape):
    ways = _ATTENTION if dtype == BFLOAT16 else {"by hand": _ATTENTION["by hand"]}
    return Program((Array(shape, dtype),) * 3, (0, 1, 2), ways, torch_programs.attention)


def _convolutions(dtype):
    arguments = Array((64, 56, 56, 64), dtype), Array((3, 3, 64, 64), dtype)
    return Program(arguments, (0, 1), {"by hand": rules.conv, "jax.lax": plain.convolution}, torch_programs.convolution)


def _against_twin(rule, dtype, *shapes, **others):
    ways = {"by hand": rule, "autodiff": automatic(rule), **others}
    return Program(tuple(Array(shape, dtype) for shape in shapes), tuple(range(len(shapes))), ways)


PROGRAMS: dict[str, Program] = {
    "attention, causal, T 4096, bfloat16": _attention(BFLOAT16, 4, 4096, 16, 64),
    "attention, causal, T 1024, bfloat16": _attention(BFLOAT16, 8, 1024, 16, 64),
    "attention, causal, T 4096, float32": _attention(FLOAT32, 4, 4096, 16, 64),
    "output layer and cross-entropy, bfloat16": Program(
        (Array((8192, 2048), BFLOAT16), Array((2048, 32768), BFLOAT16), Array((8192,), below=32768)),
        (0, 1),
        {
            "by hand": gpt2.output_layer,
            "by hand, δ kept": partial(gpt2.output_layer, keep="delta"),
            "by hand, nothing kept": partial(gpt2.output_layer, keep="nothing"),
            "plain": plain.output_layer,
        },
        torch_programs.output_layer,
    ),
    "GPT-2, bfloat16": Program(gpt2.ARGUMENTS, (0,), gpt2.WAYS, torch_programs.gpt2),
    "convolution, bfloat16": _convolutions(BFLOAT16),
    "convolution, float32": _convolutions(FLOAT32),
    "MLP block, bfloat16": Program(
        tuple(Array(shape, BFLOAT16) for shape in ((8, 2048, 2048), (2048, 8192), (8192, 2048))),
        (0, 1, 2),
        {"by hand": _block(gpt2.linear, rules.gelu), "plain": _block(jnp.matmul, jax.nn.gelu)},
    ),
    "embedding, bfloat16": Program(
        (Array((50304, 1024), BFLOAT16), Array((8192,), below=50304)),
        (0,),
        {"by hand": rules.embedding, "plain": lambda table, ids: table[ids]},
    ),
    "rms_norm, bfloat16": _against_twin(rules.rms_norm, BFLOAT16, (16384, 4096), (4096,), plain=plain.rms_norm),
    "rms_norm, float32": _against_twin(rules.rms_norm, FLOAT32, (16384, 4096), (4096,), plain=plain.rms_norm),
    "layer_norm, bfloat16": _against_twin(rules.layer_norm, BFLOAT16, (16384, 4096), (4096,), (4096,)),
    "layer_norm, float32": _against_twin(rules.layer_norm, FLOAT32, (16384, 4096), (4096,), (4096,)),
    "softmax_cross_entropy, bfloat16": Program(
        (Array((8192, 32768), BFLOAT16), Array((8192,), below=32768)),
        (0,),
        {"by hand": rules.softmax_cross_entropy, "optax": optax.softmax_cross_entropy_with_integer_labels},
    ),
    "ctc, float32": Program(
        (Array((64, 512, 128), FLOAT32), Array((64, 512)), Array((64, 64), below=128), Array((64, 64))),
        (0,),
        {"by hand": rules.ctc, "optax": optax.ctc_loss},
        torch_programs.ctc,
    ),
    "lstm, float32": _against_twin(rules.lstm, FLOAT32, (64, 256, 512), (512, 2048), (512, 2048), (2048,)),
}


_TORCH = "PyTorch"


def tiny(program: Program) -> Program:
    """The same at a size for a CPU: each axis a sixteenth, but no less than 4 of what it has."""

    def less(size):
        return max(size // 16, min(size, 4))

    def of(array):
        return Array(tuple(map(less, array.shape)), array.dtype, array.below and less(array.below))

    return program._replace(arguments=jax.tree.map(of, program.arguments))


def measured(program: Program, rounds: int, sample_seconds: float = 1e-3) -> Iterator[Measured]:
    """Each way's figures, the samples interleaved.

    Args:
      program: what is measured.
      rounds: how many samples each way gets.
      sample_seconds: as many calls as take so long are one sample, of which only the last is waited for.
    """
    leaves, tree = jax.tree.flatten(program.arguments)
    arguments = tree.unflatten([_drawn(i, each) for i, each in enumerate(leaves)])
    compiled, failures = {}, {}
    for name, way in program.ways.items():
        try:
            program_of_way = jax.jit(_pulled(way, program.wrt)).lower(arguments).compile()
            jax.block_until_ready(program_of_way(arguments))
            compiled[name] = program_of_way
        except Exception as error:  # what is not there on this platform, by whatever name, or too large for it
            failures[name] = str(error).strip().partition("\n")[0]
    runs: dict[str, Callable[[], Any]] = {name: partial(f, arguments) for name, f in compiled.items()}
    memory = {name: f.memory_analysis().temp_size_in_bytes for name, f in compiled.items()}
    if program.torch and torch_programs.available():
        runs[_TORCH] = run = program.torch(*program.arguments)
        memory[_TORCH] = run.temporary_bytes()
    samples = {name: partial(time_sample, run, calls_per_sample(run, sample_seconds)) for name, run in runs.items()}
    for name, figures in interleaved(samples, rounds).items():
        yield Measured(name, quartiles(figures), memory[name])
    yield from (Measured(name, None, None, failure) for name, failure in failures.items())


def _drawn(seed, array):
    """Normal numbers, weights over the square root of their rows."""
    if isinstance(array, jax.Array):
        return array
    key, shape = jax.random.key(seed), array.shape
    if array.below:
        return jax.random.randint(key, shape, 1, array.below)
    if array.dtype is None:
        return jnp.zeros(shape)
    return (jax.random.normal(key, shape) / (shape[0] ** 0.5 if len(shape) == 2 else 1)).astype(array.dtype)


def _pulled(way, wrt):
    """Value and gradients, for the value itself as cotangent."""

    def run(arguments):
        y, pull = jax.vjp(lambda *chosen: way(*replaced(arguments, wrt, chosen)), *[arguments[i] for i in wrt])
        return y, pull(y)

    return run
