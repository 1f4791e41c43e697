"""Errors in the form of the Chat Completions wire, read and written."""

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

_MEANINGS: tuple[tuple[type[InferkitError], int, str, str], ...] = (
    (BudgetExceeded, 402, "budget_exceeded", "budget_exceeded"),
    (DeadlineExceeded, 504, "timeout", "deadline_exceeded"),
    (NoRoute, 404, "invalid_request_error", "model_not_found"),
    (ContentFiltered, 400, "invalid_request_error", "content_filter"),
    (AuthenticationFailed, 401, "authentication_error", "invalid_api_key"),
    (RateLimited, 429, "rate_limit_error", "rate_limit_exceeded"),
    (InvalidRequest, 400, "invalid_request_error", "invalid_request_error"),
    (ConfigurationError, 400, "invalid_request_error", "invalid_request_error"),
    (ProviderError, 503, "server_error", "unavailable"),
)


def error_in(content: Any) -> Any:
    """Give the error object of a payload, or None. vLLM sends it bare, Ollama as text, Gemini within a list."""
    if isinstance(content, list) and content:
        content = content[0]
    if not isinstance(content, dict):
        return None
    error = content.get("error") or (content if content.get("object") in ("error", "Error") else None)
    if isinstance(error, str) and isinstance(content.get("code"), str):  # xAI has them side by side
        return {"message": error, "code": content["code"]}
    return error


read_error = error_reader(error_in)
"""Say what a refusal means."""


def write_error(error: InferkitError) -> tuple[int, dict[str, str], bytes]:
    """Write an error as a status, headers and a body. Its text is ours, and quotes nothing."""
    status, type_, code = next(
        ((status, type_, code) for kind, status, type_, code in _MEANINGS if isinstance(error, kind)),
        (500, "server_error", "internal_error"),
    )
    status, headers = status_of(error, status)
    if isinstance(error, ProviderError):
        code = error.code or code
    body = {"error": {"message": str(error), "type": type_, "param": None, "code": code}}
    return status, headers, write(body)


def write_failure(error: InferkitError) -> bytes:
    """Write the event of a stream that broke: the body of the error."""
    return b"data: " + write_error(error)[2] + b"\n\n"
