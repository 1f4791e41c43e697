"""Generators and coroutines each of whose steps runs under scopes, so that the code that reads them is not charged.

A generator never holds a context variable across a `yield`: it would leak into its reader. What is given for a
generator is a generator, for an async generator an async generator, for a coroutine a coroutine: frameworks ask.
"""

from __future__ import annotations

import contextlib
import sys
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.budgets.context import Entered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import AsyncGeneratorType, GeneratorType

    from inferkit.budgets.scope import Scopes

    Generator = GeneratorType[Any, Any, Any]
    AsyncGenerator = AsyncGeneratorType[Any, Any]
    Coroutine = CoroutineType[Any, Any, Any]

__all__ = ["Keeper", "async_generator_in_scopes", "coroutine_in_scopes", "generator_in_scopes"]

T = TypeVar("T")


class Keeper:
    """Closes the generators that a call gave, under their scopes, where the garbage collector finds them.

    In a cycle of garbage it ends each generator by itself, the oldest first: the inner one before the outer one, which
    would have put its scopes in place. So a keeper is made before the function is called, and is older still.
    """

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: list[tuple[Generator, Entered]] = []

    def keep(self, inner: Generator, place: Entered) -> None:
        """Close this generator, unless it has ended, when nobody holds the outer one any more."""
        self._kept.append((inner, place))

    def __del__(self) -> None:
        for inner, place in self._kept:
            with contextlib.suppress(ValueError), Entered(place.scopes):  # which says that it is running
                inner.close()


def generator_in_scopes(inner: Generator, scopes: Scopes, keeper: Keeper | None) -> Generator:
    """Give a generator each of whose steps, its cleanup too, is one of `inner` under its scopes."""
    if inner.gi_code is _STEPS:
        return inner
    begun, place = inner.gi_suspended, Entered(scopes)
    if keeper is not None:
        keeper.keep(inner, place)
    outer: Any = _steps(inner, place, keeper, begun=begun)
    if begun:
        next(outer)  # or else its cleanup would not run where nobody reads on
    generator: Generator = _named_as(inner, outer)
    return generator


def async_generator_in_scopes(inner: AsyncGenerator, scopes: Scopes) -> AsyncGenerator:
    """Give an async generator each of whose steps, its cleanup too, is one of `inner` under its scopes."""
    if inner.ag_code is _ASYNC_STEPS:
        return inner
    outer: Any = _async_steps(inner, Entered(scopes))
    generator: AsyncGenerator = _named_as(inner, outer)
    return generator


def coroutine_in_scopes(
    inner: Awaitable[Any], scopes: Scopes, carry: Callable[[Any, Scopes, Keeper], Any]
) -> Coroutine:
    """Give a coroutine that awaits `inner` under its scopes; `carry` is given what comes of it, and the scopes."""
    if getattr(inner, "cr_code", None) is _AWAITED:
        return inner  # type: ignore[return-value]  # it is one of these
    outer: Any = _awaited(_Waiting(inner), Entered(scopes), carry)
    coroutine: Coroutine = _named_as(inner, outer)
    return coroutine


def _steps(inner: Generator, place: Entered, _: Keeper | None, *, begun: bool) -> Any:
    step: Callable[[Any], Any] = inner.send
    given: Any = None
    value: Any = None
    waits = begun
    while True:
        if not waits:
            try:
                with place:
                    value = step(given)
            except StopIteration as end:
                return end.value
            finally:
                given = None  # an error's traceback holds this frame: a cycle that would keep what it sees alive
        waits = False
        try:
            given, step = (yield value), inner.send
        except GeneratorExit:
            with place:
                inner.close()
            raise
        except BaseException as error:
            given, step = error, inner.throw


async def _async_steps(inner: AsyncGenerator, place: Entered) -> Any:
    step: Callable[[Any], Awaitable[Any]] = _beginning(inner, place)
    given: Any = None
    while True:
        try:
            with place:
                value = await step(given)
        except StopAsyncIteration:
            return
        finally:
            given = None  # see above
        try:
            given, step = (yield value), inner.asend
        except GeneratorExit:
            with place:
                if not inner.ag_running:  # or else it is being closed already
                    await inner.aclose()
            raise
        except BaseException as error:
            given, step = error, inner.athrow


def _beginning(inner: AsyncGenerator, place: Entered) -> Callable[[Any], Awaitable[Any]]:
    """Give the first step of an async generator that its event loop does not get to know.

    Event loops close the async generators that they know, when they end and when these are dropped. They are to close
    the outer one, which closes this one, under its scopes. Where the garbage collector finds the inner one first, the
    loop is told of it under its scopes, and closes it in a task that copies them.
    """

    def first(value: Any) -> Awaitable[Any]:
        hooks = sys.get_asyncgen_hooks()

        def finalize(dropped: Any) -> None:
            with Entered(place.scopes):
                hooks.finalizer(dropped)  # type: ignore[misc]  # it is there where this is

        sys.set_asyncgen_hooks(None, None if hooks.finalizer is None else finalize)
        try:
            return inner.asend(value)
        finally:
            sys.set_asyncgen_hooks(*hooks)

    return first


class _Waiting:
    """An awaitable. If it is a coroutine that nobody awaits, Python warns of the one around it, and once will do."""

    __slots__ = ("inner",)

    def __init__(self, inner: Awaitable[Any]) -> None:
        self.inner = inner

    def __del__(self) -> None:
        if isinstance(self.inner, CoroutineType):
            self.inner.close()


async def _awaited(waiting: _Waiting, place: Entered, carry: Callable[[Any, Scopes, Keeper], Any]) -> Any:
    keeper = Keeper()
    with place:
        result = await waiting.inner
    return carry(result, place.scopes, keeper)


def _named_as(inner: Any, outer: T) -> T:
    """Let warnings and tracebacks name the user's own function."""
    for name in ("__name__", "__qualname__"):
        setattr(outer, name, getattr(inner, name, getattr(outer, name)))
    return outer


_STEPS, _ASYNC_STEPS, _AWAITED = (each.__code__ for each in (_steps, _async_steps, _awaited))
