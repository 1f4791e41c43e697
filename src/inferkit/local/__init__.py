"""Models that run on the application's own machine.

Names are loaded when they are first used: the worker process needs few of them, and starts fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit._lazy import lazily

if TYPE_CHECKING:
    from inferkit.local.adapter import Local
    from inferkit.local.engines.choice import inspect
    from inferkit.local.errors import ContextOverflow, EngineUnavailable, WorkerDied
    from inferkit.local.gguf.model_file import ModelFile

__all__ = ["ContextOverflow", "EngineUnavailable", "Local", "ModelFile", "WorkerDied", "inspect"]

__getattr__ = lazily(
    __name__,
    {
        "adapter": ("Local",),
        "engines.choice": ("inspect",),
        "errors": ("ContextOverflow", "EngineUnavailable", "WorkerDied"),
        "gguf.model_file": ("ModelFile",),
    },
)


def __dir__() -> list[str]:
    return __all__
