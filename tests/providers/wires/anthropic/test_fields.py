"""Every field of the Anthropic wire is declared, the documentation says the same, and a budget keeps to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inferkit import Anthropic
from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import ImagePart, Message, OpaquePart
from inferkit.core.request import Target
from inferkit.pricing.terms import PLAIN, Terms, refuse_always, terms_under_budget
from inferkit.providers.wires.anthropic.fields import COST_RULES
from inferkit.testing import make_request

PAGE = Path(__file__).parents[4] / "docs" / "anthropic.md"
FIELDS = COST_RULES.fields
CLAUDE = Anthropic(api_key="x")


def under_budget(extra, *messages):
    request = make_request().replace(candidates=(Target("anthropic", "m", CLAUDE),), extra=extra)
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


def test_every_field_of_anthropics_own_request_is_declared():
    params = pytest.importorskip("anthropic").types.message_create_params
    own = {*params.MessageCreateParamsStreaming.__annotations__, *params.MessageCreateParamsBase.__annotations__}
    assert own - FIELDS.keys() == set()


def named(*becomes):
    return [name for name, each in FIELDS.items() if each.becomes in becomes]


@pytest.mark.parametrize("name", named("free", "measured", "capped"))
def test_what_moves_no_more_than_is_held_passes(name):
    assert under_budget({name: "anything"}) is PLAIN


@pytest.mark.parametrize("name", named("option", "refused under a budget"))
def test_what_may_move_more_is_refused_under_a_budget(name):
    for value in ("x", 7, [7], [{"type": "web_search_20260318"}]):
        with pytest.raises(ConfigurationError, match=name):
            under_budget({name: value})


@pytest.mark.parametrize("name", named("option"))
def test_what_a_call_cannot_ask_for_is_refused_without_a_budget_too(name):
    with pytest.raises(ConfigurationError, match=name):
        refuse_always({name: "x"}, COST_RULES)


@pytest.mark.parametrize(
    ("extra", "terms"),
    [
        ({"speed": "fast"}, Terms(speed="fast")),
        ({"service_tier": "auto"}, Terms(service_tier="auto")),
        ({"inference_geo": "us"}, Terms(region="us")),
        ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, Terms(kinds=frozenset({"cache_write_1h"}))),
        ({"cache_control": {"type": "ephemeral"}}, PLAIN),
        ({"container": "c"}, Terms(unmeasured="container")),
        ({"tools": [{"name": "find", "input_schema": {}}, {"type": "custom", "name": "x"}]}, PLAIN),
        ({"tools": None}, PLAIN),
    ],
)
def test_what_is_priced_is_understood(extra, terms):
    assert under_budget(extra) == terms


@pytest.mark.parametrize(
    "extra",
    [{"cache_control": {"ttl": "9h"}}, {"speed": 7}, {"service_tier": []}, {"inference_geo": 1}, {"tools": "x"}],
)
def test_what_is_not_understood_is_refused(extra):
    with pytest.raises(ConfigurationError):
        under_budget(extra)


@pytest.mark.parametrize(
    ("kind", "block", "what"),
    [
        ("document", {"source": {"type": "url", "url": "https://a.test/x.pdf"}}, "source"),
        ("document", {"source": {"type": "file", "file_id": "f"}}, "file_id"),
        ("document", {"source": {"type": "content", "content": "It is all here."}}, None),
        ("document", {"source": {"type": "content", "content": [{"source": {"type": "url"}}]}}, "source"),
        ("search_result", {"source": "https://a.test", "content": [{"type": "text", "text": "It is all here."}]}, None),
    ],
)
def test_what_nobody_here_can_measure_is_held_for(kind, block, what):
    part = OpaquePart(kind, {"type": kind, **block}, "anthropic")
    assert under_budget({}, Message("user", (part,))).unmeasured == what


def test_an_image_that_is_in_the_request_is_measured():
    pixels = ImagePart(data=b"x", media_type="image/png", extra={"anthropic": {"source": {"type": "base64"}}})
    assert under_budget({}, Message("user", (pixels,))) is PLAIN
