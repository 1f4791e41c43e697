"""Models that run on the application's own machine.

Names are loaded when they are first used: the worker process needs few of them, and starts fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inferkit.local.adapter import Local
    from inferkit.local.errors import ContextOverflow, EngineUnavailable, WorkerDied
    from inferkit.local.preflight import ModelFile, inspect

__all__ = ["ContextOverflow", "EngineUnavailable", "Local", "ModelFile", "WorkerDied", "inspect"]

_PLACES = {
    "Local": "adapter",
    "ContextOverflow": "errors",
    "EngineUnavailable": "errors",
    "WorkerDied": "errors",
    "ModelFile": "preflight",
    "inspect": "preflight",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{place}"), name)


def __dir__() -> list[str]:
    return __all__
