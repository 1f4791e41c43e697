"""What a test asks of the calls that were made."""

from __future__ import annotations

import gc
from decimal import Decimal

import pytest

from inferkit import Client, ConfigurationError, Price
from inferkit.testing import FakeProvider, calls, memory_ledger, never_called, spent


@pytest.fixture
def llm():
    settings = {
        "providers": {"f": FakeProvider("one two three")},
        "models": {"a": "f:m", "b": "f:n"},
        "prices": {"f:m": Price(input="1", output="2")},
        "cache": False,
        "ledger": memory_ledger(),
    }
    with Client(**settings) as client:
        client.complete("a", "Hi there", user="ana", tenant="acme", feature="search")
        client.complete("b", "Hi", user="ben")
        yield client


def test_calls_are_told_apart_by_whom_they_were_for_and_who_served_them(llm):
    assert [charge.model for charge in calls(llm)] == ["m", "n"]
    assert [charge.asked for charge in calls(llm.ledger, user="ana", feature="search", asked="a")] == ["a"]
    assert calls(llm, user="ana", model="n") == []


def test_what_they_came_to_is_added_up(llm):
    assert spent(llm, user="ana") == (Decimal("0.000008"), 5, 1)
    assert spent(llm).calls == 2
    assert spent(llm, user="cem") == (0, 0, 0)


def test_a_stream_that_was_dropped_is_counted(llm):
    stream = llm.stream("a", "Hi", user="dropped")
    next(iter(stream))
    del stream
    gc.collect()
    assert spent(llm, user="dropped").calls == 1


def test_what_was_not_to_be_called_is_named(llm):
    never_called(llm, user="cem")
    with pytest.raises(AssertionError) as failure:
        never_called(llm, provider="f")
    assert str(failure.value) == (
        "expected no call with provider='f'; there were 2:\n"
        "  f:m (asked a, user ana, tenant acme, feature search), completed, 5 tokens, 0.000008 USD\n"
        "  f:n (asked b, user ben), completed, 4 tokens, price unknown"
    )


def test_mistakes_are_explained(llm):
    with pytest.raises(ConfigurationError, match="not by usr"):
        calls(llm, usr="ana")
    with (
        Client(providers={"f": FakeProvider()}, models={"a": "f:m"}, ledger=False, cache=False) as other,
        pytest.raises(ConfigurationError, match="keeps no ledger"),
    ):
        never_called(other)
