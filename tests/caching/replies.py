"""Requests and replies for the tests of the cache."""

import threading
from types import SimpleNamespace

import anyio

from inferkit.core.chunks import Chunk
from inferkit.core.messages import Message
from inferkit.core.record import CallRecord
from inferkit.core.request import Request, Target
from inferkit.core.response import Response
from inferkit.core.usage import Usage
from inferkit.runtime import clock
from inferkit.runtime.direct import DirectRuntime

SECONDS = 20  # no test waits this long unless something hangs
REPLY = (Chunk("Hel"), Chunk("lo"), Chunk(finish_reason="stop", usage=Usage(7, 2)))


def stands_for(fingerprint="", model="gpt-5-mini"):
    """Candidates behind a name: a model at a server, which the fingerprint stands for."""
    adapter = SimpleNamespace(fingerprint=fingerprint)
    return (Target("openai", model, adapter),)


def ask(runtime=None, question="Where is my order?", **fields):
    fields.setdefault("record", CallRecord(clock))
    fields.setdefault("candidates", stands_for())
    return Request(
        model="fast",
        messages=(Message.user(question),),
        runtime=runtime or DirectRuntime(),
        **fields,
    )


def text_of(chunks):
    return "".join(chunk.text for chunk in chunks)


class Body:
    """A reply that notes how it was read and closed. An exception among its chunks is raised in its turn."""

    def __init__(self, chunks=REPLY):
        self._chunks = iter(chunks)
        self.closed = 0

    async def __anext__(self):
        for chunk in self._chunks:
            if isinstance(chunk, BaseException):
                raise chunk
            return chunk
        raise StopAsyncIteration

    async def aclose(self):
        self.closed += 1


class Provider:
    """Answers every call with a reply of its own, or raises the next error it was given."""

    def __init__(self, chunks=REPLY, errors=()):
        self.calls = 0
        self.bodies = []
        self.ends = []
        self._chunks = chunks
        self._errors = list(errors)

    async def __call__(self, request):
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)
        self.bodies.append(Body(self._chunks))
        return Response(
            self.bodies[-1],
            runtime=request.runtime,
            on_close=self.ends.append,
            model="gpt-5-mini",
            id=f"reply-{self.calls}",
            headers={"x-request-id": "1"},
        )


class Gate:
    """Lets a read through when it is opened, in threads as on an event loop; `reached` says that one waits."""

    def __init__(self, runtime):
        self._event = threading.Event() if runtime.blocking else anyio.Event()
        self._reached = threading.Event() if runtime.blocking else anyio.Event()

    async def wait(self):
        self._reached.set()
        await self._until(self._event)

    async def reached(self):
        await self._until(self._reached)

    def open(self):
        self._event.set()

    async def _until(self, event):
        if isinstance(event, threading.Event):
            assert event.wait(SECONDS)
        else:
            with anyio.fail_after(SECONDS):
                await event.wait()


class GatedBody(Body):
    """A reply that waits at a gate before some of its chunks. Closing it opens its gates, as a closed socket does."""

    def __init__(self, chunks, gates):
        super().__init__(chunks)
        self._gates = dict(gates)
        self._index = 0

    async def __anext__(self):
        gate = self._gates.get(self._index)
        self._index += 1
        if gate is not None:
            await gate.wait()
        return await super().__anext__()

    async def aclose(self):
        await super().aclose()
        for gate in self._gates.values():
            gate.open()
