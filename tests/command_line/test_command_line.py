"""The command line: what it prints and writes, its exit statuses, and one line for every input it cannot use."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import types

import jax
import jax.numpy as jnp
import pytest

import jbackprop as jb
from jbackprop.command_line import main
from jbackprop.functions import parse_arguments, parse_option

MODULE = """
import jax, jax.numpy as jnp

@jax.custom_vjp
def wrong(x):
    return jnp.sin(x)

wrong.defvjp(lambda x: (jnp.sin(x), x), lambda x, dy: (1.001 * dy * jnp.cos(x),))

class Losses:
    @staticmethod
    def power(x, exponent):
        return x ** exponent

def raises(*arguments):
    raise RuntimeError("its own complaint\\nin two lines")

def leaves(*arguments):
    raise SystemExit(0)

not_a_function = 3

from jbackprop import layers

NET = layers.chain(layers.linear(7), layers.relu(), layers.linear(3))

def small():
    return layers.chain(layers.linear(3), layers.of(wrong))
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder to work in, with a module of somebody's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "somebodys_module.py").write_text(MODULE)
    return tmp_path


@pytest.fixture
def odd(mine):
    """The same folder, and in it what no command can use."""
    (mine / "leaves.py").write_text("raise SystemExit(0)")
    (mine / "deep.json").write_text(200_000 * "[")
    (mine / "loop").symlink_to("loop")
    return mine


def run(*words):
    """The exit status, also of what argparse itself refuses."""
    try:
        return main(list(map(str, words)))
    except SystemExit as end:
        return end.code


QUICK = ("--repeats", 1)
CHECKED = ("--only", "gradient", "--dtype", "float32")


def test_compare_prints_a_table(capsys):
    assert run("compare", "jbackprop.rules:silu", "--args", "f32[5,3]", *QUICK) == 0
    printed = capsys.readouterr().out
    assert "silu(x* float32[5,3])" in printed
    assert jax.__version__ in printed
    assert max(map(len, printed.splitlines())) <= 120


def test_a_wrong_gradient_is_exit_status_1(mine, capsys):
    assert run("compare", "somebodys_module:wrong", "--args", "f32[5,3]", *QUICK) == 1
    assert "DISAGREES" in capsys.readouterr().out
    assert run("check", "somebodys_module:wrong", "--args", "f32[5,3]", *CHECKED) == 1


@pytest.mark.parametrize("path", ["jbackprop.rules:softmax", "jax:nn.silu", "optax:log_cosh"])
def test_check_passes_what_is_right(path, capsys):
    assert run("check", path, "--args", "f32[5,3]", *CHECKED) == 0
    assert "every check passed" in capsys.readouterr().out


def test_types_go_by_their_short_and_by_their_full_names(capsys):
    assert run("check", "jbackprop.rules:silu", "--args", "float32[5,3]", "--only", "jit", "--dtype", "f32") == 0
    assert "argument x float32[5,3]" in capsys.readouterr().out


def test_all_files_are_written(mine, capsys):
    files = {form: mine / f"report.{form}" for form in ("json", "markdown", "html", "png")}
    words = [word for form, path in files.items() for word in (f"--{form}", path)]
    specs = ("--args", "f32[n,3]", "f32[3,7]", "--sizes", 2, 4)
    assert run("compare", "jbackprop.rules:linear", *specs, *QUICK, *words) == 0
    found = jb.Comparisons.from_json(files["json"].read_text(encoding="utf-8"))
    assert [c.size for c in found.comparisons] == [2, 4]
    assert files["markdown"].read_text(encoding="utf-8") == found.markdown()
    assert files["html"].read_text(encoding="utf-8") == found.html()
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert sorted(os.listdir(mine)) == sorted(["somebodys_module.py", *(path.name for path in files.values())])
    capsys.readouterr()
    assert run("compare", "jbackprop.rules:linear", *specs, *QUICK, "--baseline", files["json"]) == 0
    assert "before → after" in capsys.readouterr().out


