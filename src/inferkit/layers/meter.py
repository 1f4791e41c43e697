"""Prices every attempt at the rate of the model that served it, failed ones too.

The innermost layer: it sees one request to one model. What the provider reports is what counts; where it reports
nothing, what is likely is booked, by what was seen of the reply, and the attempt is marked as estimated.

It is longer than other modules: each chunk of every stream passes here, and what is seen of it, when it is looked at
again and what it comes to at the end are one state, of which a part elsewhere would cost a call a chunk.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

from inferkit.core.attempt import Attempt
from inferkit.core.body import TextBatch
from inferkit.core.chunks import Chunk
from inferkit.core.errors import DeadlineExceeded, LedgerError
from inferkit.core.usage import NO_DETAILS, Usage
from inferkit.layers.raced import RACE, TooLateError
from inferkit.layers.unbilled import cost_nothing, told_by
from inferkit.pricing.likely import LikelyTokens
from inferkit.pricing.terms import PLAIN, served_on, terms_of
from inferkit.pricing.tokens import HELD, Seen, leave

if TYPE_CHECKING:
    from collections.abc import Sequence

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
_STEP = 32  # characters after which to count again, at least
_OUTPUT = itemgetter(Usage._fields.index("output_tokens"))
_DENSE = 0.7  # tokens a character, which few texts exceed


class Meter:
    """Adds an `Attempt` to the call's record for each request that goes through, exactly once, when it has ended.

    Where the budget layer holds something for the call, an attempt that the hold does not cover, beside those that run
    already, may write less, or is refused before it is sent (`BudgetExceeded`), and a stream that runs past what the
    hold buys, because its provider ignores `max_output_tokens`, is cut. What providers report is what `likely` learns
    from, and the input also `learned`.
    """

    role = "meter"

    def __init__(self, prices: PriceBook, learned: LearnedEstimates | None = None) -> None:
        self.prices = prices
        self.learned = learned
        self.likely = LikelyTokens()

    def __repr__(self) -> str:
        return "Meter()"

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """See `Layer`."""
        provider = request.provider or ""
        target = request.target
        price = None if target is None or target.model != request.model else target.price
        if price is None:
            price = self.prices.find(provider, request.model)
        hold: Hold | None = request.record.hold
        if price is None and hold is not None and hold.counts_money:
            price = self.prices.price(provider, request.model)  # says what is missing
        race = request.extensions.get(RACE)  # asked after the hold, which goes when its call is settled
        if race is not None and race.is_over:
            raise TooLateError
        running = _Running(self, request, price)
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
        "blank", "chars", "chunks", "ended", "first", "hold", "keep", "kind", "learned", "likely", "look_at", "most",
        "price", "prices", "reason", "request", "seen", "started", "usage", "was_cut",
    )  # fmt: skip

    def __init__(self, meter: Meter, request: Request, price: Price | None) -> None:
        self.request = request
        self.price = price
        self.prices, self.likely, self.learned = meter.prices, meter.likely, meter.learned
        self.hold: Hold | None = None
        self.kind = request.kind
        self.started = 0.0
        self.first: float | None = None
        self.ended: Attempt | None = None
        self.chunks = 0
        self.blank = 0  # those of them without content
        self.seen = Seen()
        self.keep = self.seen.pieces.append
        self.chars = 0
        self.usage: Usage | None = None
        self.reason: str | None = None
        self.was_cut = False
        self.most = _NEVER  # output tokens that the hold pays for
        self.look_at = HELD  # characters at which to count what has come

    async def cover(self, hold: Hold) -> Request:
        """Make sure that what is held pays for this attempt; give the request with the output that it pays for."""
        output = await hold.cover(self, self.request, self.price)
        if output is not None:
            self.hold = hold
            if not getattr(self.request.target and self.request.target.adapter, "keeps_limit", False):
                self.most = output
                self.look_at = min(HELD, output)
            if output != self.request.max_output_tokens:
                self.request = self.request.replace(max_output_tokens=output)
        return self.request

    def start(self) -> None:
        """Count as running from here on. Raises `LedgerError` where that comes too late for anybody to pay."""
        record = self.request.record
        self.started = self.request.runtime.now()
        record.running.setdefault(self, (0, 0))
        if record.is_settled:  # in another thread, which looked at what is running after it had said so
            record.running.pop(self, None)
            raise LedgerError(f"call {record.id} was settled before another attempt of it could begin")

    def see(self, chunk: Chunk) -> Chunk:
        """Count a chunk. Runs for every chunk of every call."""
        if self.first is None:
            self.first = self.request.runtime.now()
        self.chunks += 1
        text = chunk.text
        if text:
            self.chars += len(text)
            self.keep(text)
        else:
            self.blank += 1
        if chunk.reasoning or chunk.tool_calls:
            self._see_more(chunk)
        usage = chunk.usage
        if usage is not None:
            self.usage = usage if self.usage is None else Usage.last_of((self.usage, usage))
            self.seen.reported_at = self.chars
        if chunk.finish_reason is not None:
            self.reason = chunk.finish_reason
            if chunk.finish_reason == "length" and self.hold is not None and self.hold.sets_length:
                return chunk._replace(finish_reason="budget")
        elif self.chars > self.look_at or (usage is not None and usage.output_tokens > self.most):
            return self._look(chunk)
        return chunk

    def see_all(self, batch: Batch) -> Batch | None:
        """Count several chunks, if they are plain text, and it is not time to look at them more closely."""
        if type(batch) is TextBatch and batch.texts is not None:
            return self._see_texts(batch, batch.texts)
        if not batch:
            return batch
        if batch[-1].finish_reason is not None:
            return None
        texts, reasoning, calls, reasons, reports, *_ = zip(*batch, strict=True)
        if any(reasoning) or any(calls) or reasons.count(None) < len(batch):
            return None
        return batch if self._count(texts, reports) else None

    def _see_texts(self, batch: TextBatch, texts: list[str]) -> Batch | None:
        """Count chunks the first of which have these texts; those after them may say that the reply is over."""
        others = batch[len(texts) :]
        if others and others[0].finish_reason is None:
            return None
        if not self._count(texts, () if batch.usage is None else (batch.usage,)):
            return None
        if not others:
            return batch
        return TextBatch.of([*batch[: len(texts)], *map(self.see, others)], texts, batch.usage)

    def _count(self, texts: Sequence[str], reports: Sequence[Usage | None]) -> bool:
        """Count texts, and what was reported with them, unless it is time to look at them more closely."""
        text = "".join(texts)
        chars = self.chars + len(text)
        if chars > self.look_at:
            self._look_again_after(self._surely())
            if chars > self.look_at:
                return False
        if any(reports):
            known = [each for each in reports if each is not None]
            if len(known) < len(reports) or (self.most < _NEVER and max(map(_OUTPUT, known)) > self.most):
                return False
            self.usage = Usage.last_of(known if self.usage is None else (self.usage, *known))
            self.seen.reported_at = chars
        if self.first is None:
            self.first = self.request.runtime.now()
        self.chars = chars
        self.blank += texts.count("")
        self.chunks += len(texts)
        self.keep(text)
        return True

    def _see_more(self, chunk: Chunk) -> None:
        if not chunk.text:
            self.blank -= 1
        if chunk.reasoning:
            self.seen.reasoning += len(chunk.reasoning)
            self.chars += len(chunk.reasoning)
            self.keep(chunk.reasoning)
        for call in chunk.tool_calls:
            text = (call.name or "") + call.arguments
            self.chars += len(text)
            self.keep(text)

    def _look(self, chunk: Chunk) -> Chunk:
        """Count what has come, and cut the stream where it is plainly more than is paid for."""
        hold, tokens = self.hold, self._surely()
        if chunk.usage is not None:
            tokens = max(tokens, chunk.usage.output_tokens)
        if tokens > self.most and hold is not None and self.reason is None and not self.was_cut:
            self.most = max(self.most, hold.all_for(self, self.request, self.price))
            if tokens > self.most:
                self.was_cut = True
                if hold.truncates:
                    return Chunk(text=chunk.text, finish_reason="budget")
                raise hold.cut()
        self._look_again_after(tokens)
        return chunk

    def _surely(self) -> float:
        """Count what has come, at least, or a little more where that is within what is paid for."""
        self.seen.chars, self.seen.chunks = self.chars, self.chunks - self.blank
        return self.likely.surely(self.request, self.seen, above=self.most)

    def _look_again_after(self, tokens: float) -> None:
        """Say when to count again, where so many have come."""
        density = max(_DENSE, 2 * tokens / max(1, self.chars))
        self.look_at = self.chars + min(HELD, max(_STEP, self.most >> 5, int((self.most - tokens) / density)))

    def end(self, end: End) -> None:
        """Record the attempt, whose stream has ended."""
        request, seen = self.request, self.seen
        self.most = _NEVER  # what is late was written, so it is billed, and is not to be cut any more
        for chunk in end.late:
            self.see(chunk)
        seen.chars, seen.chunks = self.chars, self.chunks - self.blank
        usage = (None if end.error is None else told_by(end.error)) or self._usage(end.outcome)
        if not usage.estimated:
            now, models = request.runtime.now(), self.likely.models
            leave(models, request, usage, seen, seconds=now - self.started, waited=self._waited())
            if self.learned is not None:
                self.learned.learn(request, usage.input_tokens)
            if usage.details is not NO_DETAILS and self.price is not None:
                self.price.learn(usage)
        self._record(end.outcome, end.error, usage)

    def so_far(self) -> tuple[Usage, int | None]:
        """Say what is likely of an attempt while it runs, and what it costs."""
        if self.first is None:
            unseen = self.likely.written_unseen(self.request, self._waited())
            usage = Usage(self.likely.input(self.request), unseen, estimated=True)
        else:
            usage = self._usage("closed")
        return usage, None if self.price is None else self.price.cost(usage)

    def _waited(self) -> float:
        """How many seconds it took until the first chunk."""
        return (self.request.runtime.now() if self.first is None else self.first) - self.started

    def fail(self, error: BaseException) -> None:
        """Record the attempt, which came to nothing."""
        outcome: Outcome = "error" if isinstance(error, Exception) else "cancelled"
        if cost_nothing(error):
            self._record(outcome, error, Usage(), billed=False)
            return
        usage = told_by(error)
        if usage is not None:
            self._record(outcome, error, usage)
            return
        unseen = self.likely.written_unseen(self.request, self._waited())
        self._record(outcome, error, Usage(self.likely.input(self.request), unseen, estimated=True))

    def _usage(self, outcome: Outcome) -> Usage:
        """Give what was reported, and what is likely of the rest: a broken stream's last report may be an old one."""
        usage = self.usage or Usage()
        final = outcome == "completed" or self.reason is not None
        if final and usage.input_tokens and (usage.output_tokens or not self.chars):
            return usage
        tokens = usage.input_tokens or self.likely.input(self.request)
        output, reasoning = usage.output_tokens, usage.reasoning_tokens
        if not final or not output:
            output = max(output, self.likely.output(self.request, self.seen, self._waited(), output))
            if self.chars:
                reasoning = max(reasoning, -(-output * self.seen.reasoning // self.chars))
        return usage._replace(input_tokens=tokens, output_tokens=output, reasoning_tokens=reasoning, estimated=True)

    def _otherwise(self, usage: Usage) -> tuple[int | None, str | None, bool]:
        """Say what is booked where the way it was served, or part of it, has no known price.

        At the default if one is stated; or what was held, as an estimate, where a budget of money pays for it; or else
        its cost is not known. Also say whose price that is, and whether it is an estimate.
        """
        plain = usage._replace(details=NO_DETAILS)
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
        if request.extra or usage.details is not NO_DETAILS or request.operation != "chat":
            details = served_on(usage.details, terms_of(request) if request.extra else PLAIN, request.operation)
            usage = usage._replace(details=details if billed else NO_DETAILS)
        cost = None if self.price is None else self.price.cost(usage) if billed else 0
        source = None if self.price is None else self.price.source
        if cost is None and self.price is not None:
            cost, source, estimated = self._otherwise(usage)
            usage = usage._replace(estimated=estimated)
        self.ended = Attempt(
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
            saved_nanos=0 if self.price is None or not billed else self.price.cache_saved(usage),
            max_output_tokens=request.max_output_tokens,
        )
        record.attempts.append(self.ended)  # before it stops running: whoever adds up looks the other way round
        record.running.pop(self, None)
