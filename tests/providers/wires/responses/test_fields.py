"""Every field of the Responses wire is declared, the documentation says the same, and a budget keeps to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inferkit import OpenAIResponses
from inferkit.caching.keys import cache_key
from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import FilePart, Message, OpaquePart, ReasoningPart, TextPart
from inferkit.core.request import Target
from inferkit.pricing.terms import PLAIN, Terms, refuse_always, terms_under_budget
from inferkit.providers.wires.responses.fields import COST_RULES
from inferkit.testing import make_request

PAGE = Path(__file__).parents[4] / "docs" / "responses.md"
FIELDS = COST_RULES.fields
OPENAI = OpenAIResponses(api_key="x")


def under_budget(extra, *messages):
    request = make_request().replace(candidates=(Target("openai-responses", "m", OPENAI),), extra=extra)
    return terms_under_budget(request.replace(messages=messages) if messages else request)


def rows(title):
    """Give the rows of a table of the page, by the names in their first column."""
    section = re.split(r"\n##+ ", PAGE.read_text().split(f"{title}\n", 1)[1], maxsplit=1)[0]
    table = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return {
        name: (becomes.strip(), says.strip())
        for names, becomes, says in table
        for name in re.findall(r"`(\w+)`", names)
    }


@pytest.mark.parametrize(
    ("title", "declared"),
    [("## What becomes of its fields under a budget", FIELDS), ("### In messages and tools", COST_RULES.within)],
)
def test_the_documentation_says_what_the_wire_declares(title, declared):
    assert rows(title) == {name: (each.becomes, each.says) for name, each in declared.items()}


def test_every_field_of_openai_s_own_request_is_declared():
    pytest.importorskip("openai")
    from openai.types.responses import response_create_params as params

    own = {
        *params.ResponseCreateParamsBase.__annotations__,
        *params.ResponseCreateParamsStreaming.__annotations__,
        *params.ResponseCreateParamsNonStreaming.__annotations__,
    }
    assert len(own) > 30
    assert own - FIELDS.keys() == set()


def named(*becomes):
    return [name for name, each in FIELDS.items() if each.becomes in becomes]


@pytest.mark.parametrize("name", named("free", "capped"))
def test_what_moves_no_more_than_is_held_passes(name):
    assert under_budget({name: "anything"}) is PLAIN


@pytest.mark.parametrize("name", named("option", "refused", "refused under a budget"))
def test_what_may_move_more_is_refused_under_a_budget(name):
    for value in ("x", 7, [7], [{"type": "web_search"}]):
        with pytest.raises(ConfigurationError, match=name):
            under_budget({name: value})


@pytest.mark.parametrize("name", named("option", "refused"))
def test_what_a_call_cannot_ask_for_is_refused_without_a_budget_too(name):
    with pytest.raises(ConfigurationError, match=name):
        refuse_always({name: "x"}, COST_RULES)


@pytest.mark.parametrize(
    ("extra", "terms"),
    [
        ({"service_tier": "flex"}, Terms(service_tier="flex")),
        ({"prompt_cache_options": {"ttl": "12h"}}, Terms(kinds=frozenset({"cache_write_12h"}))),
        ({"prompt_cache_options": {"mode": "explicit", "ttl": "30m"}}, PLAIN),
        ({"previous_response_id": "resp_1"}, Terms(unmeasured="previous_response_id")),
        ({"conversation": {"id": "conv_1"}}, Terms(unmeasured="conversation")),
        ({"tools": [{"type": "function", "name": "find"}, {"type": "custom", "name": "x"}]}, PLAIN),
        ({"reasoning": {"summary": "auto", "mode": "standard"}}, PLAIN),
        ({"background": False, "background_options": None}, PLAIN),
    ],
)
def test_what_is_priced_is_understood(extra, terms):
    assert under_budget(extra) == terms


@pytest.mark.parametrize(
    "extra",
    [
        {"prompt_cache_options": {"ttl": "9h"}},
        {"service_tier": []},
        {"tools": "x"},
        {"reasoning": {"mode": "pro"}},
    ],
)
def test_what_is_not_understood_is_refused(extra):
    with pytest.raises(ConfigurationError):
        under_budget(extra)


@pytest.mark.parametrize(
    ("part", "what"),
    [
        (OpaquePart("compaction", {"type": "compaction", "encrypted_content": "x"}, "responses"), "encrypted_content"),
        (OpaquePart("item_reference", {"type": "item_reference", "id": "x"}, "responses"), "item_reference"),
        (OpaquePart("input_image", {"type": "input_image", "file_id": "x"}, "responses"), "file_id"),
        (FilePart(url="https://a.test/x.pdf"), "file"),
        (OpaquePart("web_search_call", {"type": "web_search_call", "id": "ws_1"}, "responses"), "web_search_call"),
        (
            OpaquePart("computer_call_output", {"output": {"image_url": "https://a.test/x.png"}}, "responses"),
            "image_url",
        ),
        (
            OpaquePart("computer_call_output", {"output": {"image_url": "data:image/png;base64,eA=="}}, "responses"),
            None,
        ),
    ],
)
def test_what_nobody_here_can_measure_is_held_for(part, what):
    assert under_budget({}, Message("user", (part,))).unmeasured == what


def test_reasoning_that_the_server_keeps_is_held_for_where_it_is_sent_by_its_id_alone():
    by_id = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
    sealed, whole = by_id | {"encrypted_content": "x"}, by_id | {"content": [{"type": "reasoning_text", "text": "Hm."}]}
    for extra in ({"store": True}, {"responses": {"store": True}}):
        assert under_budget(extra, OPENAI.wire.read_message(by_id, 0)).unmeasured == "reasoning"
        for item in (sealed, whole):
            assert under_budget(extra, OPENAI.wire.read_message(item, 0)).unmeasured is None
        assert under_budget(extra, Message("assistant", (ReasoningPart("Hm."),))).unmeasured is None
    for extra in ({}, {"store": False}):  # it is left out then
        assert under_budget(extra, OPENAI.wire.read_message(by_id, 0)).unmeasured is None


def test_a_mark_in_the_prompt_is_priced_by_how_long_it_is_kept():
    part = TextPart("Long.", {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}})
    assert under_budget({}, Message("user", (part,))).kinds == {"cache_write_12h"}


def test_what_the_provider_keeps_is_part_of_a_reply_s_key_and_what_grows_there_has_none():
    keys = {
        cache_key(make_request().replace(candidates=(Target("openai-responses", "m", OPENAI),), extra=extra))
        for extra in ({}, {"previous_response_id": "resp_1"}, {"previous_response_id": "resp_2"})
    }
    assert len(keys) == 3
    assert None not in keys
    for extra in ({"conversation": "conv_1"}, {"responses": {"conversation": "conv_1"}}):
        assert cache_key(make_request().replace(extra=extra)) is None
    for extra in ({"responses": {"store": True}}, {"responses": None}, {"mine": {"conversation": "x"}}):
        assert cache_key(make_request().replace(extra=extra)) is not None
