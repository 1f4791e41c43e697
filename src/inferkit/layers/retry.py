"""Walks the candidates until one begins to answer: retries and fallbacks, up to the first chunk.

The first chunk is the commit point. Before it anything may be tried again; after it the caller has seen text, so a
failure is `StreamInterrupted` and carries what had been received.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from inferkit.core.errors import (
    ConfigurationError,
    ContentFiltered,
    InferkitError,
    ProviderError,
    StreamInterrupted,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.core.attempt import AttemptKind
    from inferkit.core.body import Batch
    from inferkit.core.request import Handler, Request, Target
    from inferkit.core.response import Response

__all__ = ["Retry", "backoff"]


def backoff(round_number: int, *, base: float, longest: float, spread: float, asked: float = 0.0) -> float:
    """Give the wait in seconds before a round of retries (the first retry is round 1).

    It doubles from `base` up to `longest`, scaled by `spread` (0 to 1) into its upper half, so that clients that
    failed together do not return together. A provider's own `asked` wait is never undercut.
    """
    wait = min(longest, base * 2.0 ** (round_number - 1)) * (0.5 + spread / 2)
    return max(wait, asked)


class Retry:
    """Tries candidates in order; when all have failed for passing reasons, waits and goes round again.

    At most `1 + max_retries` requests are sent, or one a candidate where there are more candidates than that. A
    candidate that refused for good (wrong key, invalid request) is not asked again, the others are. Refused content
    is not taken to another model. A wait that would pass the call's deadline, or is longer than `longest_wait`
    seconds, is not begun: the last error is raised at once.
    """

    role = "retry"

    def __init__(
        self,
        max_retries: int = 2,
        *,
        base: float = 0.5,
        longest: float = 8.0,
        longest_wait: float = 60.0,
        random: Callable[[], float] = random.random,
    ) -> None:
        if not isinstance(max_retries, int) or max_retries < 0:
            raise ConfigurationError(f"max_retries is 0 or more, a whole number; got {max_retries!r}")
        if base <= 0 or longest < base or longest_wait < 0:
            raise ConfigurationError("base and longest are in seconds, base above 0 and longest at least as much")
        self._max_retries = max_retries
        self._base = base
        self._longest = longest
        self._longest_wait = longest_wait
        self._random = random

    async def __call__(self, request: Request, call_next: Handler) -> Response:
        """Return the first response that begins, or raise the last error."""
        runtime = request.runtime
        remaining = list(request.candidates)
        allowed = max(1 + self._max_retries, len(remaining))
        not_before: dict[str, float] = {}
        number = round_number = 0
        before = len(request.record.attempts)  # a budget may have taken the call to a smaller model after these
        failure: ProviderError | None = None
        try:
            while True:
                for target in list(remaining):
                    if not_before.get(target.name, 0.0) > runtime.now():
                        continue
                    number += 1
                    try:
                        response = await _begin(_attempt(request, target, before + number, round_number), call_next)
                        request.record.provider, request.record.model = target.provider, target.model
                        return response  # noqa: TRY300 - what else is tried is the loop's business
                    except ContentFiltered:
                        raise
                    except ProviderError as error:
                        failure = error
                        _note_failure(request, target, before + number, error)
                        if not error.retryable:
                            remaining.remove(target)
                        elif error.retry_after is not None:
                            not_before[target.name] = runtime.now() + error.retry_after
                    if number == allowed:
                        raise failure
                round_number += 1
                if not remaining or not await self._wait(request, round_number, remaining, not_before):
                    assert failure is not None
                    raise failure
        finally:
            failure = None  # its traceback holds this frame: a cycle that would keep the call alive

    async def _wait(
        self, request: Request, round_number: int, remaining: list[Target], not_before: dict[str, float]
    ) -> bool:
        """Wait until a candidate may be asked again; False where that would take too long."""
        now = request.runtime.now()
        asked = min(not_before.get(target.name, 0.0) for target in remaining) - now
        delay = backoff(round_number, base=self._base, longest=self._longest, spread=self._random(), asked=asked)
        if delay > self._longest_wait or (request.deadline is not None and now + delay >= request.deadline):
            return False
        request.record.note("retry", round=round_number, delay=delay)
        await request.runtime.sleep(delay)
        return True


def _attempt(request: Request, target: Target, number: int, round_number: int) -> Request:
    kind: AttemptKind = "primary" if number == 1 else "retry" if round_number else "fallback"
    return request.replace(
        provider=target.provider, model=target.model, target=target, attempt=number, attempt_kind=kind
    )


def _note_failure(request: Request, target: Target, number: int, error: ProviderError) -> None:
    facts = {"attempt": number, "target": target.name, "error": type(error).__name__}
    if error.status is not None:
        facts["status"] = error.status
    request.record.note("retry", **facts)


async def _begin(request: Request, call_next: Handler) -> Response:
    """Wait for the first batch that carries something, and hand the whole stream on."""
    response = await call_next(request)
    received: Batch = []
    try:
        while True:
            batch = await response.next_batch()
            received += batch
            for chunk in batch:
                if chunk.has_content or chunk.finish_reason:
                    return response.through(_Committed(response, received, request.provider or ""))
    except StopAsyncIteration:
        pass
    except BaseException as error:
        await response.aclose(error=error)
        raise
    raise Unavailable(f"{request.provider} ended the reply before it began; try again", provider=request.provider or "")


class _Committed:
    """The stream from the commit point on: failures are final."""

    __slots__ = ("_provider", "_received", "_source")

    def __init__(self, source: Response, received: Batch, provider: str) -> None:
        self._source = source
        self._received = received
        self._provider = provider

    async def __anext__(self) -> Batch:
        if self._received:
            received, self._received = self._received, []
            return received
        try:
            return await self._source.next_batch()
        except ProviderError as error:
            raise self._interrupted(error) from error

    def _interrupted(self, error: ProviderError) -> InferkitError:
        return StreamInterrupted(
            f"{self._provider} broke off the stream ({type(error).__name__}); what came is in .partial",
            provider=self._provider,
            status=error.status,
            code=error.code,
            retryable=error.retryable,
            retry_after=error.retry_after,
        )
