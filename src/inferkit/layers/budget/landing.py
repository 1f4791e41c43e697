"""Ends a reply that its budget cut by a few tokens of a local model: its sentence, or the object of its schema.

What a landing takes is charged to the call's one hold, so it is kept free of it where a budget limits the reply.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from inferkit.core.chunks import Chunk
from inferkit.core.errors import InferkitError, NoRoute
from inferkit.core.messages import ReasoningPart, TextPart
from inferkit.layers.budget.truncation import close_cut
from inferkit.layers.seam import NoSeamError, Seam
from inferkit.ledger.amounts import NOTHING, Amounts
from inferkit.typed.expected import EXPECTED

if TYPE_CHECKING:
    from inferkit.core.body import Batch
    from inferkit.core.request import Handler, Request, Target
    from inferkit.core.response import Response
    from inferkit.pricing.price_book import PriceBook

__all__ = ["Landed", "kept_for_landing"]

_log = logging.getLogger("inferkit")
_SECONDS = 10.0
_UNSET: dict[str, Any] = {
    "response_schema": None, "tools": (), "tool_choice": None, "stop": (), "extra": {}, "temperature": None,
    "top_p": None, "seed": None, "reasoning_effort": None, "logprobs": None, "top_logprobs": None, "prediction": None,
    "prompt_cache_key": None, "prompt_cache_retention": None,
}  # fmt: skip
"""What the caller asked of the model that was cut."""


def kept_for_landing(request: Request, prices: PriceBook) -> Amounts:
    """Give what a landing may cost at most; nothing where there is no model for it."""
    try:
        target = _landing_target(request)
    except InferkitError:
        return NOTHING
    tokens, output = target.adapter.landing_tokens  # type: ignore[attr-defined]  # it lands
    price = target.price or prices.find(target.provider, target.model)
    return Amounts(0 if price is None else price.upper_bound(tokens, output), tokens + output)


def _landing_target(request: Request) -> Target:
    """Give the local model that a budget names, or one of the call's candidates, or the embedded one.

    Raises `NoRoute` where there is none.
    """
    name = next((scope.budget.land_with for scope in request.scopes if scope.budget.land_with), None)
    candidates = request.candidates if name is None else ()
    for targets in (candidates, _behind(request, name or "local")):
        for target in targets:
            if hasattr(target.adapter, "landing"):
                return target
    raise NoRoute(f'no local model stands behind "{name or "local"}"')


def _behind(request: Request, name: str) -> tuple[Target, ...]:
    names = request.record.names
    found: tuple[Target, ...] = () if names is None else names[name]
    return found


class Landed:
    """Ends a reply as `Truncated` does, with what lands it before the end. `source` is the part at hand.

    Where it cannot be landed (there is no such model, it fails, or does not end in time), it stays as it was cut, and
    the log says why. The words of the landing are handed over together, or not at all.
    """

    __slots__ = ("_call_next", "_calls", "_closed", "_end", "_over", "_request", "_said", "source")

    def __init__(self, source: Response, request: Request, call_next: Handler) -> None:
        self.source = source
        self._request = request
        self._call_next = call_next
        self._said: list[str] = []
        self._calls = self._over = self._closed = False
        self._end: Chunk | None = None

    async def __anext__(self) -> Batch:
        """Give the next chunks, then what lands them, and none after the last."""
        if self._over:
            raise StopAsyncIteration
        if self._end is None:
            batch = await self.source.next_batch()
            reasons = [chunk.finish_reason for chunk in batch]
            is_cut = "budget" in reasons
            batch = batch[: reasons.index("budget") + 1] if is_cut else batch
            self._keep(batch)
            if not is_cut:
                return batch
            await close_cut(self.source)
            last = batch[-1]
            self._end = Chunk(finish_reason="budget", usage=last.usage, event=last.event, extra=last.extra)
            batch[-1] = last._replace(finish_reason=None, usage=None, event=None, extra=None)
            if any(chunk.has_content for chunk in batch):
                return batch
        end, self._over = self._end, True
        words = await self._words()
        return [Chunk(words), end] if words else [end]

    async def aclose(self) -> None:
        """Have no landing begun, and close one that has begun since somebody looked."""
        self._closed = True
        await self.source.aclose()

    def _keep(self, batch: Batch) -> None:
        for chunk in batch:
            if chunk.restarts:
                self._said.clear()
            self._said.append(chunk.text)
            more = chunk.tool_calls or [part for part in chunk.parts if not isinstance(part, TextPart | ReasoningPart)]
            self._calls = self._calls or bool(more)

    async def _words(self) -> str:
        """Give what lands the reply; nothing where that fails, whatever it is that does."""
        request, said = self._request, "".join(self._said)
        if self._calls or not said.strip() or self._closed:
            return ""
        record = request.record
        before = record.provider, record.model, record.clamped
        try:
            words = await self._landed(said)
        except Exception as error:
            why = f"{type(error).__name__}: {error}" if isinstance(error, InferkitError) else type(error).__name__
            record.note("landing", at=len(said), error=type(error).__name__)
            _log.warning("call %s: its reply stays as its budget cut it, since it could not be landed: %s",
                         record.id, why)  # fmt: skip
            return ""
        finally:
            record.provider, record.model, record.clamped = before
        if words:
            record.landed = len(said)
        return words

    async def _landed(self, said: str) -> str:
        request = self._request
        record, runtime = request.record, request.runtime
        target = _landing_target(request)
        adapter: Any = target.adapter
        landing = adapter.landing(request, said)
        if landing.text is not None:
            record.note("landing", at=len(said), how="mark" if landing.text else "whole")
            return str(landing.text)
        until = runtime.now() + _SECONDS
        asks = request.replace(
            **_UNSET,
            model=target.name,
            candidates=(target,),
            messages=landing.messages,
            grammar=landing.grammar,
            max_output_tokens=adapter.landing_tokens[1],
            attempt_kind="landing",
            deadline=until if request.deadline is None else min(until, request.deadline),
            extensions={key: value for key, value in request.extensions.items() if key is not EXPECTED},
        )
        self.source = response = await self._call_next(asks)
        if self._closed:
            await response.aclose()
            return ""
        chunks = await response.read()
        words = "".join([chunk.text for chunk in Seam(landing.words).fit(chunks)])
        if not any(chunk.finish_reason == "stop" for chunk in chunks):
            if landing.or_else is None:
                raise NoSeamError
            words = words[: words.rfind(" ") + 1].rstrip() + landing.or_else
        record.note("landing", at=len(said), how="model", target=target.name)
        _log.info("call %s: its budget cut its reply, and %s landed it", record.id, target.name)
        return words
