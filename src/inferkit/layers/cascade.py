"""Asks the candidates of a call one after another until a reply is good enough: the mechanism behind `Cascade`.

It stands where the route does, so that each candidate has its own retries, and all are charged to the call's one hold.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from inferkit.core.errors import BudgetExceeded, LocalModelError, ProviderError
from inferkit.core.reply import Reply
from inferkit.core.request import sent_to
from inferkit.core.response import Response

if TYPE_CHECKING:
    from inferkit.core.chunks import Chunk
    from inferkit.core.request import Handler, Request
    from inferkit.resilience.failover import Failover
    from inferkit.routing.cascade import Cascade

__all__ = ["cascaded"]

_log = logging.getLogger("inferkit")


async def cascaded(request: Request, call_next: Handler, cascade: Cascade, failover: Failover) -> Response:
    """Hand on the first reply that is good enough, or that of the last candidate."""
    record, kind = request.record, request.attempt_kind
    kept: tuple[list[Chunk], str, str] | None = None
    *others, last = request.candidates
    for target in others:
        try:
            response = await call_next(sent_to(request, [target], attempt_kind=kind, **cascade.fields))
            model, name, headers = response.model, response.id, response.headers
            chunks = await response.read()
        except (ProviderError, LocalModelError) as error:
            if failover.action(error) == "raise":
                raise
            record.note("cascade", target=target.name, error=type(error).__name__)
            level, why = logging.WARNING, type(error).__name__
            if isinstance(error, LocalModelError):
                why = f"{why}: {error}"
            elif error.retryable:
                level = logging.INFO
            _log.log(level, "call %s: %s gives no reply to judge (%s)", record.id, target.name, why)
            kind = "fallback"
            continue
        reply = Reply.of(chunks, record)
        enough, worth = await cascade.judged(request, reply)
        facts = {} if worth is None else {"worth": worth}
        record.note("cascade", target=target.name, accepted=enough, **facts)
        if enough:
            return Response.of(chunks, runtime=request.runtime, model=model, id=name, headers=headers)
        _log.info("call %s: the reply of %s is not good enough, and %s is asked", record.id, target.name, last.name)
        kept = chunks, target.provider, target.model
        kind = "escalation"
    try:
        return await call_next(sent_to(request, [last], attempt_kind=kind))
    except (ProviderError, BudgetExceeded, LocalModelError) as error:
        if not cascade.keep or kept is None:
            raise
        record.note("cascade", target=last.name, error=type(error).__name__, kept=True)
        chunks, record.provider, record.model = kept
        return Response.of(chunks, runtime=request.runtime)
