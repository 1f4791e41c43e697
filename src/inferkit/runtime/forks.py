"""Lets an object renew its locks in a forked child, where the threads that held them are gone.

What must not be forked while a thread is in the middle of it, as an SQLite file, is held for as long as the fork takes.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["Holdable", "Renewable", "hold_across_fork", "renew_after_fork"]


class Renewable(Protocol):
    """Something that must start afresh in a forked child."""

    def renew(self) -> None:
        """Forget what only the parent's threads could finish."""


class Holdable(Renewable, Protocol):
    """Something that no thread may be in the middle of when the process forks."""

    def hold(self) -> None:
        """Wait until no thread is, and let none begin. Called in the thread that forks, before it does."""

    def release(self) -> None:
        """Go on, in the parent."""


_renewed: weakref.WeakSet[Renewable] = weakref.WeakSet()
_held: weakref.WeakSet[Holdable] = weakref.WeakSet()
_forking: list[Holdable] = []  # those that the fork in progress holds


def renew_after_fork(thing: Renewable) -> None:
    """Have `thing.renew()` called in every child forked from now on, as long as it lives."""
    _renewed.add(thing)


def hold_across_fork(thing: Holdable) -> None:
    """Have `thing` held during every fork from now on and renewed in the child, as long as it lives."""
    _held.add(thing)
    renew_after_fork(thing)


def _before_fork() -> None:
    for thing in list(_held):
        thing.hold()
        _forking.append(thing)


def _after_fork_in_parent() -> None:
    while _forking:
        _forking.pop().release()


def _after_fork_in_child() -> None:
    _forking.clear()
    for thing in list(_renewed):
        thing.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
