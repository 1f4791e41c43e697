"""What becomes of each field of the Gemini wire that a caller may pass in `extra=`, as far as cost goes.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inferkit.pricing.terms import PLAIN, CostRules, Terms, WireField
from inferkit.providers.wires.cost_fields import LENGTH, OUTSIDE, all_of, tier, unmeasured

__all__ = ["COST_RULES", "GENERATION"]

_ONE = f"each candidate is billed; ask for one, {OUTSIDE}"
_SOUND = f"images and films in the reply are not bounded by max_output_tokens; ask for text and audio, {OUTSIDE}"
_OTHER_MODEL = f"another model, with another price, may answer; name the one that is to, {OUTSIDE}"
_UNCLEAR = f"nobody can say before what it adds; leave it out, {OUTSIDE}"
_SIZE = "held for as much as fits into the model"


def _one(value: Any) -> Terms | None:
    return PLAIN if value is None or (type(value) is int and value == 1) else None


def _modalities(value: Any) -> Terms | None:
    if value is None:
        return PLAIN
    if not isinstance(value, Sequence) or isinstance(value, str) or not {*map(str, value)} <= {"TEXT", "AUDIO"}:
        return None
    return Terms(kinds=frozenset({"output_audio"})) if "AUDIO" in value else PLAIN


GENERATION: dict[str, WireField] = {
    **all_of("refused under a budget", LENGTH, "maxOutputTokens"),
    "candidateCount": WireField("refused under a budget", _ONE, _one),
    "responseModalities": WireField("priced", _SOUND, _modalities),
    **all_of("capped", "what it makes the model think counts within max_output_tokens", "thinkingConfig speechConfig"),
    **all_of("measured", "its bytes count as input", "responseSchema responseJsonSchema"),
    **all_of("refused under a budget", _SOUND, "imageConfig responseFormat"),
    **all_of("refused under a budget", _OTHER_MODEL, "routingConfig modelConfig modelSelectionConfig"),
    **all_of("refused under a budget", _UNCLEAR, "translationConfig audioTranscriptionConfig enableAffectiveDialog"),
    **all_of("free", "images are held for as they count at most", "mediaResolution"),
    **all_of(
        "free",
        "moves no cost",
        "temperature topP topK seed stopSequences responseMimeType presencePenalty frequencyPenalty responseLogprobs "
        "logprobs audioTimestamp enableEnhancedCivicAnswers",
    ),
}
"""Those of `generationConfig`, which is understood field by field."""


def _generation(value: Any) -> Terms | None:
    """Give the terms of all its fields; None where one of them is refused, or not known."""
    if value is None:
        return PLAIN
    if not isinstance(value, Mapping):
        return None
    terms = PLAIN
    for name, each in value.items():
        known = GENERATION.get(name)
        if known is None or (known.reads is None and known.becomes == "refused under a budget"):
            return None
        read = PLAIN if known.reads is None else known.reads(each)
        if read is None:
            return None
        terms = terms.with_these(read)
    return terms


def _tools(value: Any) -> Terms | None:
    """Let functions pass: they run in the application, and their results are messages."""
    if value is None:
        return PLAIN
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    known = all(isinstance(one, Mapping) and one.keys() <= {"functionDeclarations"} for one in value)
    return PLAIN if known else None


_FIELDS: dict[str, WireField] = {
    "contents": WireField("option", "use the messages argument"),
    "systemInstruction": WireField("option", 'use a system message: Message.system("...")'),
    "model": WireField("option", "use the model argument"),
    "stream": WireField("option", "use stream() or complete()"),
    "generationConfig": WireField(
        "priced", "field by field, as below; one that is refused, or not known, has all of it refused", _generation
    ),
    **all_of("refused under a budget", LENGTH, "maxOutputTokens"),
    "cachedContent": unmeasured("cachedContent"),
    "continuationToken": unmeasured("continuationToken"),
    "serviceTier": WireField("priced", "held and booked at the price of its tier", tier),
    "tools": WireField(
        "refused under a budget",
        "nobody can say before what tools of the server cost, or add to the prompt; give the model functions of your "
        f"own, {OUTSIDE}",
        _tools,
    ),
    **all_of("refused under a budget", _UNCLEAR, "modelArmorConfig outputConfig"),
    **all_of("free", "moves no cost", "toolConfig safetySettings labels store"),
}

_HEARD = Terms(kinds=frozenset({"input_audio"}))

COST_RULES = CostRules(
    _FIELDS,
    {
        "input_audio": WireField("priced", "held and booked at the price of audio", lambda _: _HEARD),
        **{
            name: unmeasured(name, "input_audio")
            for name in ("file", "fileData", "fileUri", "inlineData", "file_data", "file_uri", "inline_data")
        },
        **{name: unmeasured(name) for name in ("toolCall", "toolResponse", "tool_call", "tool_response")},
    },
)
