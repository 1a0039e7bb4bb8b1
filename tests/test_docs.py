"""What is public has a docstring, what a docstring shows is so, and the reference holds both."""

import doctest
import importlib
import inspect
import pkgutil
import re

import pytest

import jbackprop
from experiments import docs

MODULES = {module.__name__: module for module in docs.public_modules()}
OBJECTS = {
    f"{name}.{key}": value for name, module in MODULES.items() for key, value in docs.public_objects(module).items()
}


def methods(value):
    """The public methods and properties that a class defines itself."""
    return {name: item for name, item in vars(value).items() if not name.startswith("_") and _is_method(item)}


def _is_method(item):
    return inspect.isfunction(item) or isinstance(item, property | classmethod | staticmethod)


def test_the_walk_finds_the_library():
    wanted = ["jbackprop.automatic", "jbackprop.rules.linear", "jbackprop.layers.Layer", "jbackprop.training.step"]
    assert {*wanted, "jbackprop.table.Row", "jbackprop.graph.trace", "jbackprop.proof.check"} <= OBJECTS.keys()
    assert "jbackprop.training.jax" not in OBJECTS and "jbackprop.training.Any" not in OBJECTS
    assert "table" not in methods(OBJECTS["jbackprop.table.Explanation"])
    assert {"course", "rows"} <= methods(OBJECTS["jbackprop.table.Explanation"]).keys()


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_documented(name):
    module = MODULES[name]
    silent = [] if module.__doc__ else [name]
    for key, value in docs.public_objects(module).items():
        parts = {key: docs.plain(value)}
        parts |= {f"{key}.{part}": item for part, item in methods(value).items()} if inspect.isclass(value) else {}
        silent += [f"{name}.{part}" for part, item in parts.items() if not (item.__doc__ or "").strip()]
    assert silent == []


def _modules_with_examples():
    for found in pkgutil.walk_packages(jbackprop.__path__, "jbackprop."):
        if not found.name.endswith("__main__"):
            module = importlib.import_module(found.name)
            if ">>>" in inspect.getsource(module):
                yield module


@pytest.mark.parametrize("module", list(_modules_with_examples()), ids=lambda module: module.__name__)
def test_examples_run(module):
    finder, runner, found = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner(), []
    rules = {key: docs.plain(value) for key, value in vars(module).items() if docs.plain(value) is not value}
    for item in (module, *rules.values()):
        found += [example for example in finder.find(item, module=module) if example.examples]
    assert found
    for example in found:
        report = []
        runner.run(example, out=report.append)
        assert not report, "".join(report)


def test_the_reference(tmp_path, monkeypatch):
    pytest.importorskip("pdoc")
    monkeypatch.setattr(docs.gallery, "write", lambda folder, book: folder)
    monkeypatch.setattr(docs.book, "page", lambda pages: "<code>jb.check</code>")
    for module in MODULES.values():  # what it changes is changed back
        monkeypatch.setattr(module, "__doc__", module.__doc__)
        monkeypatch.setitem(vars(module), "__all__", [])
        for key, value in docs.public_objects(module).items():
            monkeypatch.setattr(module, key, value)
    assert docs.write(tmp_path) == tmp_path / "index.html"
    page = (tmp_path / "jbackprop" / "rules.html").read_text()
    assert 'id="linear"' in page and 'alttext="dW = xᵀ δ"' in page
    signature = re.sub(r"<[^>]*>|\s", "", page[page.index('<section id="linear"') :])
    assert "(x:float[*batch,n_in],w:float[n_in,n_out],b:float[n_out]|None=None)->float[*batch,n_out]" in signature
    assert (
        'href="#file-linear">derivation</a>' in page
        and page.count('id="file-linear"') == page.count('id="linear"') == 1
    )
    layers = (tmp_path / "jbackprop" / "layers.html").read_text()
    assert 'alttext="y = x + f(x)"' in layers and '<a href="rules.html#selu">rules.selu</a>' in layers
    assert re.sub(r"<[^>]*>|\s", "", layers[layers.index('<section id="selu"') :]).startswith("defselu()->Layer:")
    assert '<a href="#Layer">Layer</a>' in layers and "_jax.Array" not in page
    assert '<a href="jbackprop.html#check">jb.check</a>' in (tmp_path / "index.html").read_text()
    rules_page = (tmp_path / "rules.html").read_text()
    assert '<a href="jbackprop/rules.html#relu">relu</a>' in rules_page and '<div class="wide"><table>' in rules_page
    assert list(_dead(tmp_path)) == []
    checks = (tmp_path / "jbackprop" / "proof.html").read_text()
    assert all(f"<strong>{name}</strong>:" in checks for name in jbackprop.CHECKS)
    assert "gallery/index.html" in (tmp_path / "jbackprop.html").read_text()
    assert "DIFFERS by 2.53" in (tmp_path / "jbackprop" / "table.html").read_text()


def _dead(folder):
    """Links inside the reference that lead nowhere."""
    pages = {page.resolve(): page.read_text() for page in folder.glob("jbackprop/**/*.html")}
    anchors = {page: set(re.findall(r' id="([^"]+)"', text)) for page, text in pages.items()}
    for page, text in pages.items():
        for path, anchor in re.findall(r'href="((?:[\w./-]+\.html)?)#([^"]+)"', text):
            target = (page.parent / path).resolve() if path else page
            if target.is_relative_to((folder / "jbackprop").resolve()) and anchor not in anchors.get(target, ()):
                yield page.name, path, anchor
