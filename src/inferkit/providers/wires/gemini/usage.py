"""Token counts of the Gemini wire, whose output is in two counts: what the candidates say, and what was thought.

https://ai.google.dev/api/generate-content#UsageMetadata
"""

from __future__ import annotations

from operator import add, sub
from typing import TYPE_CHECKING, Any

from inferkit.core.usage import NO_DETAILS, Usage, UsageDetails
from inferkit.providers.wires.payload import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["GeminiCounts", "read_usage", "write_usage"]

_MOST = 1 << 53
_COUNTS = (
    "promptTokenCount", "toolUsePromptTokenCount", "cachedContentTokenCount", "candidatesTokenCount",
    "thoughtsTokenCount", "totalTokenCount",
)  # fmt: skip
_PICTURES = ("IMAGE", "DOCUMENT")
_SHOWN = ("IMAGE", "DOCUMENT", "VIDEO")  # moving ones have no price of their own here; where images have none, unknown
_TIERS = {"ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex", "ON_DEMAND": "on_demand"}
_TRAFFIC = {word: traffic for traffic, word in _TIERS.items()}
_USUAL = UsageDetails._field_defaults


class GeminiCounts:
    """The counts of one reply, which come with every event and are each cumulative: the last of each holds."""

    __slots__ = ("_known", "_last")

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._last: Usage | None = None

    def report(self, counts: Any) -> None:
        """Take a report."""
        if isinstance(counts, dict):
            self._known |= {name: value for name, value in counts.items() if value is not None}

    def now(self, searches: int) -> Usage | None:
        """Give what is known by now, with so many searches, or None where that is nothing."""
        usage = read_usage(self._known)
        if usage is not None and searches:
            usage = usage._replace(details=usage.details._replace(server_tools=(("web_search", searches),)))
        self._last = usage
        return usage

    def grow(
        self, written: Mapping[str, Sequence[bytes]], reports: int
    ) -> tuple[Callable[[int], Usage], Usage | None] | None:
        """Take reports that differ from the last one in these counts alone.

        Give what says what was known with each, and what they say together: that is what the last one says, or None,
        if one before it says more of something. None where nothing is known.
        """
        known, last = self._known, self._last
        if last is None:
            return None
        if not written:
            return lambda _: last, last
        read = parse(b"[[%b]]" % b"],[".join(map(b",".join, written.values())))
        counts: dict[str, list[int]] = dict(zip(written, read, strict=True))
        said = counts.get("candidatesTokenCount") or [_count(known.get("candidatesTokenCount"))] * reports
        total = counts.get("totalTokenCount") or [_count(known.get("totalTokenCount"))] * reports
        given, _, cached, _, _, _, details = last
        thought: list[int] = []
        if "thoughtsTokenCount" in known:
            thought = counts.get("thoughtsTokenCount") or [_count(known["thoughtsTokenCount"])] * reports
            output = list(map(add, said, thought))
        elif max(map(sub, total, said)) <= given:  # as nearly always
            output = said
        else:
            output = [each - given if each > given + one else one for one, each in zip(said, total, strict=True)]
            thought = list(map(sub, output, said))
        for name, column in counts.items():
            known[name] = column[-1]

        def usage_at(place: int) -> Usage:
            return Usage(given, output[place], cached, 0, thought[place] if thought else 0, False, details)

        is_most = output[-1] == max(output) > 0 and (not thought or thought[-1] or not any(thought))
        return usage_at, usage_at(-1) if is_most else None


def read_usage(counts: Any) -> Usage | None:
    """Read a `usageMetadata` object; None where it counts nothing."""
    if not isinstance(counts, dict) or not any(name in counts for name in _COUNTS):
        return None
    prompt, tools, cached, said, thought, total = [_count(counts.get(name)) for name in _COUNTS]
    prompt += tools
    if "thoughtsTokenCount" not in counts:  # what a proxy leaves out is in the total, and is billed as output
        thought = max(0, total - prompt - said)
    return Usage(
        prompt, said + thought, min(cached, prompt), 0, thought, details=_read_details(counts, min(cached, prompt))
    )


def _read_details(counts: dict[str, Any], cached: int) -> UsageDetails:
    given = _by_kind(counts.get("promptTokensDetails"), counts.get("toolUsePromptTokensDetails"))
    read, written = _by_kind(counts.get("cacheTokensDetails")), _by_kind(counts.get("candidatesTokensDetails"))
    heard, seen = min(cached, read.get("AUDIO", 0)), min(cached, _sum(read, _PICTURES))
    tier = counts.get("serviceTier") or counts.get("trafficType")
    found: dict[str, Any] = {
        "input_audio_tokens": max(0, given.get("AUDIO", 0) - heard),
        "input_image_tokens": max(0, _sum(given, _PICTURES) - seen),
        "cache_read_audio_tokens": heard,
        "cache_read_image_tokens": seen,
        "output_audio_tokens": written.get("AUDIO", 0),
        "output_image_tokens": _sum(written, _SHOWN),
        "service_tier": _TIERS.get(tier, tier.lower()) if isinstance(tier, str) and tier else None,
    }
    said = {name: value for name, value in found.items() if value != _USUAL[name]}
    return UsageDetails(**said) if said else NO_DETAILS


def write_usage(usage: Usage) -> dict[str, Any]:
    """Write what `read_usage` reads."""
    details = usage.details
    counts: dict[str, Any] = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": max(0, usage.output_tokens - usage.reasoning_tokens),
        "totalTokenCount": usage.total_tokens,
    }
    if usage.cache_read_tokens:
        counts["cachedContentTokenCount"] = usage.cache_read_tokens
    if usage.reasoning_tokens:
        counts["thoughtsTokenCount"] = usage.reasoning_tokens
    for name, audio, image in (
        (
            "promptTokensDetails",
            details.input_audio_tokens + details.cache_read_audio_tokens,
            details.input_image_tokens + details.cache_read_image_tokens,
        ),
        ("cacheTokensDetails", details.cache_read_audio_tokens, details.cache_read_image_tokens),
        ("candidatesTokensDetails", details.output_audio_tokens, details.output_image_tokens),
    ):
        kinds = [
            {"modality": kind, "tokenCount": count} for kind, count in (("AUDIO", audio), ("IMAGE", image)) if count
        ]
        if kinds:
            counts[name] = kinds
    tier = details.service_tier
    if tier in _TRAFFIC:
        counts["trafficType"] = _TRAFFIC[tier]
    elif tier is not None:
        counts["serviceTier"] = tier
    return counts


def _by_kind(*details: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for given in details:
        for each in given if isinstance(given, list) else ():
            kind = each.get("modality") if isinstance(each, dict) else None
            if isinstance(kind, str):
                found[kind] = found.get(kind, 0) + _count(each.get("tokenCount"))
    return found


def _sum(counts: dict[str, int], kinds: tuple[str, ...]) -> int:
    return sum(counts.get(kind, 0) for kind in kinds)


def _count(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else 0
