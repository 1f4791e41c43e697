"""Imports and opens what a first call would, for servers that fork: their parent does it once for all (`preload=True`).

No connection is opened and no process started: those would be the parent's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inferkit.client.catalog import Catalog
    from inferkit.core.request import Layer

__all__ = ["preload"]


def preload(catalog: Catalog, layers: Iterable[Layer]) -> None:
    """Have the adapters behind every name, the prices of their models, and the layers made ready for a call.

    An adapter or a layer that has something to do for that has a method `preload`. Raises what the first call would.
    """
    adapters: dict[int, Any] = {}
    for name in catalog.names_known:
        for target in catalog.resolve(name):
            adapters[id(target.adapter)] = target.adapter
    for one in (*adapters.values(), *layers):
        if hasattr(one, "preload"):
            one.preload()
