"""What becomes of each field of the Anthropic wire that a caller may pass in `extra=`, as far as cost goes.

https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferkit.pricing.terms import PLAIN, CostRules, Terms, WireField
from inferkit.providers.wires.cost_fields import (
    LENGTH,
    OUTSIDE,
    all_of,
    lifetime,
    region,
    speed,
    tier,
    tools_of,
    unmeasured,
)

__all__ = ["COST_RULES"]

_EDITS = f"nobody can say before what the server takes out of the prompt, or adds to it; leave it out, {OUTSIDE}"


def _source(value: Any) -> Terms | None:
    """Let what is in the request pass, since it is measured; that of a search result is but its name."""
    kind = value.get("type") if isinstance(value, Mapping) else None
    inside = isinstance(value, str) or kind in {"base64", "text", "content"}
    return PLAIN if inside else Terms(unmeasured="source")


_FIELDS: dict[str, WireField] = {
    "messages": WireField("option", "use the messages argument"),
    "system": WireField("option", 'use a system message: Message.system("...")'),
    "model": WireField("option", "use the model argument"),
    "stream": WireField("option", "use stream() or complete()"),
    **all_of("refused under a budget", LENGTH, "max_tokens max_completion_tokens max_output_tokens"),
    "service_tier": WireField("priced", "held and booked at the price of its tier", tier),
    "speed": WireField("priced", "held and booked at the price of its speed", speed),
    "inference_geo": WireField("priced", "held and booked at the price of its region", region),
    "cache_control": WireField("priced", 'its ttl is "5m" or "1h"', lifetime),
    "tools": WireField(
        "refused under a budget",
        "nobody can say before what tools of the server cost, or add to the prompt; give the model functions of your "
        f"own, {OUTSIDE}",
        tools_of({None, "custom"}),
    ),
    "mcp_servers": WireField("refused under a budget", f"their tools run at the server's; leave it out, {OUTSIDE}"),
    "container": unmeasured("container"),
    "context_management": WireField("refused under a budget", _EDITS),
    **all_of(
        "capped",
        "what it makes the model think or write counts within max_output_tokens",
        "thinking output_config effort",
    ),
    **all_of("measured", "its bytes count as input", "output_format"),
    **all_of(
        "free",
        "moves no cost",
        "metadata top_k stop_sequences temperature top_p tool_choice diagnostics user_profile_id workspace_id betas "
        "anthropic_version anthropic_beta",
    ),
}

COST_RULES = CostRules(
    _FIELDS,
    {
        "cache_control": _FIELDS["cache_control"],
        "tools": _FIELDS["tools"],
        "source": WireField("priced", "held for as much as fits into the model", _source),
        **{name: unmeasured(name) for name in ("file", "file_id", "container_upload", "encrypted_content")},
    },
)
