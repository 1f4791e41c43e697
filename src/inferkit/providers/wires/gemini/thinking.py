"""How long a model may think, as the Gemini wire says it: by level, or on older models by a number of tokens.

https://ai.google.dev/gemini-api/docs/thinking
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.providers.wires.gemini.models import generation

if TYPE_CHECKING:
    from inferkit.providers.wires.gemini.quirks import GeminiQuirks

__all__ = ["EFFORTS", "NEXT", "level_of", "write_thinking"]

EFFORTS = ("low", "medium", "high", "minimal", "xhigh", "none")
NEXT = {"minimal": "low", "medium": "high", "xhigh": "high"}
"""The level to ask for where a model has no such one; none has neither "low" nor "high"."""

_LIKE = {"none": "minimal", "max": "xhigh"}
_TOKENS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576}
_MOST = 24_576
_LEAST_OF_PRO = 128  # it cannot be told not to think
_BY_LEVEL, _THINKS = (3, 0), (2, 5)


def level_of(model: str, effort: str, quirks: GeminiQuirks) -> str:
    """Give the level that an effort is asked for as: the nearest that the model is not known to lack."""
    level = _LIKE.get(effort, effort)
    while (model, level) in quirks.refused and level in NEXT:
        level = NEXT[level]
    return level


def write_thinking(model: str, effort: str, quirks: GeminiQuirks) -> dict[str, Any] | None:
    """Give the `thinkingConfig` for an effort; None for a model that does not think.

    An effort that the wire does not know goes out as it is, and the server says what it thinks of it.
    """
    known = generation(model)
    if known is not None and known < _THINKS and "thinking" not in model and "robotics" not in model:
        return None
    if model in quirks.budgeted or (known is not None and known < _BY_LEVEL):
        tokens = _TOKENS.get(effort, _MOST)
        config: dict[str, Any] = {"thinkingBudget": max(_LEAST_OF_PRO, tokens) if "-pro" in model else tokens}
    else:
        config = {"thinkingLevel": level_of(model, effort, quirks)}
    if effort != "none":
        config["includeThoughts"] = True
    return config
