import collections
import dataclasses
import enum
import os
import subprocess
import sys

import pytest
from hypothesis import given, strategies as st

from caching.replies import ask, stands_for
from inferkit.caching.keys import KEYED_FIELDS, NOT_IN_KEY, cache_key
from inferkit.core.messages import (
    ImagePart,
    Message,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from inferkit.core.record import CallRecord
from inferkit.core.request import Request
from inferkit.runtime import clock
from inferkit.runtime.direct import DirectRuntime

# Whoever adds a field to Request decides here: does it change the answer, or does the key ignore it (NOT_IN_KEY)?
CHANGES_THE_ANSWER = {
    "model": "smart",
    "messages": (Message.user("Where is my parcel?"),),
    "max_output_tokens": 5,
    "temperature": 0.5,
    "top_p": 0.5,
    "seed": 1,
    "stop": ("END",),
    "tools": (Tool("search"),),
    "tool_choice": "auto",
    "response_schema": {"type": "object"},
    "grammar": 'root ::= "yes" | "no"',
    "reasoning_effort": "low",
    "logprobs": True,
    "top_logprobs": 3,
    "prediction": "Dear Ana,",
    "dimensions": 256,
    "task": "query",
    "extra": {"logit_bias": {"50256": -100}},
    "provider": "openai",
    "operation": "embed",
    "tenant": "acme",
}
DOES_NOT = {
    "runtime": DirectRuntime(),
    "record": CallRecord(clock),
    "stream": True,
    "scopes": ("user:alice",),
    "user": "alice",
    "feature": "search",
    "plan": "pro",
    "prompt_cache_key": "support",
    "prompt_cache_retention": "24h",
    "deadline": 12.5,
    "priority": 7,
    "others_left": True,
    "attempt": 3,
    "attempt_kind": "retry",
    "target": object(),
    "span": object(),
    "extensions": {"mine": object()},
    "candidates": stands_for(),
}


def key(**fields):
    request = ask()
    return cache_key(request.replace(**{"candidates": request.candidates} | fields))


def test_every_field_of_a_request_is_decided_upon():
    names = {field.name for field in dataclasses.fields(Request)}
    assert names == CHANGES_THE_ANSWER.keys() | DOES_NOT.keys()
    assert set(KEYED_FIELDS) == CHANGES_THE_ANSWER.keys()
    assert DOES_NOT.keys() == NOT_IN_KEY


@pytest.mark.parametrize("name", CHANGES_THE_ANSWER)
def test_a_field_that_can_change_the_answer_changes_the_key(name):
    assert key(**{name: CHANGES_THE_ANSWER[name]}) != key()


@pytest.mark.parametrize("name", DOES_NOT)
def test_a_field_that_cannot_change_the_answer_leaves_the_key(name):
    assert key(**{name: DOES_NOT[name]}) == key()


def test_what_stands_behind_the_name_changes_the_key():
    one, other = stands_for("https://a|cred1"), stands_for("https://a|cred2")
    assert len({key(candidates=each) for each in (one, other, one + other, other + one)}) == 4
    assert key(candidates=one) == key(candidates=stands_for("https://a|cred1"))


def test_values_of_different_types_have_different_keys():
    values = [1, 1.0, True, "1", b"1", None, [1], {"1": 1}, [], {}, "", 0, 0.0, -0.0, False, "True"]
    assert len({key(extra={"x": value}) for value in values}) == len(values)


def test_the_order_of_mappings_does_not_matter_and_that_of_sequences_does():
    assert key(extra={"a": 1, "b": {"c": 2, "d": 3}}) == key(extra={"b": {"d": 3, "c": 2}, "a": 1})
    assert key(extra={"a": [1, 2]}) != key(extra={"a": [2, 1]})
    assert key(extra=collections.OrderedDict(a=1)) == key(extra={"a": 1})
    assert key(extra={"a": (1, 2)}) == key(extra={"a": [1, 2]})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((TextPart("a"), TextPart("b")), (TextPart("ab"),)),
        ((TextPart("ab"), TextPart("c")), (TextPart("a"), TextPart("bc"))),
        ((TextPart("a"),), (ReasoningPart("a"),)),
        ((ReasoningPart("a"),), (ReasoningPart("a", "seal"),)),
        ((ImagePart(url="u"),), (ImagePart(data=b"u", media_type="image/png"),)),
        (
            (ImagePart(data=b"u", media_type="image/jpeg"),),
            (ImagePart(data=b"u", media_type="image/png"),),
        ),
        ((TextPart("a"),), (RefusalPart("a"),)),
        ((TextPart("a"),), (TextPart("a", {"cache_control": {"type": "ephemeral"}}),)),
        ((TextPart("a", {"x": 1}),), (TextPart("a", {"x": 2}),)),
        ((ImagePart(url="u"),), (ImagePart(url="u", detail="low"),)),
        ((OpaquePart("audio", {"id": "a"}),), (OpaquePart("audio", {"id": "b"}),)),
        ((ToolCallPart("1", "f", "{}"),), (ToolResultPart("1", "f"),)),
        ((ToolResultPart("1", "no"),), (ToolResultPart("1", "no", is_error=True),)),
    ],
)
def test_messages_that_differ_only_in_their_parts_have_different_keys(one, other):
    assert key(messages=(Message("user", one),)) != key(messages=(Message("user", other),))


