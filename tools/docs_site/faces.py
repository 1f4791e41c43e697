"""What is public: the names of each public module, and those of other modules that the docs import."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["MODULES", "OTHERS", "ROOMS", "PublicName", "assigned_by", "named_in_the_docs", "public_names"]

MODULES = ("inferkit", "inferkit.integrations", "inferkit.routing", "inferkit.telemetry", "inferkit.testing")
ROOMS = {  # the pages of `inferkit` itself: what is defined in these rooms, in this order
    "Clients": ("client",),
    "Budgets": ("budgets",),
    "Plans": ("plans",),
    "Messages": ("core.messages",),
    "Replies": ("core.reply", "core.chunks", "core.usage", "core.embeddings", "core.tool_run"),
    "Errors": ("core.errors",),
    "Providers": ("providers",),
    "Local models": ("local",),
    "Prices": ("pricing",),
    "Failures and limits": ("resilience", "layers.retry", "layers.hedge"),
    "Cache and ledger": ("layers.cache", "ledger"),
    "Layers": ("core", "runtime", "layers"),
}
OTHERS = "Others"  # what is defined in none of these rooms
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class PublicName:
    """A name, the module that applications import it from, and the one that defines it."""

    module: str
    name: str
    home: str
    value: Any

    @property
    def path(self) -> str:
        """How it is called in full, which is its anchor too."""
        return f"{self.module}.{self.name}"

    @property
    def room(self) -> str:
        """The title of its page, among those of its module."""
        within = self.home.removeprefix("inferkit.")
        for title, rooms in ROOMS.items():
            if any(within == room or within.startswith(f"{room}.") for room in rooms):
                return title
        return OTHERS


def public_names(module: str, only: set[str] | None = None) -> list[PublicName]:
    """Give the public names of a module, or only some of them, each with the module that defines it."""
    package = import_module(module)
    source = ast.parse(inspect.getsource(package))
    homes = {
        alias.name: each.module
        for each in ast.walk(source)
        if isinstance(each, ast.ImportFrom) and each.module is not None
        for alias in each.names
    }
    here = {name for each in source.body for name in assigned_by(each)}
    names = sorted(only) if only is not None else package.__all__
    return [
        PublicName(module, name, module if name in here else homes.get(name, module), getattr(package, name))
        for name in names
    ]


def assigned_by(statement: ast.stmt) -> list[str]:
    """Give the names that a statement assigns: constants and type aliases."""
    match statement:
        case ast.Assign(targets=targets):
            return [each.id for each in targets if isinstance(each, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


def named_in_the_docs(pages: list[Path]) -> dict[str, set[str]]:
    """Give what the docs and the examples import from modules that are not public as a whole."""
    found: dict[str, set[str]] = {}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for code in [text] if page.suffix == ".py" else _PYTHON.findall(text):
            for module, name in _imports(textwrap.dedent(code)):
                if module not in MODULES:
                    found.setdefault(module, set()).add(name)
    return dict(sorted(found.items()))


def _imports(code: str) -> Iterator[tuple[str, str]]:
    for each in ast.walk(ast.parse(code)):
        if isinstance(each, ast.ImportFrom) and each.module is not None and each.module.split(".")[0] == "inferkit":
            yield from ((each.module, alias.name) for alias in each.names)
