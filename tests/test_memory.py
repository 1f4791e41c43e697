"""A call is gone when it is over: nothing of it, its prompt least of all, waits for the garbage collector."""

from __future__ import annotations

import gc
import weakref

import pytest

from chat_wire import USAGE_EVENT, completion, delta
from inferkit import Budget, Client, Message, OpenAIChat, Price
from inferkit.testing import FakeProvider, settled
from wire import Wire, event, reply, sse
from worlds import Watched


def script(received):
    if not received.json.get("stream"):
        yield reply(completion())
        return
    yield from sse([event(delta("Hi")), event(delta(" there", finish="stop")), event(USAGE_EVENT), event("[DONE]")])


def whole(llm, messages):
    llm.complete(messages, timeout=30)


def streamed(llm, messages):
    assert list(llm.stream(messages))


def left(llm, messages):
    with llm.stream(messages) as stream:
        next(stream)


def dropped(llm, messages):
    next(llm.stream(messages))
    settled()


@pytest.fixture
def collector(undisturbed):
    yield gc
    gc.enable()


@pytest.mark.parametrize("how", [whole, streamed, left, dropped])
@pytest.mark.parametrize("provider", ["fake", "http"])
def test_a_call_that_is_over_is_freed_without_the_garbage_collector(provider, how, tmp_path, collector):
    with Wire(script) as wire:
        fake = FakeProvider(["Hi", " there"])
        http = OpenAIChat(base_url=wire.url, api_key="k", name="p")
        with Client(
            providers={"p": fake if provider == "fake" else http},
            models={"fast": "p:m"},
            prices={"p:m": Price(input="1", output="1")},
            budget=Budget(usd="1", per="month", name="all"),
            home=tmp_path,
            cache=False,
        ) as llm:
            how(llm, [Message.user("the first call makes what all calls use")])
            collector.collect()
            collector.disable()
            text = Watched("Where is my order?")
            watched = weakref.ref(text)
            how(llm, [Message.user(text)])
            del text
            fake.requests.clear()
            assert watched() is None
            assert collector.collect() == 0
        http.close()
