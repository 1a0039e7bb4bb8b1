"""What the pages of the reference have besides what pdoc writes: typeset formulas, and a link at every name of ours.

Both are done to finished HTML, between its tags, so that code stays code.
"""

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any

from . import book
from .signatures import without_home

_AS_IT_IS = frozenset(["code", "pre", "a", "math", "strong", "h1", "h2", "h3", "h4", "h5", "h6", "script", "style"])
_TAG = re.compile(r"(<[^>]+>)")
_NAME = re.compile(r"<code>([A-Za-z_]\w*(?:\.\w+)*)(\(\))?</code>")
_DERIVED = ("jbackprop.rules", "jbackprop.signals")
_CLASS = re.compile(r'(?<=<span class="n">)([A-Z]\w+)(?=</span>)')


@dataclass(frozen=True)
class Addresses:
    """Where everything public stands.

    Attributes:
      modules: the public objects of each module, by their names.
      relative: from one module's page to another's, as pdoc has it.
    """

    modules: Mapping[str, Mapping[str, Any]]
    relative: Callable[[str, str], str]

    def names(self, here: str) -> dict[str, str]:
        """From a page to each name, such as rules.linear or jb.check, and linear too where there is but one."""
        found, alone = {}, {}
        for module, objects in self.modules.items():
            for name, value in objects.items():
                address = f"{self.relative(here, module)}#{name}"
                found[f"{module}.{name}".replace("jbackprop.", "" if "." in module else "jb.", 1)] = address
                alone.setdefault(name, []).append((value, address))
        single = {name: each[-1][1] for name, each in alone.items() if len({id(value) for value, _ in each}) == 1}
        return single | found

    def from_the_root(self) -> dict[str, str]:
        """From a page beside the first one to each name with its package."""
        found = {name: address for name, address in self.names("jbackprop").items() if "." in name}
        return {name: f"jbackprop.html{address}" if address[0] == "#" else address for name, address in found.items()}

    def rules_from_the_root(self) -> dict[str, str]:
        """The same to each rule, by its name alone."""
        found = self.from_the_root()
        return {name: found[f"rules.{name}"] for name in self.modules["jbackprop.rules"]}

    def classes(self, here: str) -> dict[str, str]:
        """From a page to each class, by its name alone; one of the page's own stands for others of that name."""
        order = sorted(self.modules, key=lambda module: (module == here, -module.count(".")))
        return {
            name: f"{self.relative(here, module)}#{name}"
            for module in order
            for name, value in self.modules[module].items()
            if inspect.isclass(value)
        }

    def derivation(self, here: str, value: Any) -> str:
        """From a page to the derivation of a rule or signal; empty where its file has none."""
        package, _, file = getattr(value, "__module__", "").rpartition(".")
        if not package.startswith(_DERIVED) or not file.startswith("_") or not inspect.isfunction(value):
            return ""
        text = importlib.import_module(f"{package}.{file}").__doc__ or ""
        return f"{self.relative(here, package)}#{anchor(file)}" if "\n" in text.strip() else ""


def anchor(file: str) -> str:
    """Of the docstring of a private module, on its package's page."""
    return f"file-{file.strip('_').replace('_', '-')}"


def filtered(original: Callable[..., str], addresses: Addresses) -> Callable[..., str]:
    """pdoc's filter for docstrings and signatures, with typeset formulas and our links."""
    from jinja2 import pass_context

    @pass_context
    def linkify(context: Any, code: str, namespace: str = "", shorten: bool = True) -> str:
        here, drawn = context["module"].modulename, original(context, code, namespace, shorten)
        if shorten:
            return type(drawn)(with_classes(short(drawn), addresses.classes(here)))
        found = context["module"].get(namespace) if namespace and "." not in namespace else None
        derived = addresses.derivation(here, found.obj) if found else ""
        link = f'<p><a href="{derived}">derivation</a></p>' if derived else ""
        return type(drawn)(f"{with_names(typeset(drawn), addresses.names(here))}{link}")

    return linkify


def short(signature: str) -> str:
    """HTML of a signature with its names without the modules that they are from."""
    return "".join(part if part.startswith("<") else without_home(part) for part in _TAG.split(signature))


def typeset(page: str) -> str:
    """HTML with the formulas of its prose typeset."""
    parts, depth = [], 0
    for part in _TAG.split(page):
        if part.startswith("<"):
            depth += _deeper(part)
        elif not depth:
            part = book.prose(unescape(part))
        parts.append(part)
    return "".join(parts)


def _deeper(tag):
    """By how much a tag leads into what is left as it is."""
    name = re.match(r"</?([\w-]+)", tag)
    return 0 if name is None or name[1] not in _AS_IT_IS else -1 if tag.startswith("</") else 1


def with_names(page: str, addresses: Mapping[str, str]) -> str:
    """HTML with a link at `rules.linear`, `jb.check` and the like, which have these addresses."""

    def link(found):
        address = addresses.get(found[1].removeprefix("jbackprop."))
        return f'<code><a href="{address}">{found[1]}{found[2] or ""}</a></code>' if address else found[0]

    return _NAME.sub(link, page)


def with_classes(signature: str, addresses: Mapping[str, str]) -> str:
    """A highlighted signature with a link at each class of ours."""

    def link(found):
        return f'<a href="{addresses[found[1]]}">{found[1]}</a>' if found[1] in addresses else found[0]

    return _CLASS.sub(link, signature)
