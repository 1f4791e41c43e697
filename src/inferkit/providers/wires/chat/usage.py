"""Token counts of the Chat Completions wire, brought to one way of counting whoever sent them."""

from __future__ import annotations

from typing import Any

from inferkit.core.usage import Usage

__all__ = ["read_usage", "write_usage"]


def read_usage(counts: Any) -> Usage | None:
    """Read a `usage` object; None where it counts nothing.

    The wire's `prompt_tokens` include cached tokens and its `completion_tokens` include reasoning. DeepSeek names cache
    hits differently, and xAI leaves reasoning out of `completion_tokens`, which its `total_tokens` gives away.
    """
    if not isinstance(counts, dict):
        return None
    prompt = _count(counts.get("prompt_tokens"))
    completion = _count(counts.get("completion_tokens"))
    if prompt is None and completion is None:
        return None
    prompt, completion = prompt or 0, completion or 0
    of_prompt = _details(counts.get("prompt_tokens_details"))
    of_completion = _details(counts.get("completion_tokens_details"))
    cached = _count(of_prompt.get("cached_tokens"))
    if cached is None:
        cached = _count(counts.get("prompt_cache_hit_tokens")) or _count(counts.get("cached_tokens")) or 0
    written = _count(of_prompt.get("cache_write_tokens")) or 0
    reasoning = _count(of_completion.get("reasoning_tokens")) or _count(counts.get("reasoning_tokens")) or 0
    if reasoning and _count(counts.get("total_tokens")) == prompt + completion + reasoning:
        completion += reasoning
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cache_read_tokens=min(cached, prompt),
        cache_write_tokens=min(written, prompt),
        reasoning_tokens=min(reasoning, completion),
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    """Write what `read_usage` reads, as OpenAI counts."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _details(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53:
        return value
    return None
