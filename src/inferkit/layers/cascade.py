"""Asks the candidates of a call one after another until a reply is good enough: the mechanism behind `Cascade`.

It stands where the route does, so that each candidate passes the retry layer, and all are charged to the call's one
hold. All of them together send no more requests than any other call: one is kept for each candidate, so that one which
fails is passed by at once, and what is left are retries of the last.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from inferkit.core.errors import BudgetExceeded, DeadlineExceeded, InferkitError, LocalModelError, ProviderError
from inferkit.core.reply import Reply
from inferkit.core.request import sent_to
from inferkit.core.response import Response
from inferkit.layers.bound import KEPT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.chunks import Chunk
    from inferkit.core.record import CallRecord
    from inferkit.core.request import Handler, Request, Target
    from inferkit.resilience.failover import Failover
    from inferkit.routing.cascade import Cascade

__all__ = ["cascaded"]

_log = logging.getLogger("inferkit")


class _Said(NamedTuple):
    """A whole reply, and whose it is."""

    target: Target
    chunks: list[Chunk]
    model: str | None
    id: str | None
    headers: Mapping[str, str]

    def handed_on(self, request: Request) -> Response:
        return Response.of(self.chunks, runtime=request.runtime, model=self.model, id=self.id, headers=self.headers)


async def cascaded(request: Request, call_next: Handler, cascade: Cascade, failover: Failover) -> Response:
    """Hand on the first reply that is good enough, or that of the last candidate.

    One that fails, or that a budget does not cover, is passed by. Where nobody is left, the error is raised, or with
    `keep` the last reply that was judged is handed on.
    """
    record, kind = request.record, request.attempt_kind
    said: _Said | None = None
    for place, target in enumerate(request.candidates):
        following = request.candidates[place + 1 :]
        asks = sent_to(request, [target], attempt_kind=kind, **(cascade.fields if following else {}))
        if following:
            asks = KEPT.on(asks, len(following))
        try:
            response = await call_next(asks)
            if not following:
                return response
            model, name, headers = response.model, response.id, response.headers
            latest = _Said(target, await response.read(), model, name, headers)
        except InferkitError as error:
            if following and _is_passed_by(error, failover):
                _tell_of_failure(record, target, error)
                kind = "fallback" if said is None else "escalation"
                continue
            if said is None or not cascade.keep:
                raise
            return _kept(request, said, target, error)
        said = latest
        enough, worth = await cascade.judged(request, Reply.of(said.chunks, record))
        facts = {} if worth is None else {"worth": worth}
        record.note("cascade", target=target.name, accepted=enough, **facts)
        if enough:
            return said.handed_on(request)
        _log.info(
            "call %s: the reply of %s is not good enough, and %s is asked", record.id, target.name, following[0].name
        )
        kind = "escalation"
    raise AssertionError  # the last one is returned, or raises


def _is_passed_by(error: InferkitError, failover: Failover) -> bool:
    """Whether others are asked after an error. Not where the budget that refuses may take the call elsewhere itself."""
    if not isinstance(error, ProviderError | BudgetExceeded | LocalModelError) or failover.action(error) == "raise":
        return False
    return not isinstance(error, BudgetExceeded) or error.others_may_do


def _tell_of_failure(record: CallRecord, target: Target, error: InferkitError) -> None:
    record.note("cascade", target=target.name, error=type(error).__name__)
    _log.log(_level(error), "call %s: %s gives no reply to judge (%s)", record.id, target.name, _why(error))


def _kept(request: Request, said: _Said, target: Target, error: InferkitError) -> Response:
    """Hand on a reply that is not good enough, since `target` gives no better one."""
    record = request.record
    record.note("cascade", target=target.name, error=type(error).__name__, kept=said.target.name)
    _log.log(
        _level(error),
        "call %s: %s gives no reply (%s), and that of %s is handed on, which is not good enough",
        record.id, target.name, _why(error), said.target.name,
    )  # fmt: skip
    record.provider, record.model = said.target.provider, said.target.model
    record.was_not_good_enough = True
    return said.handed_on(request)


def _level(error: InferkitError) -> int:
    """Say how loud to be: a warning where somebody should act."""
    passes = isinstance(error, BudgetExceeded | DeadlineExceeded) or (
        isinstance(error, ProviderError) and error.retryable
    )
    return logging.INFO if passes else logging.WARNING


def _why(error: InferkitError) -> str:
    """Name an error, without words of a provider's."""
    name = type(error).__name__
    if isinstance(error, BudgetExceeded):
        return f"{name}: budget {error.scope}"
    return f"{name}: {error}" if isinstance(error, LocalModelError) else name