def test_options_dtype_wrt_reference_and_transform(mine, capsys):
    words = ["--args", "f32[4,3,2]", "--options", "axis=(0,)", "--dtype", "bfloat16", "--transform", "vmap"]
    assert run("compare", "jbackprop.rules:logsumexp", *words, "--reference", "jax.nn:logsumexp", *QUICK) == 0
    printed = capsys.readouterr().out
    assert "vmap of logsumexp(a* bfloat16[4,3,2])" in printed
    assert "reference" in printed
    power = ("compare", "somebodys_module:Losses.power", "--args", "f32[5]", 3, "--wrt", "x")
    assert run(*power, *QUICK) == 0


def test_without_tqdm_progress_is_plain_lines(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert run("check", "jax.nn:silu", "--args", "f32[3]", *CHECKED) == 0
    assert capsys.readouterr().err == "[1/1] jax.nn:silu\n"


def test_the_bar_names_the_check_that_runs(monkeypatch):
    tqdm, said = types.ModuleType("tqdm"), []

    class Bar(list):
        def __init__(self, items, **options):
            super().__init__(items)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def set_description(self, words):
            said.append(words)

    monkeypatch.setattr(tqdm, "tqdm", Bar, raising=False)
    monkeypatch.setitem(sys.modules, "tqdm", tqdm)
    assert run("check", "jax.nn:silu", "--args", "f32[3]", "--only", "structure", "linearity") == 0
    assert said == ["jax.nn:silu", "jax.nn:silu: structure", "jax.nn:silu: linearity"]


def test_all_runs_the_whole_table(mine, monkeypatch, capsys):
    cases = jb.cases.CASES[4:7]
    monkeypatch.setattr("jbackprop.command_line._compare.CASES", cases)
    monkeypatch.setattr("jbackprop.command_line._check.CASES", cases)
    assert run("compare", "--all", *QUICK, "--json", "all.json") == 0
    found = jb.Comparisons.from_json((mine / "all.json").read_text(encoding="utf-8"))
    assert [c.name for c in found.comparisons] == [case.name for case in cases]
    capsys.readouterr()
    assert run("check", "--all", *CHECKED) == 0
    printed = capsys.readouterr().out
    assert printed.count("every check passed") == len(cases)
    assert re.match(r"3 functions, 0 wrong; \d+\.\d s each in the median, at most .* s \(", printed.splitlines()[-1])


def test_all_under_a_transformation_stacks_the_arguments(monkeypatch, capsys):
    monkeypatch.setattr("jbackprop.command_line._compare.CASES", jb.cases.CASES[:2])
    assert run("compare", "--all", "--transform", "scan", *QUICK) == 0
    assert f"scan of {jb.cases.CASES[0].name}" in capsys.readouterr().out


GELU = ("compare", "jax.nn:gelu", "--args", "f32[3]")

UNUSABLE = {
    "no command": ((), "COMMAND"),
    "another command": (("prove",), "'compare'"),
    "nothing": (("compare",), "PKG.MODULE:FUNCTION"),
    "no arguments": (("check", "jax.nn:gelu"), "--args"),
    "both": (("compare", "jax.nn:gelu", "--all"), "leave them out"),
    "no colon": (("compare", "jax.nn.gelu", "--args", "f32[3]"), "as in jax.nn:gelu"),
    "no module": (("compare", "jacks:gelu", "--args", "f32[3]"), "module 'jacks' does not import"),
    "a slip": (("compare", "jax.nn:gleu", "--args", "f32[3]"), "did you mean 'glu'"),
    "no function": (("compare", "somebodys_module:not_a_function", "--args", "f32[3]"), "wanted a function, got int"),
    "dtype of a spec": (("compare", "jax.nn:gelu", "--args", "g32[3]"), "wanted one of the types f16"),
    "shape of a spec": (("compare", "jax.nn:gelu", "--args", "f32[3,n,3n]"), "wanted"),
    "a word": (("compare", "jax.nn:gelu", "--args", "hello"), "f32[8,16]"),
    "a bound on floats": (("compare", "jax.nn:gelu", "--args", "f32[3]<4"), "bound on integers"),
    "n without sizes": (("compare", "jax.nn:gelu", "--args", "f32[n]"), "--sizes"),
    "sizes without n": ((*GELU, "--sizes", 3), 'as in "f32[n,16]"'),
    "sizes with all": (("compare", "--all", "--sizes", 3), "--all takes no --sizes"),
    "option": ((*GELU, "--options", "approximate"), "wanted name=value"),
    "unknown option": ((*GELU, "--options", "aproximate=True"), "aproximate"),
    "dtype": ((*GELU, "--dtype", "float23"), "bfloat16"),
    "integer dtype": ((*GELU, "--dtype", "int32"), "floating-point"),
    "wrt": ((*GELU, "--wrt", "y"), "names or positions among x"),
    "no gradient": (("compare", "jax.nn:relu", "--args", "i32[3]"), "floating-point array"),
    "shapes": (("compare", "jax.numpy:matmul", "--args", "f32[3,4]", "f32[5,3]"), "cannot compare jax.numpy:matmul"),
    "reference": ((*GELU, "--reference", "jax.nn:glue"), "did you mean 'glu'"),
    "transform": ((*GELU, "--transform", "pmap"), "vmap"),
    "target": ((*GELU, "--target", "a100"), "h100"),
    "repeats": ((*GELU, "--repeats", 0), "--repeats: wanted 1 to 100,000, got 0"),
    "too many repeats": ((*GELU, "--repeats", 10**30), "--repeats: wanted 1 to 100,000, got 1000"),
    "seed": ((*GELU, "--seed", -1), "--seed: wanted 0 to 9,223,372,036,854,775,807, got -1"),
    "seed beyond 64 bits": (
        (*GELU, "--seed", 2**64),
        "--seed: wanted 0 to 9,223,372,036,854,775,807, got 18446744073709551616",
    ),
    "integer beyond 64 bits": (("compare", "jax.nn:gelu", "--args", 10**30), "wanted a whole number of 64 bits"),
    "bound beyond 64 bits": (("compare", "jax.nn:gelu", "--args", "i32[3]<99999999999999999999"), "bound from 1 to"),
    "negative size": (("compare", "jax.nn:gelu", "--args", "f32[n]", "--sizes", -3), "size, wanted at least 0, got -3"),
    "too large": (
        ("compare", "jax.nn:gelu", "--args", "f32[100000,100000]"),
        "wanted at most 268,435,456 entries, got 10,000,000,000",
    ),
    "far too large": (("check", "jax.nn:gelu", "--args", f"f32[{10**20}]"), "wanted at most 268,435,456 entries"),
    "too large for nothing": (("check", "jax.nn:gelu", "--args", f"f32[0,{10**20},{10**20}]"), "got 10^40"),
    "too few arguments": (("check", "jax.nn:glu", "--options", "axis=0", "--args", "f32[3]", "i32[3]"), "--args for"),
    "too few": (
        ("check", "somebodys_module:Losses.power", "--args", "f32[3]"),
        "--args for somebodys_module:Losses.power(x, exponent): missing a required argument: 'exponent'",
    ),
    "built in": (("check", "builtins:int", "--args", "f32[3]"), "cannot check builtins:int"),
    "drawing what is built in": (("graph", "builtins:int", "--args", "f32[3]"), "cannot draw builtins:int"),
    "a module that ends the program": (("check", "leaves:f", "--args", "f32[3]"), "does not import: SystemExit: 0"),
    "a name that is too long": ((*GELU, "--json", 300 * "a"), "File name too long"),
    "a limit": (("graph", "jax.numpy:sum", "--args", "f32[3]", "--limit", 0), "--limit: wanted 1 to 1,000,000, got 0"),
    "no array": (("explain", "somebodys_module:NET", "--args", 3, "i32[3]"), "wanted an array for X"),
    "a link to itself": ((*GELU, "--json", "loop"), "cannot write"),
    "a folder that is none": ((*GELU, "--html", "leaves.py/a"), "cannot write leaves.py/a"),
    "an endless baseline": (
        (*GELU, "--baseline", "/dev/zero"),
        "wanted at most 67,108,864 characters, got more",
    ),
    "a deep baseline": ((*GELU, "--baseline", "deep.json"), "a file that --json wrote: maximum recursion"),
    "folder": ((*GELU, "--json", "nowhere/report.json"), "cannot write nowhere/report.json"),
    "a folder itself": ((*GELU, "--html", "."), "cannot write ."),
    "baseline": ((*GELU, "--baseline", "none.json"), "a file that --json wrote"),
    "baseline's content": ((*GELU, "--baseline", "somebodys_module.py"), "a file that --json wrote"),
    "skip": (("check", "jax.nn:gelu", "--args", "f32[3]", "--skip", "everything"), "linearity"),
    "check's shapes": (("check", "jax.numpy:matmul", "--args", "f32[3,4]", "f32[5,3]"), "cannot check"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_input_is_exit_status_2_and_one_line(name, odd, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    words, said = UNUSABLE[name]
    assert run(*words) == 2
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if not line.startswith("[1/1]")]
    assert len(lines) == 1
    assert said in lines[0]
    assert printed.out == ""
    assert os.listdir(odd).count("report.json") == 0


@pytest.mark.parametrize(
    "words",
    [
        ("check", "somebodys_module:raises", "--args", "f32[3]"),
        ("compare", "somebodys_module:raises", "--args", "f32[3]"),
        ("graph", "somebodys_module:raises", "--args", "f32[3]"),
        ("explain", "somebodys_module:raises", "--args", "f32[2,3]", "f32[2,3]"),
        ("explain", "somebodys_module:NET", "--loss", "somebodys_module:raises", "--args", "f32[2,3]", "f32[2,3]"),
    ],
)
def test_a_function_that_raises_is_exit_status_3_and_one_line(words, mine, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert run(*words) == 3
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"jbackprop: {words[1]} raised RuntimeError: its own complaint"


def test_the_help_tells_the_exit_statuses(capsys):
    assert run("--help") == 0
    assert "3 the function itself raises, 130" in " ".join(capsys.readouterr().out.split())


def test_a_function_that_ends_the_program_does_not(mine, capsys):
    assert run("check", "somebodys_module:leaves", "--args", "f32[3]") == 3
    assert capsys.readouterr().err.endswith("jbackprop: somebodys_module:leaves raised SystemExit: 0\n")


def test_special_files_are_written_and_stay_what_they_are(mine):
    os.mkfifo(mine / "pipe")
    (mine / "link.json").symlink_to("real.json")
    reader = os.open(mine / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    words = ("--json", "link.json", "--html", "/dev/null", "--markdown", "pipe")
    with open(reader, "rb") as pipe:
        assert run(*GELU, *QUICK, *words) == 0
        assert b"gelu" in pipe.read()
    assert stat.S_ISFIFO(os.stat(mine / "pipe").st_mode) and stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert (mine / "link.json").is_symlink() and (mine / "real.json").stat().st_size > 0


@pytest.mark.parametrize("seconds", [1, 2, 4, 6])
def test_interrupted_at_any_moment_it_ends_with_130(seconds, mine):
    """While it imports, and while it compiles."""
    ours = signal.signal(signal.SIGINT, signal.SIG_DFL)
    words = [sys.executable, "-m", "jbackprop", "check", "--all"]  # for minutes
    started = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment())
    signal.signal(signal.SIGINT, ours)
    time.sleep(seconds)
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=120)
    assert (started.returncode, said.splitlines()[-1]) == (130, "jbackprop: interrupted")
    assert "Traceback" not in said


def test_who_imports_the_library_keeps_the_own_handler():
    """Python's, which a program that a shell started in the background does not have by itself."""
    own = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"import signal; {own}; import jbackprop; print(signal.getsignal(signal.SIGINT).__name__)"
    words = [sys.executable, "-c", code, "-m"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=120)
    assert done.stdout == "default_int_handler\n"


def environment():
    paths = os.pathsep.join(filter(None, [os.path.dirname(os.path.dirname(jb.__file__)), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": paths}


def test_png_is_refused_before_the_work_where_matplotlib_is_missing(monkeypatch, mine, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert run(*GELU, "--png", "plot.png") == 2
    assert "jbackprop[plots]" in capsys.readouterr().err


def test_python_m(mine):
    words = [sys.executable, "-m", "jbackprop", "compare", "somebodys_module:missing", "--args", "f32[3]"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no 'missing' in somebodys_module" in done.stderr


def test_specs():
    specs = ["f32[8,16]", "bf16[2, 4]", "i32[200]<10", "u8[9]", "bool[3]", "key", "5.0", "3", "-2", "true", "f32[]"]
    values = parse_arguments(specs, seed=1)
    described = [(v.dtype.name, v.shape) if isinstance(v, jax.Array) else v for v in (*values[:5], *values[6:])]
    assert described == [
        ("float32", (8, 16)),
        ("bfloat16", (2, 4)),
        ("int32", (200,)),
        ("uint8", (9,)),
        ("bool", (3,)),
        *(5.0, 3, -2, True),
        ("float32", ()),
    ]
    assert jnp.issubdtype(values[5].dtype, jax.dtypes.prng_key)
    assert set(values[2].tolist()) == set(range(10))
    assert set(values[3].tolist()) <= {0, 1}


def test_specs_in_double_precision_need_no_switch():
    (x,) = parse_arguments(["f64[3]"])
    assert x.dtype == jnp.float64
    assert not jax.config.read("jax_enable_x64")


def test_the_seed_decides_and_arguments_differ():
    assert (parse_arguments(["f32[5]"], seed=4)[0] == parse_arguments(["f32[5]"], seed=4)[0]).all()
    assert (parse_arguments(["f32[5]"], seed=4)[0] != parse_arguments(["f32[5]"], seed=5)[0]).any()
    a, b = parse_arguments(["f32[5]", "f32[5]"])
    assert (a != b).any()


def test_sizes_fill_in_n():
    assert [a.shape for a in parse_arguments(["f32[n,3]", "f32[n]"], size=7)] == [(7, 3), (7,)]


@pytest.mark.parametrize("text", ["f32", "f32[2", "f32[-1]", "f99[2]", "x", "", "f32[2,]", "i32[3]<", "f32[n]"])
def test_specs_without_a_meaning(text):
    with pytest.raises(ValueError, match="wanted"):
        parse_arguments([text])


@pytest.mark.parametrize(
    ("text", "value"),
    [("axis=-1", -1), ("axis=(0, 1)", (0, 1)), ("keepdims=true", True), ("mode=same", "same"), ("x=none", None)],
)
def test_options(text, value):
    assert parse_option(text)[1] == value


def test_json_of_the_command_line_is_plain_json(mine):
    assert run(*GELU, *QUICK, "--json", "report.json") == 0
    json.loads((mine / "report.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_explain_prints_the_table_of_a_network(mine, capsys):
    assert run("explain", "somebodys_module:NET", "--args", "f32[5,4]", "i32[5]<3") == 0
    printed = capsys.readouterr().out
    assert "δ² = ∂C/∂z²" in printed and "Every row agrees" in printed


def test_explain_in_the_order_of_computation(mine, capsys):
    assert run("explain", "somebodys_module:NET", "--order", "computation", "--args", "f32[5,4]", "i32[5]<3") == 0
    printed = capsys.readouterr().out
    assert printed.index("\nC ") < printed.index("\nδ² = ∂C/∂z²") < printed.index("\n∂C/∂x")


def test_explain_finds_the_wrong_layer_and_saves(mine, capsys):
    words = ("--loss", "jbackprop.rules:squared_error", "--args", "f32[5,4]", "f32[5,3]", "--save", "table.html")
    assert run("explain", "somebodys_module:small", *words) == 1
    assert capsys.readouterr().out == "wrote table.html\n"
    assert "layer 1, wrong (part 1): backward" in (mine / "table.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("somebodys_module:not_a_function",), "wanted a layer or a function that makes one, got int"),
        (("somebodys_module:missing",), "there is no 'missing' in somebodys_module"),
        (("somebodys_module:NET", "--loss", "jax.numpy:pi"), "function 'jax.numpy:pi', wanted a function, got float"),
        (("somebodys_module:NET", "--save", "table.gif"), "save: path, wanted"),
    ],
)
def test_explain_refuses(mine, capsys, words, message):
    assert run("explain", *words, "--args", "f32[5,4]", "i32[5]<3") == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_explain_refuses_inputs_of_another_shape(mine, capsys):
    assert run("explain", "somebodys_module:NET", "--args", "f32[5,4]", "i32[6]<3") == 2
    assert "y, wanted targets for an output" in capsys.readouterr().err
