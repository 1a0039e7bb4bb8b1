"""Who may import whom, read off the import statements."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
TOOLS = ("proof", "comparison", "graph", "table")
THROUGH_THE_FRONT = ("jbackprop.rules", "jbackprop.layers")


class Import(NamedTuple):
    """One module that another one names in an import statement."""

    importer: str
    imported: str

    def is_of(self, *packages: str) -> bool:
        """Whether what is imported is one of these packages of the library, or inside it."""
        return any(_inside(self.imported, f"jbackprop.{package}") for package in packages)

    def is_by(self, *packages: str) -> bool:
        """Whether the importer is inside one of these packages of the library."""
        return any(_inside(self.importer, f"jbackprop.{package}") for package in packages)


def _inside(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TOPS = ("jbackprop", "experiments", "tests")
FILES = {_name(path): path for top in TOPS for path in sorted(ROOT.glob(f"{top}/**/*.py"))}


def _imports(importer: str, path: Path) -> Iterator[Import]:
    package = importer if path.name == "__init__.py" else importer.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (Import(importer, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                inside = f"{module}.{alias.name}"
                yield Import(importer, inside if inside in FILES else module)


IMPORTS = [found for importer, path in FILES.items() for found in _imports(importer, path)]


def _is_private(found: Import) -> bool:
    """Whether a module is imported from outside the package that keeps it to itself, and not by that one's tests."""
    parts = found.imported.split(".")
    private = [i for i, part in enumerate(parts) if part.startswith("_") and not part.startswith("__")]
    if parts[0] not in TOPS or not private:
        return False
    keeper = parts[: private[0]]
    its_tests = ["tests", *keeper[1:2]] if parts[0] == "jbackprop" else ["tests", "experiments"]
    return not any(_inside(found.importer, ".".join(package)) for package in (keeper, its_tests))


def _is_foreign_to_rules(found: Import) -> bool:
    top = found.imported.split(".")[0]
    allowed = top in sys.stdlib_module_names or top in ("jax", "jaxlib", "numpy", "jaxtyping") or found.is_of("rules")
    return found.is_by("rules") and not allowed


def _is_of_insides(found: Import) -> bool:
    of_either = any(_inside(found.imported, package) for package in THROUGH_THE_FRONT)
    return found.is_by(*TOOLS) and of_either and found.imported not in THROUGH_THE_FRONT


RULES = {
    "private modules stay private": _is_private,
    "rules import JAX alone": _is_foreign_to_rules,
    "functions and report know no rule, no layer and no tool": lambda found: (
        found.is_by("functions", "report")
        and found.is_of("rules", "layers", "training", "signals", "cases", "command_line", *TOOLS)
    ),
    "tools take rules and layers through the front": _is_of_insides,
    "layers know no training and no tool": lambda found: (
        found.is_by("layers") and found.is_of("training", "command_line", *TOOLS)
    ),
    "the library knows no experiment and no test": lambda found: (
        _inside(found.importer, "jbackprop") and found.imported.split(".")[0] in ("experiments", "tests")
    ),
}


def test_the_imports_are_read():
    assert Import("jbackprop.rules._dropout", "jbackprop.rules._arrays") in IMPORTS  # relative, of a name
    assert Import("jbackprop.command_line", "jbackprop.command_line._check") in IMPORTS  # relative, of a module
    assert Import("jbackprop.cases._linear", "jbackprop.rules") in IMPORTS  # absolute, of a package
    assert Import("experiments.docs", "jbackprop") in IMPORTS


def test_everyone_keeps_to_the_layers():
    broken = {(*found, name) for name, is_broken in RULES.items() for found in IMPORTS if is_broken(found)}
    assert not broken, sorted(broken)


def test_what_is_forbidden_is_found():
    forbidden = {
        "private modules stay private": Import("tests.conventions.test_row_form", "jbackprop.rules._linear"),
        "rules import JAX alone": Import("jbackprop.rules._linear", "optax"),
        "functions and report know no rule, no layer and no tool": Import("jbackprop.report._text", "jbackprop.graph"),
        "tools take rules and layers through the front": Import("jbackprop.proof._check", "jbackprop.rules.losses"),
        "layers know no training and no tool": Import("jbackprop.layers._chain", "jbackprop.training"),
        "the library knows no experiment and no test": Import("jbackprop.cases._case", "experiments.data"),
    }
    assert all(RULES[name](found) for name, found in forbidden.items())
    assert forbidden.keys() == RULES.keys()
    assert not _is_private(Import("tests.rules.test_linear", "jbackprop.rules.losses._classes"))
    assert not _is_private(Import("jbackprop.rules.losses._ctc", "jbackprop.rules._softmax"))
    assert _is_private(Import("jbackprop.rules._gated", "jbackprop.rules.losses._classes"))
    assert _is_private(Import("tests.test_docs", "experiments._private"))
