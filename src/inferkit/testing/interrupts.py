"""Ctrl-C at a chosen place, for tests of what must not be lost to it."""

from __future__ import annotations

import contextlib
import gc
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["interrupted"]


def interrupted(step: Callable[[], object], at: int, *, within: tuple[str, ...]) -> bool:
    """Run `step`, and raise `KeyboardInterrupt` at the `at`-th place of the code in folders; False if it has fewer.

    Places are where CPython looks for signals: when a function is entered, and when a built-in one has returned. The
    garbage collector rests meanwhile: what it would finalize is not the step's, and would swallow the interrupt.
    """
    left = at
    collects = gc.isenabled()

    def look(frame: FrameType, event: str, _: Any) -> None:
        nonlocal left
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(within):
            left -= 1
            if left < 0:
                sys.setprofile(None)
                raise KeyboardInterrupt

    gc.disable()
    sys.setprofile(look)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            step()
    finally:
        sys.setprofile(None)
        if collects:
            gc.enable()
    return left < 0
