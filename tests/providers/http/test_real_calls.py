"""Where real calls are forbidden, nothing leaves this machine, on any transport."""

from __future__ import annotations

import httpx
import pytest

from chat_wire import completion
from inferkit import Anthropic, Client, ConfigurationError, Gemini, Http, OpenAIChat
from inferkit.providers.http import real_calls
from wire import Wire, reply
from worlds import world_on_a_loop


@pytest.fixture(autouse=True)
def forbidden(monkeypatch):
    monkeypatch.setattr(real_calls, "forbidden", True)
    monkeypatch.setattr(real_calls, "refused", [])


ADAPTERS = {
    "p:gpt-5-mini at api.test": lambda **more: OpenAIChat(
        base_url="https://api.test/v1", api_key="k", name="p", **more
    ),
    "p:gpt-5-mini at api.anthropic.com": lambda **more: Anthropic(api_key="k", **more),
    "p:gpt-5-mini at generativelanguage.googleapis.com": lambda **more: Gemini(api_key="k", **more),
}


@pytest.mark.parametrize("said", ADAPTERS)
def test_a_call_is_refused_once_and_its_model_named(said, world):
    async def body(world):
        async with world.client(providers={"p": ADAPTERS[said]()}, models={"a": ["p:gpt-5-mini", "p:other"]}) as llm:
            await llm.complete("Where is my secret order?")

    with pytest.raises(ConfigurationError, match=f"a real call was refused, to {said}: INFERKIT_REAL_CALLS") as refusal:
        world.run(body)
    assert "secret" not in str(refusal.value)
    assert real_calls.refused == [said]


@world_on_a_loop
def test_so_it_is_over_aiohttp(world):
    async def body(world):
        adapter = OpenAIChat(base_url="https://api.test/v1", api_key="k", name="p", transport=Http("aiohttp"))
        async with world.client(providers={"p": adapter}, models={"a": "p:m"}) as llm:
            await llm.complete("Hi")

    with pytest.raises(ConfigurationError, match="to p:m at api.test"):
        world.run(body)


def test_what_is_on_this_machine_may_be_called_by_any_of_its_names(world):
    async def body(world):
        with Wire(lambda _: [reply(completion("Hello"))]) as wire:
            for url in (wire.url, wire.url.replace("127.0.0.1", "localhost")):
                async with world.client(
                    providers={"p": OpenAIChat(base_url=url, name="p", api_key="k")}, models={"a": "p:m"}
                ) as llm:
                    assert (await llm.complete("Hi")).text == "Hello"

    world.run(body)
    assert real_calls.refused == []


def test_a_client_of_ones_own_over_a_fake_transport_may_be_used_and_another_not():
    fake = httpx.MockTransport(lambda _: httpx.Response(200, json=completion("Hello")))
    for transport, may in ((fake, True), (None, False)):
        with httpx.Client(transport=transport) as http_client:
            adapter = OpenAIChat(base_url="https://api.test/v1", api_key="k", name="p", http_client=http_client)
            with Client(providers={"p": adapter}, models={"a": "p:m"}, ledger=False, cache=False) as llm:
                if may:
                    assert llm.complete("Hi").text == "Hello"
                else:
                    with pytest.raises(ConfigurationError, match="to p:m at api.test"):
                        llm.complete("Hi")


@pytest.mark.parametrize(
    ("url", "body", "said"),
    [
        ("https://[::1]:8080/v1", b"", None),
        ("http://127.3.2.1/v1", b"", None),
        ("http://api.localhost/v1", b"", None),
        ("http://10.0.0.1/v1/chat/completions", b"[]", "p:? at 10.0.0.1"),
        ("https://bedrock.test/model/eu.anthropic.claude%3A0/invoke", b"{}", "p:eu.anthropic.claude:0 at bedrock.test"),
        ("https://g.test/v1beta/models/gemini-2.5:streamGenerateContent", b"{}", "p:gemini-2.5 at g.test"),
        ("https://localhost.test/v1", b'{"model": 5}', "p:? at localhost.test"),
    ],
)
def test_addresses(url, body, said):
    if said is None:
        real_calls.check(url, "p", body)
    else:
        with pytest.raises(ConfigurationError, match="real call"):
            real_calls.check(url, "p", body)
        assert real_calls.refused == [said]


@pytest.mark.parametrize(("word", "forbids"), [(None, False), ("", False), ("allow", False), ("forbid", True)])
def test_the_environment_says_so(word, forbids, monkeypatch):
    monkeypatch.delenv("INFERKIT_REAL_CALLS", raising=False)
    if word is not None:
        monkeypatch.setenv("INFERKIT_REAL_CALLS", word)
    assert real_calls.said() is forbids


def test_a_word_that_says_neither_is_refused_rather_than_taken_for_a_yes(monkeypatch):
    monkeypatch.setenv("INFERKIT_REAL_CALLS", "forbidden")
    with pytest.raises(ConfigurationError, match='INFERKIT_REAL_CALLS is "allow" or "forbid"; got \'forbidden\''):
        real_calls.said()
