"""Where spans and metrics go: a tracer and the instruments, made once a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.metrics import get_meter

from inferkit.telemetry import names
from inferkit.telemetry.gauges import watch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.metrics import Histogram, MeterProvider
    from opentelemetry.trace import TracerProvider

    from inferkit.core.attempt import Attempt
    from inferkit.core.record import CallRecord
    from inferkit.core.request import Request
    from inferkit.telemetry.gauges import Watchable

__all__ = ["Telemetry"]

_OF_PROTECTION = {"limit", "retry"}  # events on a call's record

# The bucket boundaries that the conventions ask for.
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)


class Telemetry:
    """The tracer and the instruments of a client. They follow the global providers unless others are given.

    `time_per_output_chunk` is recorded once a call, as the mean over its chunks: one record a chunk would cost more
    than everything else that is done with a chunk.
    """

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self.tracer = trace.get_tracer(names.SCOPE, tracer_provider=tracer_provider, schema_url=names.SCHEMA_URL)
        meter = get_meter(names.SCOPE, meter_provider=meter_provider, schema_url=names.SCHEMA_URL)

        def histogram(name: str, unit: str, description: str, buckets: Sequence[float]) -> Histogram:
            return meter.create_histogram(
                name, unit=unit, description=description, explicit_bucket_boundaries_advisory=buckets
            )

        self._token_usage = histogram(names.TOKEN_USAGE, "{token}", "Tokens of an attempt", _TOKENS)
        self._duration = histogram(names.OPERATION_DURATION, "s", "Duration of an attempt", _SECONDS)
        self._first_chunk = histogram(names.TIME_TO_FIRST_CHUNK, "s", "Time from sending to first chunk", _SECONDS)
        self._per_chunk = histogram(names.TIME_PER_OUTPUT_CHUNK, "s", "Mean time between chunks", _SECONDS)
        self._call_duration = histogram(names.CALL_DURATION, "s", "Duration of a call with all attempts", _SECONDS)
        self._cache = meter.create_counter(names.CACHE_REQUESTS, unit="{request}", description="Look-ups by result")
        self._cost = meter.create_counter(names.COST, unit="{USD}", description="Cost of attempts in US dollars")
        self._more_attempts = meter.create_counter(
            names.MORE_ATTEMPTS, unit="{attempt}", description="Retries, fallbacks, hedges and others after the first"
        )
        self._passed_over = meter.create_counter(
            names.PASSED_OVER, unit="{candidate}", description="Candidates that were not asked, by reason"
        )
        self._limit_wait = histogram(names.LIMIT_WAIT, "s", "Time that a request waited for a limit", _SECONDS)
        self._limit_refused = meter.create_counter(
            names.LIMIT_REFUSED, unit="{request}", description="Requests that a limit turned away, by reason"
        )
        self._meter_provider = meter_provider
        self._rejections = meter.create_counter(
            names.BUDGET_REJECTIONS, unit="{call}", description="Calls that a budget refused or cut"
        )

    def attempt_ended(self, request: Request, attempt: Attempt) -> None:
        """Record one attempt."""
        labels = {
            names.OPERATION: names.OPERATIONS[request.operation],
            names.PROVIDER: names.PROVIDERS.get(attempt.provider, attempt.provider),
            names.REQUEST_MODEL: attempt.model,
        }
        failed = {} if attempt.error is None else {names.ERROR_TYPE: attempt.error}
        self._duration.record(attempt.seconds, {**labels, **failed})
        if attempt.usage.input_tokens or attempt.usage.output_tokens:
            self._token_usage.record(attempt.usage.input_tokens, {**labels, names.TOKEN_TYPE: "input"})
            if request.operation != "embed":
                self._token_usage.record(attempt.usage.output_tokens, {**labels, names.TOKEN_TYPE: "output"})
        if request.stream and attempt.first_chunk_seconds is not None:
            self._first_chunk.record(attempt.first_chunk_seconds, labels)
            if attempt.chunks > 1:
                self._per_chunk.record((attempt.seconds - attempt.first_chunk_seconds) / (attempt.chunks - 1), labels)
        if attempt.cost_nanos:
            self._cost.add(attempt.cost_nanos / 1e9, labels)

    def call_ended(self, model: str, record: CallRecord, outcome: str, seconds: float, error: str | None) -> None:
        """Record one call."""
        self._call_duration.record(seconds, {names.MODEL: model, names.OUTCOME: outcome})
        if record.cache is not None:
            self._cache.add(1, {names.CACHE_RESULT: record.cache})
        if error == "BudgetExceeded":
            self._rejections.add(1, {names.MODEL: model})
        if len(record.attempts) > 1:
            for attempt in record.attempts[1:]:
                self._more_attempts.add(1, {names.ATTEMPT_KIND: attempt.kind, names.TARGET: attempt.name})
        for event in record.events:
            if event.name in _OF_PROTECTION:
                self._count(event.attributes)

    def _count(self, facts: Mapping[str, Any]) -> None:
        """Count what protection did with a request."""
        target = facts.get("target")
        if "waited" in facts:
            self._limit_wait.record(facts["waited"], {names.TARGET: target})
        elif "refused" in facts:
            self._limit_refused.add(1, {names.TARGET: target, names.REASON: facts["refused"]})
        elif "skipped" in facts:
            self._passed_over.add(1, {names.TARGET: target, names.REASON: facts["skipped"]})

    def watch(self, standing: Watchable) -> None:
        """Have how the models of a client stand measured whenever somebody collects, as long as the client is there."""
        watch(standing, self._meter_provider)
