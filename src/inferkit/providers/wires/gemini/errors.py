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
from inferkit.providers.wires.codec import error_reader, status_of
from inferkit.providers.wires.payload import write

if TYPE_CHECKING:
    from inferkit.core.errors import InferkitError

__all__ = ["error_in", "read_error", "write_error", "write_failure"]

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


read_error = error_reader(error_in)
"""Say what a refusal means."""


def write_error(error: InferkitError) -> tuple[int, dict[str, str], bytes]:
    """Write an error as a status, headers and a body. Its text is ours, and quotes nothing."""
    status, word = next(
        ((status, word) for kind, status, word in _MEANINGS if isinstance(error, kind)), (500, "INTERNAL")
    )
    status, headers = status_of(error, status)
    said: dict[str, Any] = {"code": status, "message": str(error), "status": word}
    if "retry-after" in headers:
        wait = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{headers['retry-after']}s"}
        said["details"] = [wait]
    return status, headers, write({"error": said})


def write_failure(error: InferkitError) -> bytes:
    """Write the event of a stream that broke: the body of the error."""
    return b"data: " + write_error(error)[2] + b"\n\n"
