"""Token counts of the Responses wire, and what its tools were asked.

https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.money import NANOS_PER_USD
from inferkit.core.usage import NO_DETAILS, Usage, UsageDetails

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ServerTools", "read_usage", "write_usage"]

_MOST = 1 << 53
_USUAL = UsageDetails._field_defaults
_BILLED = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "image_generation_call": "image_generation",
    "shell_call_output": "shell",  # in a reply, it ran at the provider's
}
"""Items of a reply that stand for something that the provider's own tools did, and what they are billed as."""


class ServerTools:
    """Counts what the provider's own tools were asked in one reply."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def saw(self, item: Mapping[str, Any]) -> None:
        """Take an item of the reply. Of web searches, looking at a page that was found is not billed."""
        kind = _BILLED.get(item["type"])
        action = _mapping(item.get("action")).get("type", "search")
        if kind is not None and not (kind == "web_search" and action != "search"):
            self._counts[kind] = self._counts.get(kind, 0) + 1

    def in_all(self, told: Any) -> dict[str, int]:
        """Give the counts by kind; `told` is the reply's own `tool_usage`, which knows better."""
        searches = _mapping(_mapping(told).get("web_search")).get("num_requests")
        known = dict(self._counts)
        if type(searches) is int and searches >= 0:
            known["web_search"] = searches
        return {kind: requests for kind, requests in known.items() if requests}


def read_usage(counts: Any, service_tier: Any = None, tools: Mapping[str, int] | None = None) -> Usage | None:
    """Read a `usage` object; None where it counts nothing.

    `service_tier` and `tools`, requests by kind, are what the reply says beside it.
    """
    if not isinstance(counts, dict) or not ("input_tokens" in counts or "output_tokens" in counts):
        return None
    given, output = _count(counts.get("input_tokens")), _count(counts.get("output_tokens"))
    of_input, of_output = _mapping(counts.get("input_tokens_details")), _mapping(counts.get("output_tokens_details"))
    read = min(_count(of_input.get("cached_tokens")), given)
    written = min(_count(of_input.get("cache_write_tokens")), given - read)
    reasoning = min(_count(of_output.get("reasoning_tokens")), output)
    lifetimes = _mapping(of_input.get("cache_write_tokens_details"))
    asked = _asked(counts) or tools or {}
    found: dict[str, Any] = {
        "cache_write_30m_tokens": min(_count(lifetimes.get("ttl_30m_tokens")), written),
        "cache_write_12h_tokens": min(_count(lifetimes.get("ttl_12h_tokens")), written),
        "server_tools": tuple(sorted(asked.items())),
        "service_tier": _word(service_tier) or _word(counts.get("service_tier")),
        "speed": _word(counts.get("speed")),
        "region": _word(counts.get("inference_geo")),
        "reported_nanos": _nanos(counts.get("cost")),
    }
    said = {name: value for name, value in found.items() if value != _USUAL[name]}
    return Usage(given, output, read, written, reasoning, details=UsageDetails(**said) if said else NO_DETAILS)


def write_usage(usage: Usage) -> dict[str, Any]:
    """Write what `read_usage` reads: OpenAI's counts, and the details that it has no place for as others say them."""
    details = usage.details
    of_input: dict[str, Any] = {
        "cached_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
    }
    if details.cache_write_30m_tokens or details.cache_write_12h_tokens:
        of_input["cache_write_tokens_details"] = {
            "ttl_30m_tokens": details.cache_write_30m_tokens,
            "ttl_12h_tokens": details.cache_write_12h_tokens,
        }
    counts: dict[str, Any] = {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": of_input,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
    if details.server_tools:
        counts["server_tool_use"] = {f"{kind}_requests": requests for kind, requests in details.server_tools}
    said = {
        "service_tier": details.service_tier,
        "speed": details.speed,
        "inference_geo": details.region,
        "cost": None if details.reported_nanos is None else details.reported_nanos / NANOS_PER_USD,
    }
    return counts | {name: value for name, value in said.items() if value is not None}


def _asked(counts: dict[str, Any]) -> dict[str, int]:
    return {
        name.removesuffix("_requests"): requests
        for name, value in _mapping(counts.get("server_tool_use")).items()
        if name.endswith("_requests") and (requests := _count(value))
    }


def _nanos(cost: Any) -> int | None:
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost < _MOST / NANOS_PER_USD:
        return None
    return round(cost * NANOS_PER_USD)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else 0
