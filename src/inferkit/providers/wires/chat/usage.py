"""Token counts of the Chat Completions wire, brought to one way of counting whoever sent them."""

from __future__ import annotations

import functools
from decimal import Decimal
from typing import Any

from inferkit.core.money import NANOS_PER_USD
from inferkit.core.usage import NO_DETAILS, Usage, UsageDetails

__all__ = ["read_usage", "write_usage"]

_WRITTEN = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens", "cached_creation_tokens")
_LIFETIMES = {  # in the providers' words: how long what was written stays in the cache
    "ephemeral_30m_input_tokens": "cache_write_30m_tokens",
    "ephemeral_1h_input_tokens": "cache_write_1h_tokens",
    "ephemeral_12h_input_tokens": "cache_write_12h_tokens",
    "cache_write_30m_tokens": "cache_write_30m_tokens",
    "cache_write_1h_tokens": "cache_write_1h_tokens",
    "cache_write_12h_tokens": "cache_write_12h_tokens",
}
_LIFETIMES_IN = ("cache_creation", "cache_creation_token_details", "cache_write_tokens_details", "cache_write_details")
_MOST = 1 << 53


def read_usage(counts: Any, service_tier: Any = None) -> Usage | None:
    """Read a `usage` object; None where it counts nothing. `service_tier` is what its reply says beside it.

    The wire's `prompt_tokens` include cached tokens and its `completion_tokens` include reasoning. DeepSeek names cache
    hits differently, and gateways to Anthropic what was written to the cache. What `total_tokens` says beyond both was
    thought (xAI and Gemini leave it out of `completion_tokens`), and is billed as output.
    """
    if not isinstance(counts, dict):
        return None
    plain = _plain(counts, service_tier)
    if plain is not None:
        return plain
    prompt = _count(counts.get("prompt_tokens"))
    completion = _count(counts.get("completion_tokens"))
    if prompt is None and completion is None:
        return None
    prompt, completion = prompt or 0, completion or 0
    of_prompt = _details(counts.get("prompt_tokens_details"))
    of_completion = _details(counts.get("completion_tokens_details"))
    cached = _count(of_prompt.get("cached_tokens"))
    if cached is None:
        cached = _first(counts, ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens"))
    written = _first(of_prompt, _WRITTEN) or _first(counts, _WRITTEN)
    reasoning = _count(of_completion.get("reasoning_tokens")) or _count(counts.get("reasoning_tokens")) or 0
    total = _count(counts.get("total_tokens"))
    if total is not None and total > prompt + completion:
        reasoning = max(reasoning, total - prompt - completion)
        completion = total - prompt
    cached = min(cached, prompt)
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cache_read_tokens=cached,
        cache_write_tokens=min(written, prompt - cached),
        reasoning_tokens=min(reasoning, completion),
        details=_usage_details(counts, of_prompt, of_completion, service_tier),
    )


_PLAIN = ("prompt_tokens", "completion_tokens", "total_tokens")
_TOTALS = 3


def _plain(counts: dict[str, Any], service_tier: Any) -> Usage | None:
    """Read counts of the kind that nearly all are of: those that every server sends, and two details; None for others.

    It is several times faster, and every call passes it.
    """
    try:
        prompt, completion, total = [counts[name] for name in _PLAIN]
    except KeyError:
        return None
    if not (type(prompt) is type(completion) is type(total) is int) or total != prompt + completion:
        return None
    cached = reasoning = 0
    if len(counts) > _TOTALS:
        for name, value in counts.items():
            if not value or name in _PLAIN:
                continue
            if name == "prompt_tokens_details":
                cached = _only(value, "cached_tokens")
            elif name == "completion_tokens_details":
                reasoning = _only(value, "reasoning_tokens")
            else:
                return None
    if not (0 <= cached <= prompt < _MOST and 0 <= reasoning <= completion < _MOST):
        return None
    details = _of_tier(service_tier) if service_tier and type(service_tier) is str else NO_DETAILS
    return Usage(prompt, completion, cached, 0, reasoning, details=details)


@functools.lru_cache(maxsize=64)
def _of_tier(service_tier: str) -> UsageDetails:
    return UsageDetails(service_tier=service_tier)


def _only(details: Any, known: str) -> int:
    """Give the one count that is not zero, if it is this one, and otherwise -1."""
    found = 0
    if type(details) is not dict:
        return -1
    for name, value in details.items():
        if value:
            if name != known or type(value) is not int:
                return -1
            found = value
    return found


