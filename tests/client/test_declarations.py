"""What a setting and a call option declare: it is what is checked, what `help` and the docs say, and what is sent."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import sys
from pathlib import Path

import pytest

from inferkit import AsyncClient, Budget, Cache, Client, ConfigurationError, Price, Request
from inferkit.budgets.arguments import BudgetFields
from inferkit.caching.memory import MemoryTier
from inferkit.client.declarations import UNSET
from inferkit.client.embed_options import EMBED_OPTIONS
from inferkit.client.options import OPTIONS, read_options
from inferkit.client.settings import SETTINGS, read_settings
from inferkit.testing import FakeProvider

AT_THE_DOOR = {"timeout", "budget", "cache", "cache_tags", "schema", "repair", "concurrency"}
# a deadline, one of the scopes, and extensions
NOT_ASKED = {
    "model", "messages",  # who is asked what
    "operation",  # the method that is called
    "runtime", "record", "stream",  # how it travels
    "scopes", "deadline", "response_schema",  # what is made of options, and of what is around the call
    "provider", "candidates", "target", "others_left",  # what stands behind the name
    "attempt", "attempt_kind", "span",  # where it is
}  # fmt: skip
BAR = r"\|"  # one that does not end a cell
PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_what_is_asked_for_is_a_field_of_the_request_and_the_other_way_round():
    fields = {each.name for each in dataclasses.fields(Request)}
    asked = OPTIONS.keys() | EMBED_OPTIONS.keys()
    assert fields == (asked - AT_THE_DOOR) | NOT_ASKED
    assert not asked & NOT_ASKED


def test_an_option_that_is_not_given_leaves_the_default_of_the_request():
    (request,) = asked_of_a_provider({})
    for name in OPTIONS.keys() - AT_THE_DOOR:
        assert not getattr(request, name), name


def test_the_fields_of_a_budget_are_its_arguments():
    types = {name: each.__forward_arg__ for name, each in BudgetFields.__annotations__.items()}
    assert types == {each.name: each.type for each in dataclasses.fields(Budget) if each.init}


@pytest.mark.parametrize("declared", [OPTIONS, EMBED_OPTIONS, SETTINGS])
def test_everything_declared_says_what_it_is(declared):
    for name, one in declared.items():
        assert one.meaning.endswith("."), name
        assert one.expected, name
        assert one.otherwise or one.default is not UNSET, name
        if one.default is not UNSET:
            assert one.check(one.default), name


def test_defaults_stand_where_nothing_was_given():
    settings = read_settings({"max_retries": None, "home": None})
    assert settings == {name: one.default for name, one in SETTINGS.items() if one.default is not UNSET}
    assert read_settings({"max_retries": 0})["max_retries"] == 0


@pytest.mark.parametrize("name", ["temperature", "top_p"])
def test_equal_numbers_are_one_number(name):
    for value in (0, 0.0, -0.0):
        (read,) = read_options({name: value}).values()
        assert type(read) is float
        assert math.copysign(1, read) == 1


def test_equal_calls_share_a_cached_reply_however_their_numbers_are_written():
    calls = [{"temperature": 0, "top_p": 1}, {"temperature": 0.0, "top_p": 1.0}, {"temperature": -0.0, "top_p": 1.0}]
    assert len(asked_of_a_provider(*calls, cache=Cache(MemoryTier()))) == 1


def test_a_number_beyond_all_bounds_is_explained():
    for value in (10**400, math.inf):
        with pytest.raises(ConfigurationError, match="temperature is a number from 0"):
            read_options({"temperature": value})


def test_what_a_caller_changes_afterwards_reaches_no_call():
    given = {"stop": ["a"], "extensions": {"a": 1}}
    read = read_options(given)
    given["stop"].append("b")
    given["extensions"]["b"] = 2
    assert read == {"stop": ("a",), "extensions": {"a": 1}}


def test_no_call_sees_what_a_layer_wrote_into_another():
    def writes(request, call_next):
        request.extra["seen"] = request.extensions["seen"] = len(request.extra)
        return call_next(request)

    requests = asked_of_a_provider({}, {}, layers=[writes])
    assert [request.extra["seen"] for request in requests] == [0, 0]


def test_help_lists_everything():
    for client in (Client, AsyncClient):
        assert client.__doc__.count("\n- `") == len(SETTINGS)
        for function in (client.complete, client.stream):
            for name, one in OPTIONS.items():
                assert f"- `{name}`: {one.meaning}" in function.__doc__
        for name, one in EMBED_OPTIONS.items():
            assert f"- `{name}`: {one.meaning}" in client.embed.__doc__


@pytest.mark.parametrize(
    ("heading", "declared"),
    [
        ("Settings of a client", SETTINGS),
        ("Options of a call", OPTIONS),
        ("Options of a call for embeddings", {n: one for n, one in EMBED_OPTIONS.items() if n not in OPTIONS}),
    ],
)
def test_the_docs_say_what_is_declared(heading, declared):
    text = PAGE.read_text(encoding="utf-8")
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("| `")]
    assert table == [
        f"| `{name}` | {one.meaning} | {one.expected.replace('|', BAR)} | {one.without} |"
        for name, one in declared.items()
    ], "the tables of docs/settings.md are made of what is declared in client/settings.py and client/options.py"


def asked_of_a_provider(*calls, **settings):
    provider = FakeProvider()
    settings = {"ledger": False, "cache": False, **settings}
    with Client(providers={"f": provider}, models={"any": "f:m"}, **settings) as client:
        for options in calls:
            client.complete("hi", **options)
    return provider.requests


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_help_says_what_is_not_given_by_a_name(client):
    for method in (client.complete, client.stream):
        parameters = inspect.signature(method).parameters
        assert {repr(parameters[name].default) for name in ("first", "second", "model", "messages")} == {"NOT_GIVEN"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"providers": {"fake": FakeProvider("Hi"), "mine": FakeProvider}}, 'got the class FakeProvider for "mine"'),
        ({"limits": {"fake:*": 5}}, 'got 5 for "fake:*"'),
        ({"budget": {"usd": 5}}, "got a dict"),
    ],
)
def test_of_several_entries_the_one_that_makes_no_sense_is_named(settings, words):
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        read_settings(settings)


def test_an_empty_text_is_told_from_a_text():
    with pytest.raises(ConfigurationError, match="user is a text that is valid and not empty.*; got an empty text"):
        read_options({"user": ""})


@pytest.mark.parametrize("nowhere", [math.nan, math.inf])
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [{"b": (1, value)}]])
def test_what_json_has_no_word_for_is_refused_before_a_server_is_sent_it(nowhere, wrap):
    with pytest.raises(ConfigurationError, match='extra is a dictionary of parameters, with no nan.* for "top_a"'):
        read_options({"extra": {"good": {"a": [0.5, None]}, "top_a": wrap(nowhere)}})


def test_parameters_that_hold_themselves_end_in_an_error():
    endless = {}
    endless["again"] = endless
    with (
        Client(providers={"fake": FakeProvider("Hi")}, cache=False, ledger=False) as llm,
        pytest.raises(ConfigurationError),
    ):
        llm.complete("fake:m", "Hi", extra=endless, tools="no tools")


def test_a_limit_of_the_reply_beyond_all_replies_is_no_damaged_ledger(tmp_path):
    settings = {"providers": {"fake": FakeProvider("Hi")}, "prices": {"fake:*": Price("1", "2")}, "home": tmp_path}
    with Client(**settings, budget=Budget(usd="5", per="day", name="all"), cache=False) as llm:
        with pytest.raises(ConfigurationError, match="max_output_tokens is a whole number from 1 to 2,147,483,647"):
            llm.complete("fake:m", "Hi", max_output_tokens=sys.maxsize)
        assert llm.complete("fake:m", "Hi", max_output_tokens=2**31 - 1).text == "Hi"
