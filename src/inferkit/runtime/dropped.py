"""Closes what nobody refers to any more, once that is certain: nobody has to close a client.

A finalizer would come too early. The garbage collector calls all those of a dead cycle before it looks whether one of
them brought the cycle back to life, as a dropped stream's does so that its call is settled: the ledger's connection
would be closed by then, or be closed while it is in use.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

__all__ = ["when_dropped"]

_inherited: list[Callable[[], object]] = []


def when_dropped(step: Callable[[], object]) -> CodeType:
    """Have `step` called when nobody refers to the object returned here any more, which its owner is to keep.

    Whatever `step` refers to lives until then; it must not refer to the owner. It is called in whichever thread drops
    the owner, and never in a forked child: what a child inherits is its parent's to close.
    """
    ticket = _TICKET.replace()  # code: of all that can be watched, the one kind that the collector leaves alone
    weakref.finalize(ticket, _close, os.getpid(), step).atexit = False  # other endings at the exit may still need it
    return ticket


def _close(owner: int, step: Callable[[], object]) -> None:
    if owner == os.getpid():
        step()
    else:
        _inherited.append(step)


_TICKET = _close.__code__
