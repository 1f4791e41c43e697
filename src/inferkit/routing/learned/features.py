"""What a router sees of a call, in microseconds: lengths, kinds of characters, what comes with it, and some words.

Words are hashed into buckets and nothing else of them is kept, so no text of a prompt is in a fitted router.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

if TYPE_CHECKING:
    from inferkit.core.request import Request

__all__ = ["BUCKETS", "NAMES", "PromptLooks", "features_of", "seen_in"]

BUCKETS = 1024
"""How many buckets words are hashed into."""

_HEAD, _TAIL = 320, 120  # characters: a question stands at the beginning or at the end of what is long
_WORDS = re.compile(r"[^\W\d_]{2,24}")
_CODE = ("```", "{", ";\n", "def ", "import ", "return ", "SELECT ")
_DIGITS, _CAPITALS = b"0123456789", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_STOPS = {
    "english": {"the", "is", "are", "and", "my", "to", "of", "you", "what", "in", "it", "for"},
    "german": {"der", "die", "das", "und", "ist", "ich", "nicht", "ein", "wie", "zu", "mein", "sie"},
    "french": {"le", "la", "les", "et", "est", "je", "pas", "un", "une", "mon", "vous", "pour"},
    "spanish": {"el", "los", "las", "es", "y", "no", "un", "una", "mi", "por", "que", "de"},
}

NAMES = (
    "length",
    "messages",
    "system",
    "tools",
    "schema",
    "other parts",
    "question marks",
    "lines",
    "digits",
    "capitals",
    "not ASCII",
    "code",
    *_STOPS,
    "long words",
)
"""The features that are no words, in their order."""


class PromptLooks(NamedTuple):
    """What is looked at of a call: its last message's text, its whole length in characters, and what comes with it."""

    text: str
    length: int
    messages: int = 1
    system: bool = False
    tools: bool = False
    schema: bool = False
    others: bool = False


def seen_in(request: Request) -> PromptLooks:
    """Look at a request."""
    messages = request.messages
    texts = [message.text for message in messages]
    return PromptLooks(
        texts[-1] if texts else "",
        sum(map(len, texts)),
        len(messages),
        bool(messages) and messages[0].role == "system",
        bool(request.tools),
        request.response_schema is not None,
        any(type(part).__name__ != "TextPart" for message in messages for part in message.parts),
    )


def features_of(seen: PromptLooks) -> tuple[list[float], list[int]]:
    """Give the features of a call: numbers, each of about the size of one, and the buckets of its words, ascending."""
    text = seen.text
    if len(text) > _HEAD + _TAIL:
        text = f"{text[:_HEAD]} {text[-_TAIL:]}"
    data = text.encode("utf-8", "replace")
    size = max(1, len(data))
    words = _WORDS.findall(text.lower())
    some = set(words)
    count = max(1, len(words))
    numbers = [
        math.log1p(seen.length) / 8,
        math.log1p(seen.messages) / 2,
        float(seen.system),
        float(seen.tools),
        float(seen.schema),
        float(seen.others),
        min(3, text.count("?")) / 3,
        math.log1p(text.count("\n")) / 4,
        10 * (size - len(data.translate(None, _DIGITS))) / size,
        4 * (size - len(data.translate(None, _CAPITALS))) / size,
        min(1.0, 4 * (size - len(text)) / size),
        float(any(mark in text for mark in _CODE)),
        *[min(1.0, 4 * len(stops & some) / count) for stops in _STOPS.values()],
        sum(map(len, words)) / count / 10,
    ]
    return numbers, sorted({crc32(word.encode()) % BUCKETS for word in some})
