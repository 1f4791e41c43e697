"""inferkit's errors as those that Pydantic AI's users and its `FallbackModel` know, with inferkit's as their cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelOverloadedError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelServerError,
    ModelTimeoutError,
    ModelUnavailableError,
)

from inferkit.core.errors import DeadlineExceeded, ProviderError

if TYPE_CHECKING:
    from inferkit.core.errors import InferkitError

__all__ = ["raise_theirs"]

_NOT_FOUND, _SERVER, _OVERLOADED = 404, 500, 529
_CATEGORIES = {
    "RateLimited": ModelRateLimitError,
    "AuthenticationFailed": ModelAuthenticationError,
    "ContextOverflow": ModelContextWindowExceededError,
}


def raise_theirs(error: InferkitError, model: str, *, in_stream: bool = False) -> NoReturn:
    """Raise what stands for an error: of a provider's, or of time, Pydantic AI's own; any other as it is.

    What inferkit itself refuses (a budget, a name that nobody knows) is no failure of a model: no other model would
    make it right, so a `FallbackModel` is not to ask one.
    """
    theirs = _theirs(error, model, in_stream=in_stream)
    if theirs is None:
        raise error
    raise theirs from error


def _theirs(error: InferkitError, model: str, *, in_stream: bool) -> Exception | None:
    if isinstance(error, DeadlineExceeded):
        return ModelTimeoutError(model, str(error), in_stream=in_stream)
    if not isinstance(error, ProviderError):
        return None
    status, said = error.status, {"message": error.detail or str(error)}
    if status is None or status < 400:  # noqa: PLR2004 - what says that a request failed begins there
        kind = ModelConnectionError if error.retryable else ModelAPIError
        return kind(model, str(error), body=said, provider_error_code=error.code, in_stream=in_stream)
    return ModelHTTPError.for_category(
        _category(error, status),  # type: ignore[arg-type]
        status_code=status,
        model_name=model,
        body=said,
        provider_error_code=error.code,
        retry_after=error.retry_after,
        in_stream=in_stream,
    )


def _category(error: ProviderError, status: int) -> type[ModelAPIError]:
    known = _CATEGORIES.get(type(error).__name__)
    if known is not None:
        return known
    if status == _NOT_FOUND:
        return ModelNotFoundError
    if status < _SERVER:
        return ModelRequestRejectedError
    return (
        ModelOverloadedError
        if status == _OVERLOADED
        else ModelServerError
        if status == _SERVER
        else ModelUnavailableError
    )
