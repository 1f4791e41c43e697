"""What a function with a budget returns carries its scopes, where it does its work only later.

Coroutines and other awaitables, generators, async generators and all other iterators; these in a tuple, list or
dictionary; context managers that contextlib makes of generators; and the responses of web frameworks that send such
things. Nothing else is looked at, or into.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import sys
from types import AsyncGeneratorType, CoroutineType, GeneratorType, NoneType
from typing import TYPE_CHECKING, Any

from inferkit.budgets.context import Entered
from inferkit.budgets.generators import async_generator_in_scopes, coroutine_in_scopes, generator_in_scopes
from inferkit.budgets.stand_ins import stand_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.budgets.generators import Keeper
    from inferkit.budgets.scope import Scopes


__all__ = ["carried", "carried_body"]

_ContextManager: Any = contextlib._GeneratorContextManagerBase  # noqa: SLF001
_PLAIN = frozenset({NoneType, bool, int, float, str, bytes})
_COLLECTIONS = frozenset({tuple, list, dict})


def carried(result: Any, scopes: Scopes, keeper: Keeper | None = None) -> Any:
    """Give what a function returned so that the work it does from now on is paid for by its scopes.

    `keeper` was made before the function was called.
    """
    kind = type(result)
    if kind in _PLAIN:
        return result
    if kind not in _COLLECTIONS:
        return _carried(result, scopes, keeper)
    changed = False
    values = []
    for value in result.values() if kind is dict else result:
        one = value if type(value) in _PLAIN else _carried(value, scopes, keeper)
        changed = changed or one is not value
        values.append(one)
    if not changed:
        return result
    return dict(zip(result, values, strict=True)) if kind is dict else kind(values)


def _carried(thing: Any, scopes: Scopes, keeper: Keeper | None) -> Any:
    kind = type(thing)
    if kind is GeneratorType and not thing.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE:
        return generator_in_scopes(thing, scopes, keeper)
    if kind is CoroutineType or kind is GeneratorType:
        return coroutine_in_scopes(thing, scopes, carried)
    if kind is AsyncGeneratorType:
        return async_generator_in_scopes(thing, scopes)
    if _works_later(kind):
        return stand_in(thing, scopes, carried)
    if isinstance(thing, _ContextManager):  # made by contextlib of a generator, whose steps are its enter and its exit
        thing.gen = _carried(thing.gen, scopes, keeper)
        return thing
    for module, name, carry in _FRAMEWORKS:
        response = getattr(sys.modules.get(module), name, None)
        if response is not None and isinstance(thing, response):
            carry(thing, scopes, keeper)
    return thing


def _works_later(kind: type) -> bool:
    """Say whether things of a class are iterators or awaitables that run the code of whoever made them.

    A future was begun, in a context that it took along; files do nothing of the kind; and `Stream` and its like note
    who pays when they are made.
    """
    if not (hasattr(kind, "__next__") or hasattr(kind, "__anext__") or hasattr(kind, "__await__")):
        return False
    return not (
        hasattr(kind, "add_done_callback") or issubclass(kind, io.IOBase) or hasattr(kind, "inferkit_knows_who_pays")
    )


def carried_body(body: Any, scopes: Scopes, keeper: Keeper | None) -> Any:
    """Give the body of a response; an iterable that is no iterator gives iterators that carry the scopes."""
    kind = type(body)
    if kind in _PLAIN or kind in _COLLECTIONS:
        return body
    if hasattr(kind, "__next__") or hasattr(kind, "__anext__"):
        return _carried(body, scopes, keeper)
    return stand_in(body, scopes, carried)


def _carry_in_starlette(response: Any, scopes: Scopes, keeper: Keeper | None) -> None:
    if hasattr(response, "body_iterator"):
        body = response.body_iterator
        response.body_iterator = _in_threads(body, scopes, keeper) or carried_body(body, scopes, keeper)
    if response.background is not None:
        response.background = stand_in(response.background, scopes, carried)


def _in_threads(body: Any, scopes: Scopes, keeper: Keeper | None) -> Any:
    """Give Starlette's way to read what is not async, around what carries the scopes; None if it is not that.

    Starlette does not close what it reads in this way: a reader that leaves has it dropped, at any time, in any thread.
    """
    iterate: Any = getattr(sys.modules.get("starlette.concurrency"), "iterate_in_threadpool", None)
    if type(body) is not AsyncGeneratorType or body.ag_code is not getattr(iterate, "__code__", None):
        return None
    iterable = None if body.ag_frame is None else body.ag_frame.f_locals.get("iterator")
    return None if iterable is None else iterate(carried_body(iterable, scopes, keeper))


def _carry_in_django(response: Any, scopes: Scopes, keeper: Keeper | None) -> None:
    response._iterator = _carried(response._iterator, scopes, keeper)  # noqa: SLF001 - what is public wraps it once more
    closers: list[Any] = response._resource_closers  # noqa: SLF001 - which close what is behind the iterator
    closers[:] = [each if isinstance(each, _Closer) else _Closer(each, scopes) for each in closers]


class _Closer:
    """Closes something under scopes."""

    def __init__(self, close: Callable[[], object], scopes: Scopes) -> None:
        self._close = close
        self._scopes = scopes

    def __call__(self) -> None:
        with Entered(self._scopes):
            self._close()


def _carry_in_werkzeug(response: Any, scopes: Scopes, keeper: Keeper | None) -> None:
    if not response.direct_passthrough:  # or else it is a file, which the server may want to send itself
        response.response = carried_body(response.response, scopes, keeper)


_FRAMEWORKS: tuple[tuple[str, str, Callable[[Any, Scopes, Keeper | None], None]], ...] = (
    ("starlette.responses", "Response", _carry_in_starlette),
    ("django.http.response", "StreamingHttpResponse", _carry_in_django),
    ("werkzeug.wrappers.response", "Response", _carry_in_werkzeug),
)
"""Classes of responses, and where they are once somebody has imported them. Starlette's are FastAPI's too, Werkzeug's
Flask's."""