def test_the_same_words_in_another_turn_or_role_have_another_key():
    user, assistant = Message.user("a"), Message.assistant("a")
    whole = {key(messages=turns) for turns in [(user,), (assistant,), (user, user), (user, assistant)]}
    assert len(whole) == 4
    assert key(messages=(user,)) != key(messages=(Message("user", user.parts, {"name": "ana"}),))


def test_every_property_of_a_tool_counts():
    tools = [
        Tool("f"),
        Tool("g"),
        Tool("f", "described"),
        Tool("f", parameters={"type": "object"}),
        Tool("f", strict=True),
        Tool("f", strict=False),
        Tool("f", extra={"cache_control": {}}),
    ]
    assert len({key(tools=(tool,)) for tool in tools}) == len(tools)


def test_an_enumeration_counts_as_what_is_sent_for_it():
    class Effort(enum.StrEnum):
        LOW = "low"

    class Level(enum.IntEnum):
        ONE = 1

    class Share(float, enum.Enum):
        HALF = 0.5

    assert key(extra={"e": Effort.LOW, "l": Level.ONE, "s": Share.HALF}) == key(extra={"e": "low", "l": 1, "s": 0.5})


def _cycle():
    cycle = []
    cycle.append(cycle)
    return cycle


def _deep():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    return deep


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, {1: "x"}, {1: "x", "1": "y"}, bytearray(b"x"), 1j, _cycle()],
    ids=["object", "set", "int key", "mixed keys", "bytearray", "complex", "cycle"],
)
def test_a_value_that_cannot_be_encoded_gives_no_key(value):
    assert key(extra={"x": value}) is None
    assert key(extra={"x": [{"y": value}]}) is None


def test_a_value_that_is_nested_beyond_reason_gives_no_key():
    assert key(extra={"x": _deep()}) is None


def test_words_that_are_no_valid_unicode_have_a_key():
    assert key(messages=(Message.user("\ud800"),)) is not None


def test_the_key_is_the_same_in_another_process():
    code = (
        "from caching.replies import ask; from inferkit.caching.keys import cache_key;"
        "print(cache_key(ask(extra={'b': 1, 'a': {'y': 2, 'x': None}})).hex())"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    keys = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    here = cache_key(ask(extra={"a": {"x": None, "y": 2}, "b": 1}))
    assert keys == {here.hex() + "\n"}


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def _spelled(value):
    """Write a value so that it is equal to another one's spelling only if both mean the same."""
    if isinstance(value, dict):
        return ("dict", sorted((name, _spelled(item)) for name, item in value.items())).__repr__()
    if isinstance(value, list):
        return ("list", [_spelled(item) for item in value]).__repr__()
    return f"{type(value).__name__} {value!r}"


@given(_values, _values)
def test_two_values_share_a_key_only_if_they_mean_the_same(one, other):
    assert (key(extra={"x": one}) == key(extra={"x": other})) == (_spelled(one) == _spelled(other))
