"""What the log says of retries and fallbacks: who is asked next, after whom, and what somebody should mend."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeAlias

from inferkit.core.errors import (
    AuthenticationFailed,
    BudgetExceeded,
    InvalidRequest,
    LocalModelError,
    ProviderError,
    RateLimited,
)

if TYPE_CHECKING:
    from inferkit.core.request import Request, Target

__all__ = ["Failure", "tell_of_next"]

Failure: TypeAlias = ProviderError | BudgetExceeded | LocalModelError
"""What takes a call from one candidate to the next."""

_log = logging.getLogger("inferkit")
_NOT_FOUND = 404


def tell_of_next(attempt: Request, failed: Target | None, failure: Failure) -> None:
    """Log what is asked next, and why: nothing of what was asked or said, and no words of a provider's."""
    why = type(failure).__name__
    if isinstance(failure, ProviderError) and failure.status is not None:
        why = f"{why}, HTTP {failure.status}"
    call, asked, before = attempt.record.id, attempt.target and attempt.target.name, failed and failed.name
    if asked == before:
        _log.info("call %s: %s is asked again (%s)", call, asked, why)
        return
    remedy = _to_be_mended(failure)
    level, hint = (logging.WARNING, f": {remedy}") if remedy else (logging.INFO, "")
    _log.log(level, "call %s: %s is asked after %s failed (%s)%s", call, asked, before, why, hint)


def _to_be_mended(failure: Failure) -> str:
    """Say what somebody has to do about a failure that others make up for, if anything: else nobody would notice."""
    if isinstance(failure, LocalModelError):
        return str(failure)
    if isinstance(failure, AuthenticationFailed):
        return "its key is refused; set the right one"
    if isinstance(failure, RateLimited) and not failure.retryable:
        return "its account has no credit left; top it up"
    if isinstance(failure, InvalidRequest) and failure.status == _NOT_FOUND:
        return "it does not know the model; correct the name in models="
    return ""
