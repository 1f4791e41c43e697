"""The package's one fork hook: what must stand still during a fork, and what starts afresh in a forked child.

A child has no thread but the one that forked. Locks that others held stay held there, connections are the parent's, and
what another thread was in the middle of will never be finished.
"""

from __future__ import annotations

import logging  # before our hook is registered: a fork then takes our locks first, and logging's after them
import os
import threading
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Holdable", "Renewable", "hold_across_fork", "in_child", "renew_after_fork"]

_log = logging.getLogger("inferkit")
generation = 0
"""How many forks lie between this process and the first one: what an earlier generation opened is not ours to end."""
children = 0
"""How many children this process has forked."""


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
_held: weakref.WeakValueDictionary[int, Holdable] = weakref.WeakValueDictionary()  # in the order they came in
_in_child: list[Callable[[], object]] = []
_forking: list[Holdable] = []  # those that the fork in progress holds
_one_at_a_time = threading.Lock()


def renew_after_fork(thing: Renewable) -> None:
    """Have `thing.renew()` called in every child forked from now on, as long as it lives."""
    _renewed.add(thing)


def hold_across_fork(thing: Holdable) -> None:
    """Have `thing` held during every fork from now on and renewed in the child, as long as it lives.

    They are held in the order in which they came here. So what is held early, as the lock of imports, is never waited
    for by somebody who has what is held later.
    """
    _held[id(thing)] = thing
    renew_after_fork(thing)


def in_child(step: Callable[[], object]) -> None:
    """Have a module's `step` called in every child forked from now on."""
    _in_child.append(step)


def _before_fork() -> None:
    _one_at_a_time.acquire()
    for thing in list(_held.values()):
        _forking.append(thing)
        thing.hold()


def _after_fork_in_parent() -> None:
    global children  # noqa: PLW0603 - a fact about this process
    children += 1
    steps = [thing.release for thing in reversed(_forking)]
    _forking.clear()
    _one_at_a_time.release()
    _each(steps)


def _after_fork_in_child() -> None:
    global generation, children, _one_at_a_time  # noqa: PLW0603 - facts about this process
    generation += 1
    children = 0
    _one_at_a_time = threading.Lock()
    steps = [*_in_child, *(thing.renew for thing in list(_renewed))]
    _forking.clear()
    _each(steps)


def _each(steps: Iterable[Callable[[], object]]) -> None:
    for step in steps:
        try:
            step()
        except Exception:  # the others must get their turn
            _log.exception("a part of inferkit could not go on after a fork")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
