"""`attributed(...)` says whom calls are for, and `identify(...)` what is found out later."""

from __future__ import annotations

import threading
from uuid import UUID

import anyio
import pytest

from inferkit import Client, ConfigurationError, attributed, budget, budgeted, identify
from inferkit.budgets.context import current_scopes
from inferkit.budgets.scope import attribute
from inferkit.core.record import CallRecord
from inferkit.integrations import http_client
from inferkit.runtime import clock
from inferkit.testing import FakeProvider


def who(**asked):
    found = attribute(asked, CallRecord(clock), current_scopes())
    return found.get("user"), found.get("tenant"), found.get("feature")


def test_the_innermost_that_says_it_counts_and_the_call_itself_most():
    with attributed(user="ana", tenant="acme", feature="search"):
        assert who() == ("ana", "acme", "search")
        with attributed(user="ben"):
            assert who() == ("ben", "acme", "search")
            assert who(user="cem", feature="chat") == ("cem", "acme", "chat")
        assert who() == ("ana", "acme", "search")
    assert who() == (None, None, None)


def test_functions_with_a_budget_and_blocks_count_by_where_they_stand():
    @budgeted(calls=5, name="answers", key="user_id", each="user")
    def answer(user_id):
        with attributed(user="inside"):
            inside = who()
        return who(), inside

    with attributed(user="ana", feature="page"):
        outside, inside = answer("ben")
    assert outside[0] == "ben"
    assert outside[2].endswith("answer")
    assert inside[0] == "inside"


def test_it_pays_for_nothing():
    with attributed(user="ana"):
        assert attribute({}, CallRecord(clock), current_scopes())["scopes"] == ()
        with budget(calls=5, name="block"):
            (scope,) = attribute({}, CallRecord(clock), current_scopes())["scopes"]
    assert scope.account == "block"


def test_it_goes_into_threads_and_tasks_and_with_what_a_budgeted_function_gives_back():
    seen = []

    @budgeted(calls=5, name="later")
    def later():
        yield who()[0]

    async def main():
        async with attributed(user="ana"):
            seen.append(await anyio.to_thread.run_sync(who))
        return seen

    with attributed(user="ana"):
        thread = threading.Thread(target=lambda: seen.append(who()))
        thread.start()
        thread.join()
        steps = later()
    assert list(steps) == ["ana"]
    assert anyio.run(main) == [("ana", None, None)] * 2


def test_what_is_found_out_later_holds_for_what_was_started_before():
    found, gate = [], threading.Event()

    def work():
        gate.wait(30)
        found.append(who())

    with attributed(feature="page"):
        thread = threading.Thread(target=work)
        thread.start()
        identify(user=UUID(int=5), tenant="acme")
        identify(tenant="other")
        gate.set()
        thread.join()
    assert found == [(str(UUID(int=5)), "other", "page")]


def test_a_block_that_is_entered_twice_keeps_nothing_of_what_was_found_out():
    block = attributed(feature="page")
    with block:
        identify(user="ana")
        with block:
            assert who() == ("ana", None, "page")
            identify(user="ben")
            assert who()[0] == "ben"
        assert who()[0] == "ana"
    with block:
        assert who() == (None, None, "page")
    assert current_scopes() == ()
    assert repr(block) == "attributed(user=None, tenant=None, feature='page')"


def test_mistakes_are_explained():
    with pytest.raises(ConfigurationError, match="user= gave ''"):
        attributed(user="")
    with pytest.raises(ConfigurationError, match="tenant= gave a dict"):
        attributed(tenant={})
    with pytest.raises(ConfigurationError, match="there is none around this: put inferkit's middleware"):
        identify(user="ana")


def test_under_an_sdk_it_makes_no_budget_of_what_is_no_model_call(caplog):
    with (
        Client(providers={"f": FakeProvider()}, models={"a": "f:m"}, ledger=False, cache=False) as llm,
        http_client(llm) as client,
        attributed(user="ana"),
        pytest.raises(Exception, match="(?i)connect"),
    ):
        client.post("http://127.0.0.1:1/v1/images/generations", json={})
    assert "past cache, budgets and retries" in caplog.text


def test_calls_are_booked_for_whom_they_were_made(tmp_path):
    settings = {"providers": {"f": FakeProvider()}, "models": {"a": "f:m"}, "home": tmp_path, "cache": False}
    with Client(**settings) as llm:
        with attributed(user="ana", tenant="acme", feature="search"), llm.stream("Hi") as stream:
            stream.text  # noqa: B018
        llm.embed("a", "Hi", user="ben")
        entries = {entry.charge.attribution[:3] for entry in llm.ledger.entries()}
    assert entries == {("ana", "acme", "search"), ("ben", None, None)}
