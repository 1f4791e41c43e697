"""The ways to run the stack, behind one face, so that one test body serves them all.

A body is a coroutine function. With the fixture `run` it takes a runtime, and is driven, and run on asyncio and trio.
With the fixture `world` it takes a `World`, whose client is `AsyncClient` on the two loops; in the direct and portal
worlds the same body is driven without a loop, and its client is `Client` behind async names.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest
import sniffio
import trio

from inferkit import AsyncClient, Client
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.runtime.loops import current_runtime

LOOPS = ("asyncio", "trio")
RUNTIMES = (*LOOPS, "direct")
WORLDS = (*RUNTIMES, "portal")
SECONDS = 120  # no body takes this long unless something hangs

on_a_loop = pytest.mark.parametrize("run", LOOPS, indirect=True)
world_on_a_loop = pytest.mark.parametrize("world", LOOPS, indirect=True)


def run_in(name, body):
    """Run a body that takes a runtime in one of the worlds, and give its result."""
    if name not in LOOPS:
        return drive(body(DirectRuntime()))

    async def guarded():
        with anyio.fail_after(SECONDS):
            return await body(current_runtime())

    return anyio.run(guarded, backend=name)


directly = partial(run_in, "direct")


@asynccontextmanager
async def cancelled_afterwards(call):
    """Run `call` beside the block, and cancel it after the block as its loop itself would."""
    if sniffio.current_async_library() == "trio":
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            yield
            nursery.cancel_scope.cancel()
    else:
        task = asyncio.ensure_future(call())
        yield
        task.cancel()
        await asyncio.wait([task])


def in_threads(work, things):
    """Do the work for each of the things at the same time, in threads; raise what it raises."""
    failures = []

    def guarded(thing):
        try:
            work(thing)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(thing,)) for thing in things]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive(), "a thread hangs"
    for failure in failures:
        raise failure


def in_time(attempt):
    """Make an attempt with ever longer deadlines, until one lets this machine get as far as the test is about.

    Gives what the attempt found, which is None or False where its deadline came too early.
    """
    for seconds in (0.15, 1.5, 15.0):
        found = attempt(seconds)
        if found:
            return found
    raise AssertionError("no deadline was late enough")


class Clock(DirectRuntime):
    """A runtime whose sleeping costs no time but is remembered."""

    def __init__(self):
        self.slept = []
        self.at = 1000.0

    def now(self):
        return self.at

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.at += seconds


class World:
    def __init__(self, name):
        self.name = name
        self.is_async = name in LOOPS

    def run(self, body, *args):
        return run_in(self.name, lambda _: body(self, *args))

    def client(self, **settings):
        settings.setdefault("ledger", False)
        settings.setdefault("cache", False)
        if self.is_async:
            return AsyncClient(**settings)
        return _SyncClient(Client(portal=self.name == "portal", **settings))

    async def beside(self, *bodies):
        """Run bodies at the same time: tasks, or threads."""
        if self.is_async:
            async with anyio.create_task_group() as group:
                for body in bodies:
                    group.start_soon(body)
            return
        in_threads(lambda body: drive(body()), bodies)


class Watched(str):
    """A text of which a weak reference tells whether anything keeps it."""

    __slots__ = ("__weakref__",)


class Signal:
    """An event that threads and tasks of event loops wait for alike, and that is set from anywhere."""

    def __init__(self):
        self._set = threading.Event()
        self._waiting = {}

    def set(self):
        self._set.set()
        here = _loop()
        for event, loop in list(self._waiting.items()):
            if loop == here:
                event.set()
            else:
                anyio.from_thread.run_sync(event.set, token=loop)

    async def wait(self):
        loop = _loop()
        if loop is None:
            assert self._set.wait(SECONDS), "nobody came"
            return
        event = anyio.Event()
        self._waiting[event] = loop
        try:
            with anyio.fail_after(SECONDS):
                while not self._set.is_set():  # and if it is set in between, the event is set too
                    await event.wait()
        finally:
            del self._waiting[event]


def _loop():
    try:
        return anyio.lowlevel.current_token()
    except anyio.NoEventLoopError:
        return None


class Gate:
    """What waits here goes on when the gate is opened; `reached` is set once something waits."""

    def __init__(self):
        self.reached = Signal()
        self._opened = Signal()

    def open(self):
        self._opened.set()

    async def __call__(self):
        self.reached.set()
        await self._opened.wait()


class _SyncClient:
    def __init__(self, client):
        self.inner = client

    async def complete(self, *args, **options):
        return self.inner.complete(*args, **options)

    def stream(self, *args, **options):
        return _SyncStream(self.inner.stream(*args, **options))

    async def run_tools(self, *args, **options):
        return self.inner.run_tools(*args, **options)

    async def embed(self, *args, **options):
        return self.inner.embed(*args, **options)

    def stream_tools(self, *args, **options):
        return _SyncStream(self.inner.stream_tools(*args, **options))

    async def aclose(self):
        self.inner.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.inner.close()


class _SyncStream:
    def __init__(self, stream):
        self.inner = stream

    @property
    def reply(self):
        return self.inner.reply

    @property
    def text(self):
        return self.inner.text

    @property
    def partial_object(self):
        return self.inner.partial_object

    @property
    def run(self):
        return self.inner.run

    async def objects(self):
        for one in self.inner.objects():
            yield one

    async def __aenter__(self):
        self.inner.__enter__()
        return self

    async def __aexit__(self, *error):
        self.inner.__exit__(*error)

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return next(self.inner)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self):
        self.inner.close()


@asynccontextmanager
async def closing(client):
    try:
        yield client
    finally:
        await client.aclose()
