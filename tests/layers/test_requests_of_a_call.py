"""How many requests a call sends, over all that may start one, at servers on the loopback that count them."""

from __future__ import annotations

import re
import threading
from contextlib import ExitStack

import pytest

from chat_wire import completion
from inferkit import Client, Health, Hedge, Insert, OpenAIChat, Retry, RetryRules, StreamInterrupted, Unavailable
from inferkit.routing import Cascade
from wire import RESET, SSE_HEAD_UNTIL_CLOSE, Wire, event, reply

WORDS = re.compile(r"<<<(.*)>>>", re.DOTALL)
BROKEN = SSE_HEAD_UNTIL_CLOSE


def down(_):
    return [reply({"error": {"message": "no"}}, 503)]


def says(text):
    return lambda _: [reply(completion(text))]


def piece(text):
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})


class Servers:
    """Servers, each with its script, and a client of theirs which waits for nothing between its requests."""

    def __init__(self, *scripts, max_retries, name="any", **settings):
        self._stack = ExitStack()
        self.wires = [self._stack.enter_context(Wire(script)) for script in scripts]
        retry = Retry(max_retries, base=1e-6, health=settings.pop("health", Health(breaker=None, retries=None)))
        adapters = {
            f"p{place}": OpenAIChat(base_url=wire.url, api_key="k", name=f"p{place}")
            for place, wire in enumerate(self.wires)
        }
        self.llm = self._stack.enter_context(
            Client(
                providers=adapters,
                models={name: [f"{one}:m" for one in adapters]},
                layers=[Insert(retry, instead_of="retry")],
                cache=False,
                ledger=False,
                **settings,
            )
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stack.close()

    @property
    def asked(self):
        return [len(wire.requests) for wire in self.wires]


RETRIES = [0, 1, 2, 5]


@pytest.mark.parametrize("max_retries", RETRIES)
def test_a_cascade_of_dead_models_sends_no_more_than_any_other_call(max_retries):
    with Servers(down, down, down, max_retries=max_retries, routes=Cascade(lambda *_: True)) as servers:
        with pytest.raises(Unavailable) as caught:
            servers.llm.complete("any", "Hello?")
        assert servers.asked == [1, 1, max(1, max_retries - 1)], "those that are not the last are passed by at once"
        assert sum(servers.asked) == max(3, 1 + max_retries)
        assert [attempt.number for attempt in caught.value.attempts] == list(range(1, sum(servers.asked) + 1))


@pytest.mark.parametrize("max_retries", RETRIES)
def test_a_reply_that_is_not_good_enough_was_a_question_of_its_own(max_retries):
    cascade = Cascade(lambda _, said: len(said.text) > 5)
    with Servers(says("no"), says("nor"), down, max_retries=max_retries, routes=cascade) as servers:
        with pytest.raises(Unavailable):
            servers.llm.complete("any", "Hello?")
        assert servers.asked == [1, 1, 1 + max_retries]


@pytest.mark.parametrize("max_retries", RETRIES)
def test_what_a_first_question_took_is_gone_for_the_next(max_retries):
    cascade = Cascade(lambda _, said: len(said.text) > 5)
    with Servers(down, says("no"), down, max_retries=max_retries, routes=cascade) as servers:
        with pytest.raises(Unavailable):
            servers.llm.complete("any", "Hello?")
        assert servers.asked == [1, 1, max(1, max_retries)]


def breaks_again_and_again(request):
    """Say a word more each time, and break off."""
    asked = WORDS.search(str(request.json["messages"][-1]["content"]))
    return [BROKEN, piece(asked[1] if asked else "It left "), piece("and left "), RESET]


@pytest.mark.parametrize("max_retries", RETRIES)
def test_a_stream_that_breaks_again_and_again_sends_no_more_than_any_other_call(max_retries):
    with Servers(breaks_again_and_again, max_retries=max_retries, on_interrupt="continue") as servers:
        with pytest.raises(StreamInterrupted), servers.llm.stream("any", "Hello?") as stream:
            list(stream)
        assert servers.asked == [1 + min(2, max_retries)]


@pytest.mark.parametrize("max_retries", RETRIES)
def test_a_stream_that_breaks_and_whose_continuations_fail_sends_no_more_than_any_other_call(max_retries):
    def once(request):
        return [BROKEN, piece("It left "), RESET] if "<<<" not in request.body.decode() else down(request)

    with Servers(once, max_retries=max_retries, on_interrupt="continue") as servers:
        with pytest.raises(StreamInterrupted), servers.llm.stream("any", "Hello?") as stream:
            list(stream)
        assert servers.asked == [1 + max_retries]


@pytest.mark.parametrize("max_retries", RETRIES)
def test_hedges_are_among_the_requests_of_their_call(max_retries):
    second = threading.Event()

    def script(request):
        if len(servers.wires[0].requests) > 1:
            second.set()
        elif max_retries:
            yield second
        yield from down(request)

    with Servers(script, max_retries=max_retries, hedge=Hedge(after=0.001)) as servers:
        with pytest.raises(Unavailable) as caught:
            servers.llm.complete("any", "Hello?")
        assert servers.asked == [1 + max_retries]
        assert ("hedge" in [attempt.kind for attempt in caught.value.attempts]) == bool(max_retries)


def test_a_repair_is_a_question_of_its_own_and_shares_the_retries():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    scripts = iter([down, says("nothing"), down, down, down, down])

    def script(request):
        return next(scripts)(request)

    with Servers(script, max_retries=2) as servers:
        with pytest.raises(Unavailable):
            servers.llm.complete("any", "How many?", schema=schema, repair=1)
        assert servers.asked == [1 + 2 + 1]


def test_sixty_four_callers_with_hedges_send_a_dead_provider_a_fifth_more_and_ten():
    health = Health(breaker=None, retries=RetryRules(ratio=0.2, floor=10, seconds=1e9))
    hedge = Hedge(after=0.0001, rules=RetryRules(ratio=1, floor=100))
    with Servers(down, max_retries=2, health=health, hedge=hedge) as servers:
        for _ in range(64):
            with pytest.raises(Unavailable):
                servers.llm.complete("any", "Hello?")
        assert servers.asked[0] <= 1.2 * 64 + 10
