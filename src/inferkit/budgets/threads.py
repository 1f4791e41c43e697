"""Lets the budgets that pay for a function pay for the threads it starts too: a new thread begins without any context.

`Thread.start` and `ThreadPoolExecutor.submit` are wrapped when a function or block with a budget is first entered, so
that an application without any keeps them as they are, and not at all where the environment variable
`INFERKIT_CARRY_INTO_THREADS` is "0". Where Python itself has new threads inherit their starter's context (from 3.14 on,
`sys.flags.thread_inherit_context`), `Thread.start` stays as it is. Only the scopes are carried, nothing else of the
context.
"""

from __future__ import annotations

import functools
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from inferkit.budgets.context import Entered, current_scopes
from inferkit.runtime.forks import in_child
from inferkit.runtime.variables import read_variable

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from inferkit.budgets.scope import Scopes

__all__ = ["carry_into_threads"]

_lock = threading.RLock()  # reentrant, since a destructor or a signal may enter a scope in the middle of it
_carried = False


def carry_into_threads() -> None:
    """Have every thread started, and every task submitted, from now on paid for by the scopes it was started in.

    Does nothing the second time, or where it is switched off. What other libraries wrapped these methods in stays in
    place, inside.
    """
    if not _carried:
        _carry()


def _carry() -> None:
    global _carried  # noqa: PLW0603 - a fact about this process
    with _lock:
        if _carried or read_variable("CARRY_INTO_THREADS") == "0":
            return
        if not getattr(sys.flags, "thread_inherit_context", False):
            _carry_into_started_threads()
        ThreadPoolExecutor.submit = _carrying_submit(ThreadPoolExecutor.submit)  # type: ignore[method-assign]
        _carried = True  # last: a child forked before this wraps once more, which is harmless


def _carry_into_started_threads() -> None:
    threading.Thread.start = _carrying_start(threading.Thread.start)  # type: ignore[assignment]
    if "start" in vars(threading.Timer):  # a library wrapped it, and knows only the start from before
        threading.Timer.start = _carrying_start(threading.Timer.start)  # type: ignore[assignment]


def _carrying_start(start: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(start)
    def carrying(thread: threading.Thread) -> None:
        scopes = current_scopes()
        if not scopes:
            return start(thread)
        given = thread.__dict__.get("run")
        # on the instance, since any subclass may have a `run` of its own
        thread.__dict__["run"] = functools.partial(_run, scopes, thread, given)
        try:
            return start(thread)
        except RuntimeError:  # it cannot be started now; whoever starts it later pays for it
            _put_back(thread, given)
            raise

    return carrying


def _run(
    scopes: Scopes,
    thread: threading.Thread,
    given: Callable[[], None] | None,
    *_: object,  # some libraries call the `run` that they wrap with the thread, as if it were a function of the class
) -> None:
    _put_back(thread, given)  # which also ends the cycle of the thread and what it runs
    with Entered(scopes):
        thread.run()


def _put_back(thread: threading.Thread, given: Callable[[], None] | None) -> None:
    if given is None:
        thread.__dict__.pop("run", None)
    else:
        thread.__dict__["run"] = given


def _carrying_submit(submit: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    @functools.wraps(submit)
    def carrying(pool: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        scopes = current_scopes()
        with Entered(()):  # a worker may be started for this task, and will do other people's after it
            if _is_elsewhere(pool):
                return submit(pool, fn, *args, **kwargs)
            return submit(pool, _in_scopes, scopes, fn, *args, **kwargs)

    return carrying


def _in_scopes(scopes: Scopes, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    with Entered(scopes):
        return fn(*args, **kwargs)


def _is_elsewhere(pool: ThreadPoolExecutor) -> bool:
    """Say whether a pool's threads run interpreters of their own, to which scopes are strangers (Python 3.14)."""
    module = sys.modules.get("concurrent.futures.interpreter")
    return module is not None and isinstance(pool, module.InterpreterPoolExecutor)


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - a thread of the parent may have held it
    _lock = threading.RLock()


in_child(_after_fork)
