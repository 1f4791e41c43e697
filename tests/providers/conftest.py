"""Runs a behaviour on every runtime: without a loop, on asyncio and on trio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.runtime.loops import current_runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def on_direct(test: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    return drive(test(DirectRuntime()))


def on_asyncio(test: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        return await test(current_runtime())

    return asyncio.run(run())


def on_trio(test: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    import trio

    async def run() -> Any:
        return await test(current_runtime())

    return trio.run(run)


@pytest.fixture(params=[on_direct, on_asyncio, on_trio], ids=["direct", "asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Any:
    """Call an async function with a runtime, and give its result."""
    return request.param
