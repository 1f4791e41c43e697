"""Where connections come from: made when first needed, one pool for threads and one for each event loop.

A connection belongs to the loop it was opened on, and to the process: a second `asyncio.run` and a forked child get
pools of their own.

Nobody has to close them: a pool is closed where it belongs when its owner is dropped, its loop ends or the interpreter
exits. Closing is for those who want it done at once.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from inferkit.runtime import imports
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from inferkit.runtime.protocol import Lock, Runtime

__all__ = ["Pool", "Pools"]


class Pool(Protocol):
    """What opens connections and keeps them. `close` returns an awaitable where the pool is an event loop's."""

    @property
    def close(self) -> Callable[[], Any]:
        """Close them."""


P = TypeVar("P", bound=Pool)


@dataclass(frozen=True, slots=True)
class _Kept(Generic[P]):
    """A pool, and what has it closed when nobody holds its owner any more. Closing a loop's keeper closes it."""

    pool: P
    end: weakref.finalize[..., Any]
    keeper: AsyncGenerator[None] | None = None


class Pools(Generic[P]):
    """The pools of one kind; `make` makes one for a runtime, and must not refer to whoever holds this."""

    def __init__(self, make: Callable[[Runtime], P]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._blocking: _Kept[P] | None = None
        self._of_loops: dict[Any, _Kept[P]] = {}
        renew_after_fork(self)

    async def here(self, runtime: Runtime) -> P:
        """Give the pool for where the call runs."""
        if runtime.blocking:
            if self._blocking is None:
                with self._lock:
                    self._blocking = self._blocking or self._of_threads(runtime)
            return self._blocking.pool
        known = self._of_loops.get(runtime.place)
        if known is None:
            for place in [place for place in self._of_loops if _is_over(place)]:
                self._of_loops.pop(place).end.detach()
            known = self._of_loops[runtime.place] = self._of_a_loop(runtime)
            assert known.keeper is not None
            await anext(known.keeper)
        return known.pool

    def _of_threads(self, runtime: Runtime) -> _Kept[P]:
        pool = self._open(runtime)
        return _Kept(pool, weakref.finalize(self, _unless_inherited, os.getpid(), pool.close))

    def _of_a_loop(self, runtime: Runtime) -> _Kept[P]:
        pool = self._open(runtime)
        lock = runtime.lock()
        keeper = _while_the_loop_lives(pool, lock, self._of_loops, runtime.place)
        close = functools.partial(_close_early, keeper, pool, lock)
        end = weakref.finalize(self, _unless_inherited, os.getpid(), runtime.call_later_from_anywhere, close)
        end.atexit = False  # what still runs then is not waited for
        return _Kept(pool, end, keeper)

    def _open(self, runtime: Runtime) -> P:
        with imports.lock:  # HTTP libraries import more while a pool is made
            return self._make(runtime)

    async def aclose(self, runtime: Runtime) -> None:
        """Close the pool for where this runs; those of other event loops close when their loops end."""
        if runtime.blocking:
            known, self._blocking = self._blocking, None
            if known is not None:
                known.end()
        else:
            known = self._of_loops.get(runtime.place)
            if known is not None and known.keeper is not None:
                await known.keeper.aclose()

    def renew(self) -> None:
        """Forget the pools after a fork: their connections are the parent's, and closing TLS would end them there."""
        self._lock = threading.Lock()
        self._blocking = None
        for inherited in self._of_loops.values():
            _keep_for_good(inherited)
        self._of_loops = {}


async def _while_the_loop_lives(
    pool: Pool, lock: Lock, pools: dict[Any, _Kept[Any]], place: Any
) -> AsyncGenerator[None]:
    """Close the pool when its loop ends: event loops close the async generators they know before they go."""
    try:
        yield
    finally:
        known = pools.pop(place, None)
        if known is not None:
            known.end.detach()
        await _close(pool, lock)


async def _close_early(keeper: Any, pool: Pool, lock: Lock) -> None:
    """Close a pool that was dropped, unless its loop is at its end and does so; if the end comes now, it waits."""
    if not keeper.ag_running:
        await _close(pool, lock)
        if not keeper.ag_running:
            await keeper.aclose()


async def _close(pool: Pool, lock: Lock) -> None:
    await lock.acquire()
    try:
        await pool.close()
    finally:
        lock.release()


def _keep_for_good(inherited: _Kept[Any]) -> None:
    """Keep what an event loop of the parent owns from ever being dropped in a child.

    Dropped, it would be warned of, and would reach for the loop, whose selector the parent goes on using.
    """
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))


def _unless_inherited(owner: int, close: Callable[..., Any], *args: Any) -> None:
    if os.getpid() == owner:
        close(*args)


def _is_over(place: Any) -> bool:
    is_closed = getattr(place, "is_closed", None)
    return is_closed is not None and bool(is_closed())