def _usage_details(
    counts: dict[str, Any], of_prompt: dict[str, Any], of_completion: dict[str, Any], tier: Any
) -> UsageDetails:
    found = _sounds_and_images(of_prompt, of_completion)
    _predictions(of_completion, found)
    for place in (counts, of_prompt):
        for name in _LIFETIMES_IN:
            if name in place:
                _read_lifetimes(_details(place[name]), found)
    _read_lifetimes(of_prompt, found)
    tools = _server_tools(counts)
    if tools:
        found["server_tools"] = tools
    if "cost" in counts:
        found["reported_nanos"] = _nanos(counts["cost"])
    for name, said in (
        ("service_tier", counts.get("service_tier") or tier),
        ("speed", counts.get("speed")),
        ("region", counts.get("inference_geo")),
    ):
        if said and isinstance(said, str):
            found[name] = said
    said = {name: value for name, value in found.items() if value != _USUAL[name]}
    return UsageDetails(**said) if said else NO_DETAILS


_USUAL = UsageDetails._field_defaults


def _predictions(of_completion: dict[str, Any], found: dict[str, Any]) -> None:
    """Read what became of a prediction. What was rejected is billed as output, among whose tokens it is counted."""
    for name in ("accepted_prediction_tokens", "rejected_prediction_tokens"):
        found[name] = _first(of_completion, (name,))


def _sounds_and_images(of_prompt: dict[str, Any], of_completion: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    read = _details(of_prompt.get("cached_tokens_details"))
    for kind in ("audio", "image"):
        name = (f"{kind}_tokens",)
        given, again = _first(of_prompt, name), _first(read, name)
        found[f"input_{kind}_tokens"] = max(0, given - again)
        found[f"cache_read_{kind}_tokens"] = again
        found[f"output_{kind}_tokens"] = _first(of_completion, name)
    return found


def _read_lifetimes(given: dict[str, Any], found: dict[str, Any]) -> None:
    for name, ours in _LIFETIMES.items():
        tokens = _count(given.get(name))
        if tokens:
            found[ours] = tokens


def _server_tools(counts: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    """Read how often the provider's own tools were asked, by kind: OpenRouter's, xAI's and Perplexity's words."""
    found: dict[str, int] = {}
    for place in ("server_tool_use", "server_tool_use_details", "server_side_tool_usage_details"):
        for name, value in _details(counts.get(place)).items():
            requests = _count(value)
            if requests and name.endswith(("_requests", "_calls")):
                found[name.removesuffix("_requests").removesuffix("_calls")] = requests
    searches = _count(counts.get("num_search_queries"))
    if searches:
        found.setdefault("web_search", searches)
    return tuple(sorted(found.items()))


def _nanos(cost: Any) -> int | None:
    """Read what a provider says that it cost, in dollars: a number, or an object with a total."""
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    if isinstance(cost, bool) or not isinstance(cost, int | float | str):
        return None
    try:
        nanos = round(Decimal(str(cost)) * NANOS_PER_USD)
    except (ArithmeticError, ValueError):
        return None
    return nanos if 0 <= nanos < _MOST else None


def write_usage(usage: Usage) -> dict[str, Any]:
    """Write what `read_usage` reads, as OpenAI counts; the details that it does not count as others do."""
    written: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
    if usage.details is not NO_DETAILS:
        _write_details(usage.details, written)
    return written


def _write_details(details: UsageDetails, written: dict[str, Any]) -> None:
    of_prompt, of_completion = written["prompt_tokens_details"], written["completion_tokens_details"]
    for name, tokens in details.as_json().items():
        side, _, kind = name.partition("_")
        if name.startswith("cache_write"):
            of_prompt[name] = tokens
        elif name.startswith("cache_read"):
            kind = name.removeprefix("cache_read_")
            of_prompt.setdefault("cached_tokens_details", {})[kind] = tokens
            of_prompt[kind] = of_prompt.get(kind, 0) + tokens
        elif side in {"accepted", "rejected"}:
            of_completion[name] = tokens
        elif side in {"input", "output"}:
            place = of_prompt if side == "input" else of_completion
            place[kind] = place.get(kind, 0) + tokens
    if details.server_tools:
        written["server_tool_use"] = {f"{kind}_requests": requests for kind, requests in details.server_tools}
    said = {
        "service_tier": details.service_tier,
        "speed": details.speed,
        "inference_geo": details.region,
        "cost": None if details.reported_nanos is None else details.reported_nanos / NANOS_PER_USD,
    }
    written |= {name: value for name, value in said.items() if value is not None}


def _details(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _first(given: dict[str, Any], names: tuple[str, ...]) -> int:
    """Give the first of these counts that is not zero: a server may say one under several names."""
    for name in names:
        count = _count(given.get(name))
        if count:
            return count
    return 0


def _count(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST:
        return value
    return None
