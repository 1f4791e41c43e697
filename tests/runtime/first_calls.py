"""Makes a client and its first calls in a process of its own, and prints what was imported meanwhile.

`python first_calls.py WORLD` prints what was imported without the lock that a fork waits for;
`python first_calls.py WORLD preload` what the calls of a client made with `preload=True` still import.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from importlib.abc import MetaPathFinder
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from chat_wire import USAGE_EVENT, completion, delta  # what the test itself needs is not to count
from inferkit.runtime import imports
from wire import Wire, event, reply, sse

WORLD, PRELOAD = sys.argv[1], "preload" in sys.argv
STREAM = list(sse([event(delta("Hel")), event(delta("lo", finish="stop")), event(USAGE_EVENT), event("[DONE]")]))
if WORLD == "trio":
    import trio  # who runs on it has imported it


class Watching(MetaPathFinder):
    in_calls = not PRELOAD

    def find_spec(self, name, path, target=None):
        if self.in_calls and (PRELOAD or not imports.lock._is_owned()):
            print(name)


watching = Watching()


def make(url):
    from inferkit import AsyncClient, Budget, Client, OpenAIChat, Plan

    settings = {
        "providers": {"openai": OpenAIChat(base_url=url, api_key="k", name="openai")},
        "models": {"fast": "openai:gpt-5-mini"},
        "budget": Budget(usd="1", per="month", zone="Europe/Berlin", name="all"),
        "plans": [Plan("pro", price="9", allowance="unlimited")],
        "default_plan": "pro",
        "home": tempfile.mkdtemp(),
        "preload": PRELOAD,
    }
    if WORLD in {"asyncio", "trio"}:
        return AsyncClient(**settings)
    return Client(portal=WORLD == "portal", **settings)


def call(llm):
    llm.complete("hi", timeout=20)
    with llm.stream("hi again", timeout=20) as stream:
        list(stream)
    llm.complete("hi")  # from the cache
    llm.close()


async def acall(llm):
    await llm.complete("hi", timeout=20)
    async with llm.stream("hi again", timeout=20) as stream:
        async for _ in stream:
            pass
    await llm.complete("hi")
    await llm.aclose()


with Wire(lambda request: STREAM if request.json.get("stream") else [reply(completion())]) as wire:
    sys.meta_path.insert(0, watching)
    llm = make(wire.url)
    watching.in_calls = True
    if WORLD == "asyncio":
        asyncio.run(acall(llm))
    elif WORLD == "trio":
        trio.run(acall, llm)
    else:
        call(llm)
    watching.in_calls = False
print("done")
