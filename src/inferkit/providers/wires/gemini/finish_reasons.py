"""Why a reply of the Gemini wire ended, in the words that all wires share, and back.

https://ai.google.dev/api/generate-content#FinishReason
"""

from __future__ import annotations

__all__ = ["MEANINGS", "WORDS"]

_FILTERED = (
    "SAFETY RECITATION BLOCKLIST PROHIBITED_CONTENT SPII IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION "
    "MODEL_ARMOR"
)
MEANINGS = {
    "STOP": "stop",
    "FUNCTION_CALL": "tool_calls",  # of servers that imitate Google's; its own say STOP there
    "MAX_TOKENS": "length",
    **dict.fromkeys(_FILTERED.split(), "content_filter"),
}
"""Those that mean what another wire has a word for; others ("MALFORMED_FUNCTION_CALL") stay as they are."""

WORDS = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "budget": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
}
"""The wire's own word for an end, where its server said none."""
