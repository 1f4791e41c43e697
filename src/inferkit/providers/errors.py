"""What a provider's refusal means: from its status, headers and error object to one of inferkit's errors.

The provider's own words may quote the prompt or part of a key, so they go to `detail` and not into the message.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import (
    AuthenticationFailed,
    ContentFiltered,
    InvalidRequest,
    ProviderError,
    RateLimited,
    Unavailable,
)
from inferkit.providers.waits import requested_wait
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["refusal", "unusable"]

_CODE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_DETAIL_CHARACTERS = 2000

_BY_CODE: dict[str, type[ProviderError]] = {
    "authentication_error": AuthenticationFailed,
    "content_filter": ContentFiltered,
    "content_policy_violation": ContentFiltered,
    "context_length_exceeded": InvalidRequest,
    "insufficient_quota": RateLimited,
    "invalid_api_key": AuthenticationFailed,
    "invalid_request_error": InvalidRequest,
    "model_not_found": InvalidRequest,
    "permission_error": AuthenticationFailed,
    "rate_limit_error": RateLimited,
    "rate_limit_exceeded": RateLimited,
}
_OUT_OF_CREDIT = {"insufficient_quota", "billing_hard_limit_reached", "insufficient_balance"}
_TRY_LATER = {408, 409, 425}

_REMEDY: dict[type[ProviderError], str] = {
    AuthenticationFailed: "check the API key, and that it may use this model",
    ContentFiltered: "its content filter refused the request; change the prompt",
    InvalidRequest: "it cannot serve this request; check the model's name, the parameters and the prompt's length",
    RateLimited: "it asks to slow down; wait, lower the rate, or add a fallback model",
    Unavailable: "it is overloaded or failed inside; try again, or add a fallback model",
}


def unusable(provider: str, what: str, *, status: int | None = None) -> Unavailable:
    """Make the error for an answer that is not what it should be."""
    return Unavailable(f"{provider}: {what}", provider=provider, status=status)


def refusal(
    provider: str, status: int | None, headers: Mapping[str, str], error: Any, *, text: str | None = None
) -> ProviderError:
    """Make the error for a refusal.

    `error` is the provider's error object where it sent one, `text` its words where it did not. `status` is None for
    an error inside a stream; a number in the object's `code` then stands for it.
    """
    fields: Mapping[str, Any] = error if isinstance(error, dict) else {}
    code = _named(fields.get("code")) or _named(fields.get("type"))
    meaning = status if status is not None else _as_status(fields.get("code"))
    kind = _kind(meaning, code, _named(fields.get("type")))
    out_of_credit = meaning == 402 or code in _OUT_OF_CREDIT or _named(fields.get("type")) in _OUT_OF_CREDIT  # noqa: PLR2004 - HTTP
    retryable = kind.retryable and not out_of_credit
    asked = headers.get("x-should-retry", "").strip().lower()
    if asked in {"true", "false"}:
        retryable = asked == "true"
    remedy = _REMEDY[kind]
    if out_of_credit:
        remedy = "the account has no credit left; top it up, or add a fallback model"
    elif meaning is not None and 300 <= meaning < 400:  # noqa: PLR2004 - HTTP
        remedy = "it redirects, which is not followed because the prompt would go along; correct base_url="
    facts = ", ".join([*([f"HTTP {status}"] if status is not None else []), *([code] if code else [])])
    detail = fields.get("message") if fields else error if isinstance(error, str) else text
    return kind(
        f"{provider} answered with an error ({facts or 'inside its reply'}): {remedy}",
        provider=provider,
        status=status,
        code=code,
        retryable=retryable,
        retry_after=requested_wait(headers, wall_clock=clock.time()) if retryable else None,
        detail=detail[:_DETAIL_CHARACTERS] if isinstance(detail, str) else None,
    )


def _kind(status: int | None, code: str | None, type_: str | None) -> type[ProviderError]:
    by_code = _BY_CODE.get(code or "") or _BY_CODE.get(type_ or "")
    if status is None:
        return by_code or Unavailable
    if status in {401, 403}:
        return ContentFiltered if by_code is ContentFiltered else AuthenticationFailed
    if status in {402, 429}:
        return RateLimited
    if status >= 500 or status in _TRY_LATER:  # noqa: PLR2004 - HTTP
        return Unavailable
    return ContentFiltered if by_code is ContentFiltered else InvalidRequest


def _named(code: Any) -> str | None:
    if isinstance(code, int) and not isinstance(code, bool):
        code = str(code)
    return code if isinstance(code, str) and _CODE.fullmatch(code) else None


def _as_status(code: Any) -> int | None:
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) == 3:  # noqa: PLR2004 - HTTP
        code = int(code)
    return code if isinstance(code, int) and 400 <= code < 600 else None  # noqa: PLR2004 - HTTP
