"""What becomes of each field of the Responses wire that a caller may pass in `extra=`, as far as cost goes.

https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferkit.pricing.terms import PLAIN, CostRules, Terms, WireField
from inferkit.providers.wires.cost_fields import LENGTH, OUTSIDE, all_of, lifetime, tier, tools_of, unmeasured
from inferkit.providers.wires.extras import RESPONSES

__all__ = ["COST_RULES"]

_WAITS = "a reply is waited for here, and can be left at any time; leave it out"
_EDITS = f"nobody can say before what the server takes out of the prompt, or adds to it; leave it out, {OUTSIDE}"
_STORED = f"a stored prompt may bring tools and files of its own; put it into the messages and options, {OUTSIDE}"


def _off(value: Any) -> Terms | None:
    return PLAIN if value in (None, False) else None


def _reasoning(value: Any) -> Terms | None:
    """Let all pass but modes that may think several times over."""
    mode = value.get("mode") if isinstance(value, Mapping) else None
    return PLAIN if mode in (None, "standard") else None


def _kept(value: Any) -> Terms | None:
    """Let reasoning pass that is in the request; what is there by its id alone, the server looks up."""
    own = value.get(RESPONSES) if isinstance(value, Mapping) else None
    return Terms(unmeasured="reasoning") if isinstance(own, Mapping) and "content" not in own else PLAIN


def _address(value: Any) -> Terms | None:
    """Let an image pass that is in the request, since it is measured."""
    inside = value is None or (isinstance(value, str) and value.startswith("data:"))
    return PLAIN if inside else Terms(unmeasured="image_url")


_FIELDS: dict[str, WireField] = {
    "input": WireField("option", "use the messages argument"),
    "instructions": WireField("option", 'use a system message: Message.system("...")'),
    "model": WireField("option", "use the model argument"),
    "stream": WireField("option", "use stream() or complete()"),
    "background": WireField("refused", _WAITS, _off),
    "background_options": WireField("refused", _WAITS, _off),
    **all_of("refused under a budget", LENGTH, "max_output_tokens max_tokens max_completion_tokens"),
    "service_tier": WireField("priced", "held and booked at the price of its tier", tier),
    "prompt_cache_options": WireField("priced", 'its ttl is "30m" or "12h"', lifetime),
    "tools": WireField(
        "refused under a budget",
        "nobody can say before what tools of the server cost, or add to the prompt; give the model functions of your "
        f"own, {OUTSIDE}",
        tools_of({None, "function", "custom"}),
    ),
    **{name: unmeasured(name) for name in ("previous_response_id", "conversation")},
    "prompt": WireField("refused under a budget", _STORED),
    "context_management": WireField("refused under a budget", _EDITS),
    "moderation": WireField("refused under a budget", f"it asks another model besides; leave it out, {OUTSIDE}"),
    "reasoning": WireField(
        "capped", "what it makes the model think counts within max_output_tokens; its mode is the standard", _reasoning
    ),
    "text": WireField("capped", "what it makes the model write counts within max_output_tokens"),
    **all_of(
        "free",
        "moves no cost",
        "access_programs image include max_tool_calls metadata parallel_tool_calls prompt_cache_key "
        "prompt_cache_retention safety_identifier store stream_options temperature tool_choice top_logprobs top_p "
        "truncation user",
    ),
}

COST_RULES = CostRules(
    _FIELDS,
    {
        "prompt_cache_breakpoint": WireField("priced", 'its ttl is "30m" or "12h"', lifetime),
        "tools": _FIELDS["tools"],
        "image_url": WireField("priced", "held for as much as fits into the model", _address),
        "reasoning": WireField("priced", "held for as much as fits into the model where it is sent by its id", _kept),
        **{
            name: unmeasured(name)
            for name in (
                *("file", "file_id", "file_url", "item_reference", "encrypted_content", "container_id"),
                *("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"),
            )
        },
    },
)
