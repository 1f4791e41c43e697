"""Every field of the Gemini wire is declared, the documentation says the same, and a budget keeps to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inferkit import Gemini
from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import AudioPart, FilePart, ImagePart, Message, OpaquePart, TextPart, ToolResultPart
from inferkit.core.request import Target
from inferkit.pricing.terms import PLAIN, Terms, refuse_always, terms_under_budget
from inferkit.providers.wires.gemini.fields import COST_RULES, GENERATION
from inferkit.testing import make_request

PAGE = Path(__file__).parents[4] / "docs" / "gemini.md"
FIELDS = COST_RULES.fields
GOOGLE = Gemini(api_key="x")
OF_THE_SDK = {"httpOptions", "shouldReturnHttpResponse", "automaticFunctionCalling", "automaticContinuation"}


def under_budget(extra, *messages):
    request = make_request().replace(candidates=(Target("gemini", "m", GOOGLE),), extra=extra)
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
    [
        ("## What becomes of its fields under a budget", FIELDS),
        ("### In `generationConfig`", GENERATION),
        ("### In messages and tools", COST_RULES.within),
    ],
)
def test_the_documentation_says_what_the_wire_declares(title, declared):
    assert rows(title) == {name: (each.becomes, each.says) for name, each in declared.items()}


def camel(name):
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def test_every_field_of_googles_own_request_is_declared():
    types = pytest.importorskip("google.genai.types")
    renamed = {"generationOutputConfig": "outputConfig"}
    asked = {renamed.get(camel(name), camel(name)) for name in types.GenerateContentConfig.model_fields}
    assert asked - FIELDS.keys() - GENERATION.keys() == OF_THE_SDK
    assert {camel(name) for name in types.GenerationConfig.model_fields} - GENERATION.keys() == set()


def test_every_part_of_googles_own_that_may_hold_more_than_its_bytes_is_declared():
    types = pytest.importorskip("google.genai.types")
    measured = {
        "text", "thought", "thoughtSignature", "functionCall", "functionResponse", "executableCode",
        "codeExecutionResult", "partMetadata", "audioTranscription",
    }  # fmt: skip
    about_media = {
        "videoMetadata", "mediaResolution", "mediaProcessing", "speechMetadata", "documentMetadata",
        "spreadsheetMetadata", "audioMetadata",
    }  # fmt: skip
    assert {
        camel(name) for name in types.Part.model_fields
    } - measured - about_media - COST_RULES.within.keys() == set()


def named(table, *becomes):
    return [name for name, each in table.items() if each.becomes in becomes]


@pytest.mark.parametrize("name", named(FIELDS, "free", "measured", "capped"))
def test_what_moves_no_more_than_is_held_passes(name):
    assert under_budget({name: "anything"}) is PLAIN


@pytest.mark.parametrize("name", named(FIELDS, "option", "refused under a budget"))
def test_what_may_move_more_is_refused_under_a_budget(name):
    for value in ("x", 7, [7], [{"googleSearch": {}}], [{"functionDeclarations": [], "codeExecution": {}}]):
        with pytest.raises(ConfigurationError, match=name):
            under_budget({name: value})


@pytest.mark.parametrize("name", named(FIELDS, "option"))
def test_what_a_call_cannot_ask_for_is_refused_without_a_budget_too(name):
    with pytest.raises(ConfigurationError, match=name):
        refuse_always({name: "x"}, COST_RULES)


@pytest.mark.parametrize("name", named(GENERATION, "free", "measured", "capped"))
def test_what_moves_no_more_passes_within_the_configuration_too(name):
    assert under_budget({"generationConfig": {name: "anything"}}) is PLAIN


@pytest.mark.parametrize("name", [*named(GENERATION, "refused under a budget"), "max_output_tokens", "unheardOf"])
def test_the_configuration_is_no_way_round_a_budget(name):
    with pytest.raises(ConfigurationError, match="generationConfig"):
        under_budget({"generationConfig": {"topK": 1, name: 2}})


@pytest.mark.parametrize("name", ["generation_config", "cached_content", "unheard_of"])
def test_no_other_spelling_is_one_either(name):
    with pytest.raises(ConfigurationError, match=name):
        under_budget({name: {}})


@pytest.mark.parametrize(
    ("extra", "terms"),
    [
        ({"serviceTier": "flex"}, Terms(service_tier="flex")),
        ({"cachedContent": "cachedContents/1"}, Terms(unmeasured="cachedContent")),
        ({"generationConfig": None}, PLAIN),
        ({"generationConfig": {}}, PLAIN),
        ({"generationConfig": {"candidateCount": 1, "responseModalities": ["TEXT"]}}, PLAIN),
        ({"generationConfig": {"candidateCount": None, "responseModalities": None}}, PLAIN),
        ({"generationConfig": {"responseModalities": ["AUDIO"]}}, Terms(kinds=frozenset({"output_audio"}))),
        ({"tools": [{"functionDeclarations": [{"name": "f"}]}]}, PLAIN),
        ({"tools": None}, PLAIN),
    ],
)
def test_what_is_priced_is_understood(extra, terms):
    assert under_budget(extra) == terms


@pytest.mark.parametrize(
    "extra",
    [
        {"serviceTier": 7},
        {"generationConfig": 7},
        {"generationConfig": {"candidateCount": True}},
        {"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}},
        {"generationConfig": {"responseModalities": "TEXT"}},
    ],
)
def test_what_is_not_understood_is_refused(extra):
    with pytest.raises(ConfigurationError):
        under_budget(extra)


def test_what_nobody_here_can_measure_is_held_for():
    film = {"fileData": {"fileUri": "https://youtu.be/1"}}
    for part in (
        OpaquePart("fileData", film, "gemini"),
        TextPart("x", {"gemini": film}),
        TextPart("x", {"file_data": {}}),
        OpaquePart("inlineData", {"inlineData": {"data": "eA=="}}, "gemini"),
        ToolResultPart("a", "b", extra={"gemini": {"parts": [film]}}),
        FilePart(b"x", "video/mp4"),
    ):
        terms = under_budget({}, Message("user", (part,)))
        assert terms.unmeasured is not None
        assert terms.kinds == {"input_audio"}
    assert under_budget({}, Message.user(AudioPart(b"x", "audio/wav"))) == Terms(kinds=frozenset({"input_audio"}))
    assert under_budget({}, Message.user(ImagePart(data=b"x", media_type="image/png"))) is PLAIN
