"""Generators each of whose steps runs under its scopes, so that the code that reads them is not charged.

A generator never holds a context variable across a `yield`: it would leak into its reader.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any

from inferkit.budgets.scopes import Entered

if TYPE_CHECKING:
    from inferkit.budgets.budget import Scope

__all__ = ["AsyncGeneratorInScopes", "GeneratorInScopes"]


class GeneratorInScopes(Generator[Any, Any, Any]):
    """A generator each of whose steps runs under its scopes."""

    def __init__(self, inner: Generator[Any, Any, Any], scopes: tuple[Scope, ...]) -> None:
        self._step = inner
        self._scopes = scopes

    def __next__(self) -> Any:
        with Entered(self._scopes):
            return next(self._step)

    def send(self, value: Any) -> Any:
        """Resume it with a value."""
        with Entered(self._scopes):
            return self._step.send(value)

    def throw(self, *error: Any) -> Any:
        """Resume it with an error."""
        with Entered(self._scopes):
            return self._step.throw(*error)

    def close(self) -> None:
        """End it; its cleanup runs under its scopes too."""
        with Entered(self._scopes):
            self._step.close()

    def __del__(self) -> None:
        step = self.__dict__.pop("_step", None)
        if step is not None:
            with Entered(self._scopes):
                del step  # if it was left in the middle, its cleanup runs here


class AsyncGeneratorInScopes(AsyncGenerator[Any, Any]):
    """An async generator each of whose steps runs under its scopes."""

    def __init__(self, inner: AsyncGenerator[Any, Any], scopes: tuple[Scope, ...]) -> None:
        self._step = inner
        self._scopes = scopes

    def __aiter__(self) -> AsyncGeneratorInScopes:
        return self

    async def __anext__(self) -> Any:
        with Entered(self._scopes):
            return await self._step.__anext__()

    async def asend(self, value: Any) -> Any:
        """Resume it with a value."""
        with Entered(self._scopes):
            return await self._step.asend(value)

    async def athrow(self, *error: Any) -> Any:
        """Resume it with an error."""
        with Entered(self._scopes):
            return await self._step.athrow(*error)

    async def aclose(self) -> None:
        """End it; its cleanup runs under its scopes too."""
        with Entered(self._scopes):
            await self._step.aclose()

    def __del__(self) -> None:
        step = self.__dict__.pop("_step", None)
        if step is not None:
            with Entered(self._scopes):
                del step  # its event loop is told here, and finishes it in a task that copies this context
