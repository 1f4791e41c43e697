"""Prices every attempt at the rate of the model that served it, failed ones too.

The innermost layer: it sees one request to one model. What the provider reports is what counts; where it reports
nothing, the bytes that were seen are an upper bound on the tokens, and the attempt is marked as estimated.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from inferkit.core.attempt import Attempt
from inferkit.core.chunks import Chunk
from inferkit.core.errors import (
    ConfigurationError,
    DeadlineExceeded,
    NoRoute,
    ProviderError,
    StreamInterrupted,
    Unavailable,
)
from inferkit.core.usage import NO_DETAILS, Usage, UsageDetails
from inferkit.pricing.estimates import input_tokens
from inferkit.pricing.terms import PLAIN, served_on, terms_of
from inferkit.pricing.tokens import utf8_length

if TYPE_CHECKING:
    from inferkit.core.attempt import Outcome
    from inferkit.core.body import Batch, End
    from inferkit.core.request import Handler, Request
    from inferkit.core.response import Response
    from inferkit.layers.budget.hold import Hold
    from inferkit.pricing.estimates import LearnedEstimates
    from inferkit.pricing.price_book import PriceBook
    from inferkit.pricing.prices import Price

__all__ = ["Meter"]

_NEVER = 2**63
_NOT_CACHED: dict[str, Any] = {name: 0 for name in UsageDetails._fields if name.startswith("cache_")}
_LONG_TOKEN = 8  # characters; no reply of ordinary text, code or JSON averages more a token
_SLACK = 256  # characters
_FIRST_STATUS_WITHOUT_REPLY = 300  # redirects are not followed


class Meter:
    """Adds an `Attempt` to the call's record for each request that goes through, exactly once, when it has ended.

    Where the budget layer holds something for the call, an attempt that the hold does not cover, beside those that run
    already, may write less, or is refused before it is sent (`BudgetExceeded`), and a stream that runs past what the
    hold buys, because its provider ignores `max_output_tokens`, is cut. What a provider reports as input is what
    `learned` learns from.
    """

    role = "meter"

    def __init__(self, prices: PriceBook, learned: LearnedEstimates | None = None) -> None:
        self._prices = prices
        self._learned = learned

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """See `Layer`."""
        provider = request.provider or ""
        target = request.target
        price = None if target is None or target.model != request.model else target.price
        if price is None:
            price = self._prices.find(provider, request.model)
        hold: Hold | None = request.record.hold
        if price is None and hold is not None and hold.counts_money:
            price = self._prices.price(provider, request.model)  # says what is missing
        running = _Running(request, price, self._prices, self._learned)
        if hold is not None:
            request = await running.cover(hold)
        running.start()
        try:
            response = await call_next(request)
        except BaseException as error:
            running.fail(error)
            raise
        return response.map(running.see, change_all=running.see_all, on_close=running.end)


class _Running:
    """One attempt while it runs."""

    __slots__ = (
        "bytes", "chunks", "cut_at", "first", "hold", "kind", "learned", "most", "price", "prices", "reason",
        "reasoning", "request", "started", "usage", "was_cut",
    )  # fmt: skip

    def __init__(
        self, request: Request, price: Price | None, prices: PriceBook, learned: LearnedEstimates | None
    ) -> None:
        self.request = request
        self.price = price
        self.prices = prices
        self.learned = learned
        self.hold: Hold | None = None
        self.kind = request.kind
        self.started = 0.0
        self.first: float | None = None
        self.chunks = 0
        self.bytes = 0
        self.reasoning = 0  # bytes among them
        self.usage: Usage | None = None
        self.reason: str | None = None
        self.was_cut = False
        self.most = _NEVER  # output tokens that the hold pays for
        self.cut_at = _NEVER  # bytes that cannot be fewer tokens than that

    async def cover(self, hold: Hold) -> Request:
        """Make sure that what is held pays for this attempt; give the request with the output that it pays for."""
        output = await hold.cover(self, self.request, self.price)
        if output is not None:
            self.hold = hold
            self._allow(output)
            if output != self.request.max_output_tokens:
                self.request = self.request.replace(max_output_tokens=output)
        return self.request

    def _allow(self, output: int) -> None:
        self.most = output
        self.cut_at = output * _LONG_TOKEN + _SLACK

    def start(self) -> None:
        """Count as running from here on."""
        self.request.record.running.setdefault(self, (0, 0))
        self.started = self.request.runtime.now()

    def see(self, chunk: Chunk) -> Chunk:
        """Count a chunk. Runs for every chunk of every call."""
        if self.first is None:
            self.first = self.request.runtime.now()
        self.chunks += 1
        text = chunk.text
        if text:
            self.bytes += len(text) if text.isascii() else utf8_length(text)
        if chunk.reasoning or chunk.tool_calls:
            self._see_more(chunk)
        if chunk.usage is not None:
            self.usage = chunk.usage if self.usage is None else _latest(self.usage, chunk.usage)
        if chunk.finish_reason is not None:
            self.reason = chunk.finish_reason
            if chunk.finish_reason == "length" and self.hold is not None and self.hold.sets_length:
                return chunk._replace(finish_reason="budget")
        elif self.bytes > self.cut_at or (chunk.usage is not None and chunk.usage.output_tokens > self.most):
            return self._cut(chunk)
        return chunk

    def see_all(self, batch: Batch) -> Batch | None:
        """Count several chunks, if they are plain text that stays within what is paid for."""
        if self.first is None or [c for c in batch if c[1] or c[2] or c[3] is not None or c[4] is not None]:
            return None
        text = "".join([chunk[0] for chunk in batch])
        size = self.bytes + (len(text) if text.isascii() else utf8_length(text))
        if size > self.cut_at:
            return None
        self.bytes = size
        self.chunks += len(batch)
        return batch

    def _see_more(self, chunk: Chunk) -> None:
        size = utf8_length(chunk.reasoning)
        self.reasoning += size
        self.bytes += size
        for call in chunk.tool_calls:
            self.bytes += utf8_length(call.arguments) + utf8_length(call.name or "")

    def _cut(self, chunk: Chunk) -> Chunk:
        if self.hold is None or self.reason is not None or self.was_cut:
            return chunk
        self._take_what_is_left(self.hold)
        if self.bytes <= self.cut_at and (chunk.usage is None or chunk.usage.output_tokens <= self.most):
            return chunk
        self.was_cut = True
        if self.hold.truncates:
            return Chunk(text=chunk.text, finish_reason="budget")
        raise self.hold.cut()

    def _take_what_is_left(self, hold: Hold) -> None:
        """Use more than was committed to this attempt, where more is held: for a dearer candidate, for example."""
        running, tokens = self.request.record.running, hold.input_bound(self.request)
        most_nanos, most_tokens = (max(0, left) + own for left, own in zip(hold.left(), running[self], strict=True))
        running[self] = most_nanos, most_tokens
        most = most_tokens - tokens if hold.counts_tokens else _NEVER
        if hold.counts_money and self.price is not None:
            price = hold.bounds(self.request, self.price) or self.price
            affordable = price.affordable_output(tokens, most_nanos)
            most = most if affordable is None else min(most, affordable)
        self._allow(max(self.most, most))

    def end(self, end: End) -> None:
        """Record the attempt, whose stream has ended."""
        usage = self._final_usage(end.outcome)
        if self.learned is not None and not usage.estimated:
            self.learned.learn(self.request, usage.input_tokens)
        self._record(end.outcome, end.error, usage)

    def fail(self, error: BaseException) -> None:
        """Record the attempt, which came to nothing."""
        outcome: Outcome = "error" if isinstance(error, Exception) else "cancelled"
        if _cost_nothing(error):
            self._record(outcome, error, Usage(), billed=False)
        else:
            self._record(outcome, error, Usage(self._input_bound(), self._unseen_tokens(), estimated=True))

    def _unseen_tokens(self) -> int:
        """Give what may be billed of a reply that never came: a whole one may have been written to its end."""
        return 0 if self.request.stream else self.request.max_output_tokens or 0

    def _input_bound(self) -> int:
        return input_tokens(self.request, self.learned) if self.hold is None else self.hold.input_bound(self.request)

    def _final_usage(self, outcome: Outcome) -> Usage:
        """Give what was reported, and estimates for what was not: a broken stream's last report may be an old one."""
        usage = self.usage or Usage()
        final = outcome == "completed" or self.reason is not None
        if final and usage.input_tokens and (usage.output_tokens or not self.bytes):
            return usage
        tokens = usage.input_tokens or self._input_bound()
        output, reasoning = usage.output_tokens, usage.reasoning_tokens
        if not final or not output:
            output = max(output, self._seen_tokens())
            if self.price is not None and self.price.rates(tokens).reasoning_is_dearer:
                reasoning = max(reasoning, min(self.reasoning, output))
        return Usage(
            tokens, output, usage.cache_read_tokens, usage.cache_write_tokens, reasoning,
            estimated=True, details=usage.details,
        )  # fmt: skip

    def _seen_tokens(self) -> int:
        """Give an upper bound of the tokens that were seen, which is the cap unless it was plainly not kept."""
        most = self.request.max_output_tokens
        if most is None or self.bytes > most * _LONG_TOKEN + _SLACK:
            return self.bytes
        return min(self.bytes, most)

    def _otherwise(self, usage: Usage) -> tuple[int | None, str | None, bool]:
        """Say what is booked where the way it was served, or part of it, has no known price.

        At the default if one is stated; or what was held, as an estimate, where a budget of money pays for it; or else
        its cost is not known. Also say whose price that is, and whether it is an estimate.
        """
        plain = dataclasses.replace(usage, details=NO_DETAILS)
        assert self.price is not None
        default = self.prices.otherwise
        if default is not None:
            return default.cost(plain), default.source, usage.estimated
        if self.hold is None or not self.hold.counts_money:
            return None, self.price.source, usage.estimated
        committed, _ = self.request.record.running.get(self, (0, 0))
        return max(committed, self.price.cost(plain) or 0), self.price.source, True

    def _record(self, outcome: Outcome, error: BaseException | None, usage: Usage, *, billed: bool = True) -> None:
        request, record = self.request, self.request.record
        provider = request.provider or ""
        name = None if error is None else type(error).__name__
        if outcome == "cancelled" and request.deadline is not None and request.runtime.now() >= request.deadline:
            outcome, name = "error", DeadlineExceeded.__name__  # its adapter was cut before it could say so
        if request.extra or usage.details is not NO_DETAILS:
            terms = terms_of(request) if request.extra else PLAIN
            usage = dataclasses.replace(usage, details=served_on(usage.details, terms) if billed else NO_DETAILS)
        cost = None if self.price is None else self.price.cost(usage) if billed else 0
        source = None if self.price is None else self.price.source
        if cost is None and self.price is not None:
            cost, source, estimated = self._otherwise(usage)
            usage = dataclasses.replace(usage, estimated=estimated)
        record.attempts.append(
            Attempt(
                number=request.attempt or len(record.attempts) + 1,
                kind=self.kind,
                provider=provider,
                model=request.model,
                outcome=outcome,
                usage=usage,
                cost_nanos=cost,
                price_source=source,
                seconds=request.runtime.now() - self.started,
                first_chunk_seconds=None if self.first is None else self.first - self.started,
                chunks=self.chunks,
                error=name,
                finish_reason="budget" if self.was_cut else self.reason,
                saved_nanos=0 if self.price is None or not billed else _saved(self.price, usage),
                max_output_tokens=request.max_output_tokens,
            )
        )
        record.running.pop(self, None)


