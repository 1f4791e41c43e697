"""Every field that moves cost is declared, the documentation says the same, and a budget keeps to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import ImagePart, Message
from inferkit.core.request import Target
from inferkit.pricing.terms import PLAIN, Becomes, Terms, WireField, refuse_always, terms_under_budget
from inferkit.providers.endpoints import Endpoint
from inferkit.providers.openai_chat import OpenAIChat
from inferkit.providers.wires.chat.fields import COST_RULES
from inferkit.testing import make_request

PAGE = Path(__file__).parents[4] / "docs" / "chat-fields.md"
FIELDS = COST_RULES.fields
OPENAI = OpenAIChat(api_key="x")


OF_OPENAI = {
    "model",
    "stream",
    "user",
    "store",
    "stream_options",
    "reasoning_effort",
    "metadata",
    "audio",
    "top_p",
    "temperature",
    "max_tokens",
    "modalities",
    "functions",
    "logit_bias",
    "prompt_cache_options",
    "logprobs",
    "prompt_cache_retention",
    "tool_choice",
    "max_completion_tokens",
    "messages",
    "service_tier",
    "function_call",
    "n",
    "frequency_penalty",
    "safety_identifier",
    "tools",
    "presence_penalty",
    "parallel_tool_calls",
    "top_logprobs",
    "verbosity",
    "prompt_cache_key",
    "seed",
    "web_search_options",
    "response_format",
    "prediction",
    "stop",
}


def under_budget(extra, adapter=OPENAI):
    request = make_request().replace(candidates=(Target("openai", "m", adapter),), extra=extra)
    return terms_under_budget(request)


def rows(title):
    """Give the rows of a table of the page, by the names in their first column."""
    section = PAGE.read_text().split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    table = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    found = {}
    for names, becomes, says in table:
        for name in re.findall(r"`(\w+)`", names):
            assert name not in found, "each has one row"
            found[name] = (becomes.strip(), says.strip())
    return found


@pytest.mark.parametrize(("title", "declared"), [("In `extra=`", FIELDS), ("In messages and tools", COST_RULES.within)])
def test_the_documentation_says_what_the_wire_declares(title, declared):
    assert rows(title) == {name: (each.becomes, each.says) for name, each in declared.items()}


def test_every_field_of_openais_own_request_is_declared():
    assert OF_OPENAI - FIELDS.keys() == set()


def test_every_declaration_is_one_of_those_that_are_explained():
    said = PAGE.read_text().split("## In", 1)[0]
    for becomes in get_args(Becomes):
        assert f"| {becomes} |" in said
    assert {each.becomes for each in FIELDS.values()} == {*get_args(Becomes)}
    assert all(each.says for each in FIELDS.values())


def named(*becomes):
    return [name for name, each in FIELDS.items() if each.becomes in becomes]


@pytest.mark.parametrize("name", named("free", "measured", "capped"))
def test_what_moves_no_more_than_is_held_passes(name):
    assert under_budget({name: "anything"}) is PLAIN
    refuse_always({name: "anything"}, COST_RULES)


@pytest.mark.parametrize("name", named("option", "refused", "refused under a budget"))
def test_what_may_move_more_is_refused_under_a_budget_in_any_odd_shape(name):
    for value in ("x", 7, [7], {"include_usage": 7}, True):
        with pytest.raises(ConfigurationError, match=name):
            under_budget({name: value})


@pytest.mark.parametrize("name", named("option", "refused"))
def test_what_a_call_cannot_ask_for_is_refused_without_a_budget_too(name):
    for value in (2, "2", [2], True, {"x": 1}):
        with pytest.raises(ConfigurationError, match=name):
            refuse_always({name: value}, COST_RULES)


@pytest.mark.parametrize("name", named("refused under a budget"))
def test_without_a_budget_it_is_for_the_caller_to_say(name):
    refuse_always({name: "x"}, COST_RULES)


@pytest.mark.parametrize("name", named("priced"))
@pytest.mark.parametrize("value", [7, [7], {"ttl": "9h"}, True])
def test_what_is_priced_is_refused_where_it_is_not_understood(name, value):
    if FIELDS[name].reads(value) and FIELDS[name].reads(value).unmeasured:
        assert under_budget({name: value}).unmeasured == name
        return
    if name == "audio" and isinstance(value, dict):
        return
    with pytest.raises(ConfigurationError, match=name):
        under_budget({name: value})


LENGTHS = ["max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "n_predict", "num_predict"]


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("value", [100_000, None, -1])
def test_another_limit_of_the_reply_is_refused_with_the_option_that_is_meant(name, value):
    with pytest.raises(ConfigurationError, match="max_output_tokens="):
        under_budget({name: value})


@pytest.mark.parametrize(
    ("extra", "terms"),
    [
        ({"n": 1, "best_of": None, "use_beam_search": False, "enable_search": False}, PLAIN),
        ({"service_tier": None, "speed": None, "inference_geo": None, "modalities": None, "audio": None}, PLAIN),
        ({"tools": None, "cache_control": None, "prompt_cache_options": None}, PLAIN),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, PLAIN),
        ({"stream_options": {"include_obfuscation": False}}, PLAIN),
        ({"modalities": ["text"]}, PLAIN),
        ({"cache_control": {"type": "ephemeral"}}, PLAIN),
        ({"cache_control": {"type": "ephemeral", "ttl": "5m"}}, PLAIN),
        ({"prompt_cache_options": {"mode": "auto", "ttl": "30m"}}, PLAIN),
        ({"service_tier": "flex", "speed": "fast", "inference_geo": "us"}, Terms("flex", "fast", "us")),
        ({"modalities": ["text", "audio"]}, Terms(kinds=frozenset({"output_audio"}))),
        ({"audio": {"voice": "alloy"}}, Terms(kinds=frozenset({"output_audio"}))),
        ({"cache_control": {"ttl": "1h"}}, Terms(kinds=frozenset({"cache_write_1h"}))),
        ({"prompt_cache_options": {"ttl": "12h"}}, Terms(kinds=frozenset({"cache_write_12h"}))),
    ],
)
def test_values_that_are_understood_pass(extra, terms):
    assert under_budget(extra) == terms


@pytest.mark.parametrize(
    "extra",
    [
        {"modalities": ["text", "image"]},
        {"modalities": "audio"},
        {"stream_options": None},
        {"stream_options": {"include_usage": False}},
        {"tools": [{"type": "web_search"}, {"type": "function"}]},
        {"n": True},
        {"n": [1]},
        {"best_of": 1.5},
        {"cache_control": {"ttl": "2h"}},
    ],
)
def test_values_that_may_cost_more_are_refused(extra):
    with pytest.raises(ConfigurationError, match=next(iter(extra))):
        under_budget(extra)


def test_a_server_can_name_fields_of_its_own_that_are_free():
    server = OpenAIChat(api_key="x", base_url="http://localhost:1/v1", free_fields=("kv_transfer_params", "provider"))
    assert under_budget({"kv_transfer_params": {}, "provider": {"order": ["a"]}}, server) is PLAIN
    with pytest.raises(ConfigurationError, match="made_up"):
        under_budget({"made_up": 1}, server)
    assert "provider" in FIELDS
    assert FIELDS["provider"].becomes == "refused under a budget", "only there"
    assert Endpoint("a", "http://a").free_fields == ()


@pytest.mark.parametrize(
    ("extra", "terms"),
    [
        ({"image_url": {"format": "image/png"}}, PLAIN),
        ({"image_url": {"url": "https://a/b.png"}}, Terms(unmeasured="image_url")),
        ({"image_url": {"detail": "high"}}, Terms(unmeasured="image_url")),
        ({"image_url": "https://a/b.png"}, Terms(unmeasured="image_url")),
    ],
)
def test_what_else_is_said_of_an_image_passes_and_another_image_does_not(extra, terms):
    message = Message.user("hi", ImagePart(url="https://a/a.png", extra=extra))
    request = make_request().replace(candidates=(Target("openai", "m", OPENAI),), messages=(message,))
    assert terms_under_budget(request) == terms


def test_a_prediction_is_refused_under_a_budget_as_an_option_too():
    request = make_request().replace(candidates=(Target("openai", "m", OPENAI),), prediction="Dear Ana,")
    with pytest.raises(ConfigurationError, match="cannot cover 'prediction'"):
        terms_under_budget(request)
    nobody = type("Nobody", (), {})()
    with pytest.raises(ConfigurationError, match="whether 'prediction' moves its cost"):
        terms_under_budget(request.replace(candidates=(Target("mine", "m", nobody),)))


def test_every_candidate_has_its_say():
    request = make_request().replace(extra={"top_k": 5})
    nobody = type("Nobody", (), {})()
    with pytest.raises(ConfigurationError, match="cost_rules"):
        terms_under_budget(request.replace(candidates=(Target("openai", "m", OPENAI), Target("mine", "m", nobody))))


def test_a_field_without_a_reader_keeps_its_word():
    assert WireField("free").reads is None
