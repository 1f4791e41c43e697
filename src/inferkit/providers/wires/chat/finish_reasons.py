"""Why a reply ended, in the wire's own words, whatever words a server has for it.

Names are compared in lower case. One that is not here stays as it came: the set is open.
"""

from __future__ import annotations

__all__ = ["BROKEN", "MEANINGS"]

_WORDS = {
    "stop": "stop eos eos_token eod end end_turn end_of_turn endoftext stop_sequence complete completed done finished",
    "length": "length max_tokens max_length max_output_tokens model_length max_new_tokens token_limit "
    "model_context_window_exceeded",
    "tool_calls": "tool_calls tool_call tool_use function_call",
    "content_filter": "content_filter content_filtered safety recitation blocklist prohibited_content spii sensitive",
}
MEANINGS = {word: meaning for meaning, words in _WORDS.items() for word in words.split()}
"""What a server's word means, for words that mean one of the wire's own."""

BROKEN = frozenset(
    {"error", "network_error", "internal_error", "server_error", "insufficient_system_resource", "abort"}
)
"""The words for a reply that did not end but broke: whatever it says is a part of one."""
