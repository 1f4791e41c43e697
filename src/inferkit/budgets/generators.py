"""Generators each of whose steps runs under its scopes, so that the code that reads them is not charged.

A generator never holds a context variable across a `yield`: it would leak into its reader. A block with a budget that
it is in the middle of is put back in place with its next step.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any

from inferkit.budgets.context import Entered

if TYPE_CHECKING:
    from inferkit.budgets.scope import Scope

__all__ = ["AsyncGeneratorInScopes", "GeneratorInScopes"]


class _Step(Entered):
    """Puts a generator's scopes in place for a step, and keeps what the step leaves for the next one."""

    __slots__ = ("_generator",)

    def __init__(self, generator: GeneratorInScopes | AsyncGeneratorInScopes) -> None:
        super().__init__(generator.scopes)
        self._generator = generator

    def __exit__(self, *_: object) -> None:
        self._generator.scopes = self.end()


class GeneratorInScopes(Generator[Any, Any, Any]):
    """A generator each of whose steps runs under its scopes."""

    def __init__(self, inner: Generator[Any, Any, Any], scopes: tuple[Scope, ...]) -> None:
        self._inner = inner
        self.scopes = scopes

    def __next__(self) -> Any:
        with _Step(self):
            return next(self._inner)

    def send(self, value: Any) -> Any:
        """Resume it with a value."""
        with _Step(self):
            return self._inner.send(value)

    def throw(self, *error: Any) -> Any:
        """Resume it with an error."""
        with _Step(self):
            return self._inner.throw(*error)

    def close(self) -> None:
        """End it; its cleanup runs under its scopes too."""
        with _Step(self):
            self._inner.close()

    def __del__(self) -> None:
        inner = self.__dict__.pop("_inner", None)
        if inner is not None:
            with Entered(self.scopes):
                del inner  # if it was left in the middle, its cleanup runs here


class AsyncGeneratorInScopes(AsyncGenerator[Any, Any]):
    """An async generator each of whose steps runs under its scopes."""

    def __init__(self, inner: AsyncGenerator[Any, Any], scopes: tuple[Scope, ...]) -> None:
        self._inner = inner
        self.scopes = scopes

    def __aiter__(self) -> AsyncGeneratorInScopes:
        return self

    async def __anext__(self) -> Any:
        with _Step(self):
            return await self._inner.__anext__()

    async def asend(self, value: Any) -> Any:
        """Resume it with a value."""
        with _Step(self):
            return await self._inner.asend(value)

    async def athrow(self, *error: Any) -> Any:
        """Resume it with an error."""
        with _Step(self):
            return await self._inner.athrow(*error)

    async def aclose(self) -> None:
        """End it; its cleanup runs under its scopes too."""
        with _Step(self):
            await self._inner.aclose()

    def __del__(self) -> None:
        inner = self.__dict__.pop("_inner", None)
        if inner is not None:
            with Entered(self.scopes):
                del inner  # its event loop is told here, and finishes it in a task that copies this context
