"""Token counts of the Anthropic wire, whose `input_tokens` leave out what went through the prompt cache.

https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from typing import Any

from inferkit.core.usage import NO_DETAILS, Usage, UsageDetails

__all__ = ["UsageCounts", "read_usage", "write_usage"]

_MOST = 1 << 53
_COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_USUAL = UsageDetails._field_defaults


class UsageCounts:
    """The counts of one reply, which come in several reports that are each cumulative: the last of each holds."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def report(self, counts: Any) -> Usage | None:
        """Take a report; give what is known by now, or None where it says nothing."""
        if not isinstance(counts, dict):
            return None
        said = {name: value for name, value in counts.items() if value is not None}
        if "output_tokens" not in said and "input_tokens" not in said:
            return None
        self._known |= said
        return read_usage(self._known)


def read_usage(counts: Any) -> Usage | None:
    """Read a `usage` object; None where it counts nothing."""
    if not isinstance(counts, dict) or not ("input_tokens" in counts or "output_tokens" in counts):
        return None
    fresh, output, read, written = [_count(counts.get(name)) for name in _COUNTS]
    reasoning = _count(_mapping(counts.get("output_tokens_details")).get("thinking_tokens"))
    return Usage(
        fresh + read + written, output, read, written, min(reasoning, output), details=_read_details(counts, written)
    )


def _read_details(counts: dict[str, Any], written: int) -> UsageDetails:
    lifetimes = _mapping(counts.get("cache_creation"))
    tools = {
        name.removesuffix("_requests"): requests
        for name, value in _mapping(counts.get("server_tool_use")).items()
        if name.endswith("_requests") and (requests := _count(value))
    }
    found: dict[str, Any] = {
        "cache_write_1h_tokens": min(_count(lifetimes.get("ephemeral_1h_input_tokens")), written),
        "server_tools": tuple(sorted(tools.items())),
        "service_tier": _word(counts.get("service_tier")),
        "speed": _word(counts.get("speed")),
        "region": _word(counts.get("inference_geo")),
    }
    said = {name: value for name, value in found.items() if value != _USUAL[name]}
    return UsageDetails(**said) if said else NO_DETAILS


def write_usage(usage: Usage) -> dict[str, Any]:
    """Write what `read_usage` reads."""
    details = usage.details
    written = usage.cache_write_tokens
    counts: dict[str, Any] = {
        "input_tokens": max(0, usage.input_tokens - usage.cache_read_tokens - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
    }
    if written:
        hour = min(details.cache_write_1h_tokens, written)
        counts["cache_creation"] = {"ephemeral_5m_input_tokens": written - hour, "ephemeral_1h_input_tokens": hour}
    if usage.reasoning_tokens:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    if details.server_tools:
        counts["server_tool_use"] = {f"{kind}_requests": requests for kind, requests in details.server_tools}
    said = {"service_tier": details.service_tier, "speed": details.speed, "inference_geo": details.region}
    return counts | {name: value for name, value in said.items() if value is not None}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else 0
