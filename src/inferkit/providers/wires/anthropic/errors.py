"""Errors in the form of the Anthropic wire, read and written.

https://platform.claude.com/docs/en/api/errors
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.errors import (
    AuthenticationFailed,
    BudgetExceeded,
    ConfigurationError,
    ContextOverflow,
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

_MEANINGS: tuple[tuple[type[InferkitError], int, str], ...] = (
    (BudgetExceeded, 402, "billing_error"),
    (DeadlineExceeded, 504, "timeout_error"),
    (NoRoute, 404, "not_found_error"),
    (ContextOverflow, 400, "invalid_request_error"),
    (AuthenticationFailed, 401, "authentication_error"),
    (RateLimited, 429, "rate_limit_error"),
    (InvalidRequest, 400, "invalid_request_error"),
    (ConfigurationError, 400, "invalid_request_error"),
    (ProviderError, 529, "overloaded_error"),
)


def error_in(content: Any) -> Any:
    """Give the error object of a payload, or None. A proxy before the server may send it bare, or as a text."""
    if not isinstance(content, dict):
        return None
    error = content.get("error")
    if error is None and content.get("type") == "error":
        return content
    return error


read_error = error_reader(error_in)
"""Say what a refusal means."""


def write_error(error: InferkitError) -> tuple[int, dict[str, str], bytes]:
    """Write an error as a status, headers and a body. Its text is ours, and quotes nothing."""
    status, type_ = next(
        ((status, type_) for kind, status, type_ in _MEANINGS if isinstance(error, kind)), (500, "api_error")
    )
    status, headers = status_of(error, status)
    return status, headers, write({"type": "error", "error": {"type": type_, "message": str(error)}})


def write_failure(error: InferkitError) -> bytes:
    """Write the event of a stream that broke: the body of the error."""
    return b"event: error\ndata: " + write_error(error)[2] + b"\n\n"
