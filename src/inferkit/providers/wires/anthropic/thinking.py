"""How long a model may think, as the Anthropic wire says it: by effort, or on older models by a number of tokens.

https://platform.claude.com/docs/en/build-with-claude/extended-thinking
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from inferkit.core.messages import ReasoningPart, ToolCallPart
from inferkit.providers.wires.anthropic.write_messages import is_own_reasoning

if TYPE_CHECKING:
    from inferkit.core.request import Request
    from inferkit.providers.wires.anthropic.quirks import AnthropicQuirks

__all__ = ["EFFORTS", "write_thinking"]

EFFORTS = ("low", "medium", "high", "xhigh", "max")
_NONE = "none"
_LIKE = {"minimal": "low"}
_SHARES = {"low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.9, "max": 0.95}  # of the reply's limit
_LEAST = 1024  # tokens
_BUDGETED = re.compile(r"claude-(?:3-7-|(?:opus|sonnet|haiku)-4(?:-[015](?!\d)|(?=$|[@:]|-\d{8})))")
"""Models that do not decide by themselves how long they think."""


def write_thinking(request: Request, quirks: AnthropicQuirks, payload: dict[str, Any], limit: int) -> str | None:
    """Write how long the model may think, within the `limit` of the reply. Say what was left out, if anything.

    Raises nothing: an effort that the wire does not know goes out as it is, and the server says what it thinks of it.
    """
    asked = request.reasoning_effort
    if asked is None:
        return None
    if asked == _NONE:
        payload["thinking"] = {"type": "disabled"}
        return None
    effort = _LIKE.get(asked, asked)
    if request.model not in quirks.budgeted and not _BUDGETED.search(request.model):
        payload["thinking"] = {"type": "adaptive"}
        payload["output_config"] = {"effort": effort}
        return None
    tokens = min(int(limit * _SHARES.get(effort, 0.5)), limit - 1)
    if tokens < _LEAST or not _may_begin(request):
        return "reasoning_effort"
    payload["thinking"] = {"type": "enabled", "budget_tokens": tokens}
    return None


def _may_begin(request: Request) -> bool:
    """Say whether thinking can be asked for: in the middle of a turn with tools it goes on from what was sealed."""
    for message in reversed(request.messages):
        if message.role == "user":
            return True
        if message.role == "assistant":
            parts = message.parts
            if not any(isinstance(part, ToolCallPart) for part in parts):
                return True
            return any(isinstance(part, ReasoningPart) and is_own_reasoning(part) for part in parts)
    return True
