"""Lets a package offer names whose modules are loaded when a name is first used."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["lazily"]


def lazily(package: str, places: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Make a package's `__getattr__`. `places` maps each module, named from the package, to the names it defines."""
    place_of = {name: module for module, names in places.items() for name in names}

    def __getattr__(name: str) -> Any:  # noqa: N807 - what the interpreter looks for
        if name not in place_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from inferkit.runtime import imports  # here, so that `import inferkit` stays light

        with imports.lock:
            value = getattr(import_module(f"{package}.{place_of[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return __getattr__
