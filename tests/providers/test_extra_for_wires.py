"""Fields in `extra=` go to the wire that they are for, whichever candidate serves the call, and under its rules."""

from __future__ import annotations

import contextlib

import pytest

from anthropic_wire import message
from chat_wire import completion
from inferkit import Anthropic, Budget, Client, OpenAIChat, Price
from inferkit.core.errors import ConfigurationError
from inferkit.core.request import Target, extra_for
from inferkit.testing import make_request
from wire import Wire, reply

PRICES = {"a:*": Price("1", "2"), "b:*": Price("1", "2")}
DOWN = reply({"error": {"message": "down"}}, status=503)


@contextlib.contextmanager
def client(first, second, **settings):
    """A client whose model is first Anthropic's, then one over Chat Completions; give it and both servers."""
    with Wire(lambda _: [first]) as one, Wire(lambda _: [second]) as other:
        providers = {"a": Anthropic(base_url=one.url, name="a"), "b": OpenAIChat(base_url=other.url, name="b")}
        with Client(
            models={"m": ["a:x", "b:y"]}, providers=providers, cache=False, prices=PRICES, max_retries=0, **settings
        ) as made:
            yield made, one, other
        for provider in providers.values():
            provider.close()


def test_fields_are_for_the_wire_of_the_first_candidate_and_left_out_for_another():
    with client(DOWN, reply(completion("Hi"))) as (made, one, other):
        answer = made.complete("m", "Hi", extra={"top_k": 5, "anthropic": {"metadata": {"user_id": "u"}},
                                                 "chat": {"verbosity": "low"}})  # fmt: skip
    assert {name: one.requests[0].json.get(name) for name in ("top_k", "metadata", "verbosity", "chat")} == {
        "top_k": 5,
        "metadata": {"user_id": "u"},
        "verbosity": None,
        "chat": None,
    }
    sent = other.requests[0].json
    assert sent["verbosity"] == "low"
    assert sent.keys().isdisjoint({"top_k", "metadata", "anthropic", "chat"})
    assert answer.left_out == ("top_k",)


def test_each_wires_own_rules_hold_for_its_own_fields():
    budget = Budget(usd="1", per="month", name="all")
    with client(reply(message()), reply(completion("Hi")), budget=budget) as (made, one, other):
        assert made.complete("m", "Hi", extra={"top_k": 5, "chat": {"verbosity": "low"}}).text
        for extra in ({"chat": {"web_search_options": {}}}, {"anthropic": {"mcp_servers": []}}):
            with pytest.raises(ConfigurationError, match="cannot cover"):
                made.complete("m", "Hi", extra=extra)
        assert (len(one.requests), len(other.requests)) == (1, 0)


def test_a_cap_cannot_be_lifted_by_any_wires_name():
    budget = Budget(usd="0.01", per="month", name="all")
    with client(reply(message()), reply(completion("Hi")), budget=budget) as (made, one, _):
        for extra in ({"anthropic": {"max_tokens": 10**6}}, {"chat": {"max_completion_tokens": 10**6}}):
            with pytest.raises(ConfigurationError, match="max_output_tokens"):
                made.complete("m", "Hi", max_output_tokens=10, extra=extra)
        assert one.requests == []


def test_what_a_reply_will_be_like_is_not_asked_for_under_a_budget():
    budget = Budget(usd="1", per="month", name="all")
    with client(DOWN, reply(completion("Hi")), budget=budget) as (made, one, other):
        with pytest.raises(ConfigurationError, match="cannot cover 'prediction'"):
            made.complete("m", "Hi", max_output_tokens=10, prediction="Hello " * 1000)
        assert one.requests == other.requests == []


def test_an_adapter_that_names_no_wire_is_given_everything():
    request = make_request().replace(extra={"x": 1, "chat": {"y": 2}})
    assert extra_for(request, object()) is request.extra


def test_a_wires_own_fields_may_be_odd_and_are_then_none():
    chat = OpenAIChat(api_key="x")
    request = make_request().replace(candidates=(Target("b", "y", chat),), extra={"x": 1, "chat": "odd"})
    assert extra_for(request, chat) == {"x": 1}
