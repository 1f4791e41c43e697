"""What a span says about a call or an attempt: plain functions of what is known. Never a prompt, never a reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.errors import InferkitError
from inferkit.core.usage import NO_DETAILS
from inferkit.telemetry import names

if TYPE_CHECKING:
    from inferkit.core.attempt import Attempt
    from inferkit.core.record import CallRecord
    from inferkit.core.request import Request
    from inferkit.core.usage import UsageDetails

__all__ = ["attempt_ended", "attempt_started", "call_ended", "describe", "embedding_ended"]

NANOS = 1e9


def describe(error: BaseException) -> str:
    """Say what went wrong. Our own messages carry no prompt and no secret; of foreign errors only the type is told."""
    return str(error) if isinstance(error, InferkitError) else type(error).__name__


def call_ended(model: str, record: CallRecord, outcome: str) -> dict[str, Any]:
    """Describe a call that ended. No `gen_ai.*` here: its tokens would be counted twice."""
    facts: dict[str, Any] = {
        names.CALL_ID: record.id,
        names.MODEL: model,
        names.OUTCOME: outcome,
        names.ATTEMPTS: len(record.attempts),
    }
    if record.cache is not None:
        facts[names.CACHE_RESULT] = record.cache
    if record.cache_tier is not None:
        facts[names.CACHE_TIER] = record.cache_tier
    served = record.served
    if served is not None:
        facts[names.SERVED_BY] = f"{served.provider}:{served.model}"
        facts[names.INPUT_TOKENS] = sum(attempt.usage.input_tokens for attempt in record.attempts)
        facts[names.OUTPUT_TOKENS] = sum(attempt.usage.output_tokens for attempt in record.attempts)
        facts[names.USAGE_ESTIMATED] = any(attempt.usage.estimated for attempt in record.attempts)
        if served.price_source is not None:
            facts[names.COST_SOURCE] = served.price_source
    cost = record.cost_nanos
    if cost is not None:
        facts[names.COST_AMOUNT] = cost / NANOS
        facts[names.COST_CURRENCY] = "USD"
    reported = record.reported_nanos
    if reported is not None:
        facts[names.COST_REPORTED] = reported / NANOS
        if cost is not None:
            facts[names.COST_DIFFERENCE] = (reported - cost) / NANOS
    if record.saved_nanos:
        facts[names.COST_SAVED] = record.saved_nanos / NANOS
    return facts


def _details(details: UsageDetails, cost: int | None) -> dict[str, Any]:
    """Describe what has a price of its own, and what the provider says that it cost."""
    ways = {"service_tier": names.SERVICE_TIER, "speed": names.SPEED, "region": names.REGION}
    facts: dict[str, Any] = {}
    for name, value in details.as_json().items():
        if name in ways:
            facts[ways[name]] = value
        elif name.endswith("_tokens"):
            facts[f"{names.USAGE_DETAIL}{name}"] = value
    computed = details.prompt_nanoseconds + details.reply_nanoseconds
    if computed:
        facts[names.COMPUTE_SECONDS] = computed / NANOS
    for kind, requests in details.server_tools:
        facts[f"{names.SERVER_TOOLS}{kind}"] = requests
    reported = details.reported_nanos
    if reported is not None:
        facts[names.COST_REPORTED] = reported / NANOS
        if cost is not None:
            facts[names.COST_DIFFERENCE] = (reported - cost) / NANOS
    return facts


def attempt_started(request: Request) -> dict[str, Any]:
    """Describe an attempt that is about to be sent."""
    facts: dict[str, Any] = {
        names.OPERATION: names.OPERATIONS[request.operation],
        names.PROVIDER: names.PROVIDERS.get(request.provider or "", request.provider),
        names.REQUEST_MODEL: request.model,
        names.ATTEMPT_NUMBER: request.attempt,
        names.ATTEMPT_KIND: request.kind,
    }
    if request.operation == "embed":
        return facts if request.dimensions is None else {**facts, names.REQUEST_DIMENSIONS: request.dimensions}
    facts[names.REQUEST_STREAM] = request.stream
    parameters = (
        (names.REQUEST_MAX_TOKENS, request.max_output_tokens),
        (names.REQUEST_TEMPERATURE, request.temperature),
        (names.REQUEST_TOP_P, request.top_p),
        (names.REQUEST_SEED, request.seed),
        (names.REQUEST_STOP, request.stop or None),
    )
    facts.update((name, value) for name, value in parameters if value is not None)
    return facts


def embedding_ended(
    attempt: Attempt, *, response_model: str | None, response_id: str | None, dimensions: int | None
) -> dict[str, Any]:
    """Describe an attempt that ended and was for vectors: there is no output, and no limit to it."""
    facts = attempt_ended(attempt, response_model=response_model, response_id=response_id)
    for name in (names.USAGE_OUTPUT, names.REQUEST_MAX_TOKENS, names.RESPONSE_FIRST_CHUNK):
        facts.pop(name, None)
    if dimensions is not None:
        facts[names.REQUEST_DIMENSIONS] = dimensions
    return facts


def attempt_ended(attempt: Attempt, *, response_model: str | None, response_id: str | None) -> dict[str, Any]:
    """Describe an attempt that ended."""
    usage, most = attempt.usage, attempt.max_output_tokens
    facts: dict[str, Any] = {
        names.USAGE_INPUT: usage.input_tokens,
        names.USAGE_OUTPUT: usage.output_tokens,
        names.USAGE_ESTIMATED: usage.estimated,
        names.OUTCOME: attempt.outcome,
        names.RESPONSE_MODEL: response_model or attempt.model,
    }
    if most is not None:  # a budget may have lowered it since the attempt was started
        facts[names.REQUEST_MAX_TOKENS] = most
    if usage.cache_read_tokens:
        facts[names.USAGE_CACHE_READ] = usage.cache_read_tokens
    if usage.cache_write_tokens:
        facts[names.USAGE_CACHE_WRITE] = usage.cache_write_tokens
    if usage.reasoning_tokens:
        facts[names.USAGE_REASONING] = usage.reasoning_tokens
    if usage.details is not NO_DETAILS:
        facts |= _details(usage.details, attempt.cost_nanos)
    if response_id is not None:
        facts[names.RESPONSE_ID] = response_id
    if attempt.finish_reason is not None:
        facts[names.RESPONSE_FINISH_REASONS] = (attempt.finish_reason,)
    if attempt.first_chunk_seconds is not None:
        facts[names.RESPONSE_FIRST_CHUNK] = attempt.first_chunk_seconds
    if attempt.cost_nanos is not None:
        facts[names.COST_AMOUNT] = attempt.cost_nanos / NANOS
        facts[names.COST_CURRENCY] = "USD"
        facts[names.COST_SOURCE] = attempt.price_source or ""
    return facts
