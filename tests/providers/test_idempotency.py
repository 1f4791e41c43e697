"""A key by which a server knows a request that is sent again: the same for its retries, and for nothing else."""

from __future__ import annotations

import pytest

from chat_wire import completion
from four_wires import answer
from inferkit import Anthropic, Client, ConfigurationError, Health, Insert, OpenAIChat, OpenAIResponses, Retry
from wire import Wire, reply

HEADER = "idempotency-key"
KINDS = {"chat": OpenAIChat, "responses": OpenAIResponses, "anthropic": Anthropic}


def keys(wire):
    return [request.headers.get(HEADER) for request in wire.requests]


def client(*urls, header="Idempotency-Key", kind=OpenAIChat, **settings):
    providers = {
        f"p{place}": kind(base_url=url, api_key="k", name=f"p{place}", idempotency_header=header)
        for place, url in enumerate(urls)
    }
    retry = Insert(Retry(2, base=0.001, health=Health(breaker=None, retries=None)), instead_of="retry")
    models = {"fast": [f"{name}:m" for name in providers]}
    return Client(providers=providers, models=models, layers=[retry], cache=False, ledger=False, **settings)


def failing(times, name="chat"):
    left = [times]

    def script(received):
        left[0] -= 1
        if left[0] >= 0:
            yield reply({"error": {"message": "down"}}, 503)
        else:
            yield from [reply(completion("hello"))] if name == "chat" else answer(name, received, "hello")

    return script


@pytest.mark.parametrize("name", KINDS)
def test_the_retries_of_a_call_have_its_key_and_the_next_call_another_one(name):
    with Wire(failing(2, name)) as wire, client(wire.url, kind=KINDS[name]) as llm:
        llm.complete("fast", "Hello?")
        llm.complete("fast", "Hello?")
        first, second, third, other = keys(wire)
    assert first == second == third
    assert other not in {first, None}


def test_another_server_is_told_no_key_that_was_used_elsewhere_and_asked_with_one_of_its_own_model():
    with Wire(failing(9)) as down, Wire(failing(0)) as up, client(down.url, up.url) as llm:
        llm.complete("fast", "Hello?")
        assert None not in [*keys(down), *keys(up)]


@pytest.mark.parametrize("name", KINDS)
def test_without_a_header_that_a_server_is_known_to_take_no_key_is_sent(name):
    with Wire(failing(1, name)) as wire, client(wire.url, header=None, kind=KINDS[name]) as llm:
        llm.complete("fast", "Hello?")
        assert keys(wire) == [None, None]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("wrong", ["two words", "", "a:b"])
def test_a_name_that_is_no_header_is_refused(wrong, name):
    with pytest.raises(ConfigurationError):
        KINDS[name](base_url="http://127.0.0.1:1/v1", api_key="k", idempotency_header=wrong)