def _latest(before: Usage, after: Usage) -> Usage:
    """Take the later report, and the earlier one where the later says nothing: some providers report in two parts."""
    return Usage(
        after.input_tokens or before.input_tokens,
        after.output_tokens or before.output_tokens,
        after.cache_read_tokens or before.cache_read_tokens,
        after.cache_write_tokens or before.cache_write_tokens,
        after.reasoning_tokens or before.reasoning_tokens,
        after.estimated or before.estimated,
        before.details if after.details is NO_DETAILS else after.details,
    )


def _saved(price: Price, usage: Usage) -> int:
    """Give what the provider's prompt cache saved: nothing of it, at the price of plain input, less what it cost."""
    if not usage.cache_read_tokens and not usage.cache_write_tokens:
        return 0
    plain = usage.details._replace(**_NOT_CACHED)
    without = price.cost(dataclasses.replace(usage, cache_read_tokens=0, cache_write_tokens=0, details=plain))
    cost = price.cost(usage)
    return 0 if cost is None or without is None else without - cost


def _cost_nothing(error: BaseException) -> bool:
    """Whether a request that failed this way cannot have been billed: never sent, or answered with an error status."""
    if isinstance(error, ConfigurationError | NoRoute):
        return True
    if not isinstance(error, ProviderError) or isinstance(error, StreamInterrupted):
        return False
    if error.status is not None:
        return error.status >= _FIRST_STATUS_WITHOUT_REPLY
    return isinstance(error, Unavailable) and error.code == "connect"
