"""Other clients of the same server, as rows for comparison. Each takes part if it is installed, and none is needed."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from benchmarks.application import API_KEY, fresh_question
from benchmarks.server import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from benchmarks.timing import AsyncBlock, Block

__all__ = ["async_blocks", "blocks", "openai_over_aiohttp"]


def _openai(url: str) -> AsyncBlock:
    client = import_module("openai").AsyncOpenAI(base_url=url, api_key=API_KEY)

    async def run(calls: int) -> None:
        for _ in range(calls):
            await client.chat.completions.create(model=MODEL, messages=fresh_question(), max_completion_tokens=500)

    return run


def openai_over_aiohttp(url: str) -> Any:
    """Give the openai SDK's client over aiohttp, for a block; None where it is not installed (`openai[aiohttp]`)."""
    if find_spec("openai") is None or find_spec("aiohttp") is None:
        return None
    openai = import_module("openai")
    try:
        return openai.AsyncOpenAI(base_url=url, api_key=API_KEY, http_client=openai.DefaultAioHttpClient())
    except RuntimeError:  # a release that wants one more package
        return None


def _openai_over_aiohttp(url: str, stack: AsyncExitStack) -> AsyncBlock | None:
    client = openai_over_aiohttp(url)
    if client is not None:
        stack.push_async_callback(client.close)  # aiohttp complains on stderr of sessions that nobody closes

    async def run(calls: int) -> None:
        for _ in range(calls):
            await client.chat.completions.create(model=MODEL, messages=fresh_question(), max_completion_tokens=500)

    return None if client is None else run


def _litellm(url: str) -> AsyncBlock:
    complete = import_module("litellm").acompletion

    async def run(calls: int) -> None:
        for _ in range(calls):
            await complete(
                model=f"openai/{MODEL}", api_base=url, api_key=API_KEY, messages=fresh_question(), max_tokens=500
            )

    return run


def _langchain(url: str) -> AsyncBlock:
    model = import_module("langchain_openai").ChatOpenAI(model=MODEL, base_url=url, api_key=API_KEY, max_tokens=500)

    async def run(calls: int) -> None:
        for _ in range(calls):
            await model.ainvoke(fresh_question())

    return run


def _openai_sync(url: str) -> Block:
    client = import_module("openai").OpenAI(base_url=url, api_key=API_KEY)

    def run(calls: int) -> None:
        for _ in range(calls):
            client.chat.completions.create(model=MODEL, messages=fresh_question(), max_completion_tokens=500)

    return run


_ASYNC: dict[str, Callable[[str], AsyncBlock]] = {
    "openai": _openai,
    "litellm": _litellm,
    "langchain_openai": _langchain,
}


def async_blocks(url: str, stack: AsyncExitStack) -> dict[str, AsyncBlock]:
    """Give a block of async calls for each peer that is installed, until the stack is left."""
    blocks = {name: make(url) for name, make in _ASYNC.items() if find_spec(name) is not None}
    over_aiohttp = _openai_over_aiohttp(url, stack)
    return blocks if over_aiohttp is None else {**blocks, "openai over aiohttp": over_aiohttp}


def blocks(url: str) -> dict[str, Block]:
    """Give a block of sync calls for each peer that is installed."""
    return {"openai": _openai_sync(url)} if find_spec("openai") is not None else {}
