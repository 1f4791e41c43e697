"""Why a reply of the Anthropic wire ended, in the words that all wires share, and back."""

from __future__ import annotations

__all__ = ["MEANINGS", "WORDS"]

MEANINGS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
}
"""Those that mean what another wire has a word for; others ("pause_turn") stay as they are."""

WORDS = {"stop": "end_turn", "length": "max_tokens", "budget": "max_tokens", "tool_calls": "tool_use"}
"""The wire's own word for an end, where its server said none."""
