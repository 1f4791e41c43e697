"""Errors in the form of the Gemini wire, which is that of all of Google's, read and written.

https://ai.google.dev/gemini-api/docs/troubleshooting, https://google.aip.dev/193
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.errors import (
    AuthenticationFailed,
    BudgetExceeded,
    ConfigurationError,
    ContentFiltered,
    DeadlineExceeded,
    InvalidRequest,
    NoRoute,
    ProviderError,
    RateLimited,
)
from inferkit.providers.errors import refusal
from inferkit.providers.wires.payload import Malformed, parse, write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.core.errors import InferkitError

__all__ = ["error_in", "read_error", "write_error"]

_STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_OF_KEYS = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})
"""What Google says of a key under the status of a request that makes no sense."""

_MEANINGS: tuple[tuple[type[InferkitError], int, str], ...] = (
    (BudgetExceeded, 402, "RESOURCE_EXHAUSTED"),
    (DeadlineExceeded, 504, "DEADLINE_EXCEEDED"),
    (NoRoute, 404, "NOT_FOUND"),
    (ContentFiltered, 400, "INVALID_ARGUMENT"),
    (AuthenticationFailed, 401, "UNAUTHENTICATED"),
    (RateLimited, 429, "RESOURCE_EXHAUSTED"),
    (InvalidRequest, 400, "INVALID_ARGUMENT"),
    (ConfigurationError, 400, "INVALID_ARGUMENT"),
    (ProviderError, 503, "UNAVAILABLE"),
)


def error_in(content: Any) -> Any:
    """Give the error object of a payload, with its meaning as its `type`, or None. It may come within a list."""
    if isinstance(content, list):
        return next((error for each in content if (error := error_in(each)) is not None), None)
    error = content.get("error") if isinstance(content, dict) else None
    if not isinstance(error, dict):
        return error
    word = error.get("status")
    code = error.get("code")
    if code is None and isinstance(word, str):
        code = _STATUSES.get(word)
    return {**error, "code": code, "type": next((each for each in _reasons(error) if each in _OF_KEYS), word)}


def _reasons(error: dict[str, Any]) -> list[str]:
    details = error.get("details")
    given = [each.get("reason") for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    return [reason for reason in given if isinstance(reason, str)]


def read_error(provider: str, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Say what a refusal means."""
    try:
        error = error_in(parse(body))
    except Malformed:
        error = None
    return refusal(provider, status, headers, error, text=body.decode("utf-8", "replace"))


def write_error(error: InferkitError) -> tuple[int, dict[str, str], bytes]:
    """Write an error as a status, headers and a body.

    Whoever gets it is not to try again by itself: what could be tried was tried. Its text is ours, and quotes nothing.
    """
    status, word = next(
        ((status, word) for kind, status, word in _MEANINGS if isinstance(error, kind)), (500, "INTERNAL")
    )
    headers = {"content-type": "application/json", "x-should-retry": "false"}
    said: dict[str, Any] = {"code": status, "message": str(error), "status": word}
    if isinstance(error, ProviderError):
        if error.status is not None and 400 <= error.status < 600:  # noqa: PLR2004 - HTTP
            status = said["code"] = error.status
        if error.retry_after is not None:
            headers["retry-after"] = f"{error.retry_after:.3f}"
            wait = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{error.retry_after:.3f}s"}
            said["details"] = [wait]
    return status, headers, write({"error": said})
