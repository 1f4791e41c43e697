"""Reads a call of the local engine to its end, as a test wants it."""

from __future__ import annotations

import select
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.runtime.loops import current_runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from inferkit.local.engine import Engine, EngineCall
    from inferkit.runtime.protocol import Runtime

SECONDS = 30
T = TypeVar("T")


@dataclass
class Reply:
    start: dict[str, Any] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    end: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def frames(call: EngineCall) -> list[dict[str, Any]]:
    """Wait for the next frames."""
    while True:
        assert select.select([call], [], [], SECONDS)[0], "the worker said nothing"
        found = call.receive()
        if found:
            return found


def finish(call: EngineCall) -> Reply:
    reply = Reply()
    with call:
        while True:
            for frame in frames(call):
                if "start" in frame:
                    reply.start = frame
                elif "text" in frame:
                    reply.texts.append(frame["text"])
                else:
                    reply.end = frame
                    return reply


def ask(engine: Engine, prompt: str, **options: Any) -> Reply:
    return finish(engine.open({"prompt": prompt, **options}))


RUNTIMES = ("asyncio", "trio", "direct")


def run(kind: str, body: Callable[[Runtime], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function that takes a runtime: on an event loop, or driven without one."""
    if kind == "direct":
        return drive(body(DirectRuntime()))

    async def on_loop() -> T:
        with anyio.fail_after(SECONDS):
            return await body(current_runtime())

    return anyio.run(on_loop, backend=kind)
