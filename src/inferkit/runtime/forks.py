"""Lets an object renew its locks in a forked child, where the threads that held them are gone."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["Renewable", "renew_after_fork"]


class Renewable(Protocol):
    """Something that must start afresh in a forked child."""

    def renew(self) -> None:
        """Forget what only the parent's threads could finish."""


_renewed: weakref.WeakSet[Renewable] = weakref.WeakSet()


def renew_after_fork(thing: Renewable) -> None:
    """Have `thing.renew()` called in every child forked from now on, as long as it lives."""
    _renewed.add(thing)


def _after_fork() -> None:
    for thing in list(_renewed):
        thing.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
