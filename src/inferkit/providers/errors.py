"""What a provider's refusal means: from its status, headers and error object to one of inferkit's errors.

The provider's own words may quote the prompt or part of a key, so they go to `detail` and not into the message.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import (
    AuthenticationFailed,
    ContentFiltered,
    ContextOverflow,
    InvalidRequest,
    ProviderError,
    RateLimited,
    Unavailable,
)
from inferkit.resilience.quotas import quota_headers
from inferkit.runtime import clock, imports

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["redact", "refusal", "unusable"]

_CODE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_DETAIL_CHARACTERS = 2000

_REMOVED = "[removed]"
_TELLING = 8  # characters: what is shorter is in other words by chance

_BY_CODE: dict[str, type[ProviderError]] = {
    "API_KEY_EXPIRED": AuthenticationFailed,
    "API_KEY_INVALID": AuthenticationFailed,
    "AccessDeniedException": AuthenticationFailed,
    "ExpiredTokenException": AuthenticationFailed,
    "InvalidSignatureException": AuthenticationFailed,
    "ThrottlingException": RateLimited,
    "UnrecognizedClientException": AuthenticationFailed,
    "ValidationException": InvalidRequest,
    "authentication_error": AuthenticationFailed,
    "content_blocked": ContentFiltered,
    "content_filter": ContentFiltered,
    "content_policy_violation": ContentFiltered,
    "context_length_exceeded": ContextOverflow,
    "context_window_exceeded": ContextOverflow,
    "data_inspection_failed": ContentFiltered,
    "exceed_context_size_error": ContextOverflow,
    "insufficient_quota": RateLimited,
    "invalid_api_key": AuthenticationFailed,
    "invalid_request_error": InvalidRequest,
    "model_not_found": InvalidRequest,
    "moderation_blocked": ContentFiltered,
    "permission_error": AuthenticationFailed,
    "rate_limit_error": RateLimited,
    "rate_limit_exceeded": RateLimited,
}
_WHATEVER_THE_STATUS = {AuthenticationFailed, ContentFiltered, ContextOverflow}
_OUT_OF_CREDIT = {"insufficient_quota", "billing_hard_limit_reached", "insufficient_balance"}
_TRY_LATER = {408, 409, 424, 425}
_TOO_LONG_STATUSES = {None, 400, 413, 422}
_TOO_LONG = re.compile(
    r"maximum (?:context|prompt|input|sequence) length|max_model_len|available context size"
    r"|(?:prompt|input) is too long"
    r"|context (?:length|size|window) (?:of|is|was|has been|exceeded)|exceeds? the (?:model's )?(?:maximum )?context"
    r"|input token count|too large for model with|reduce the length of (?:the messages|your prompt|the prompt)",
    re.IGNORECASE,
)
"""What servers say of a prompt that does not fit, where they have no code for it."""
_MODERATED = re.compile(r"violates .{0,40}(?:guidelines|policy)|SAFETY_CHECK|moderation|was flagged", re.IGNORECASE)
"""What servers say of a prompt that they do not like, under the status of a key that may not do this."""

_REMEDY: dict[type[ProviderError], str] = {
    ContextOverflow: "the prompt does not fit into the model's context; shorten it, or name a model with a longer one",
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
    type_ = _named(fields.get("type"))
    code = _named(fields.get("code"))
    if code is None or (type_ is not None and _as_status(code) is not None):  # the status says no more than HTTP did
        code = type_ or code
    detail = fields.get("message") if fields else error
    detail = detail if isinstance(detail, str) else text
    meaning = status if status is not None else _as_status(fields.get("code"))
    kind = _kind(meaning, code, type_)
    if kind is AuthenticationFailed and meaning == 403 and _is_moderation(fields, detail):  # noqa: PLR2004 - HTTP
        kind = ContentFiltered
    if kind in {InvalidRequest, Unavailable} and meaning in _TOO_LONG_STATUSES and _says(_TOO_LONG, detail):
        kind = ContextOverflow
    out_of_credit = meaning == 402 or code in _OUT_OF_CREDIT or type_ in _OUT_OF_CREDIT  # noqa: PLR2004 - HTTP
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
    own_words = " (its own words, which may quote the prompt, are in .detail)" if detail else ""
    wait = None
    if retryable:
        imports.load("inferkit.providers.waits")
        from inferkit.providers.waits import requested_wait, wait_in

        wait = requested_wait(headers, wall_clock=clock.time())
        if wait is None:
            wait = wait_in(error if fields else detail)
    more: dict[str, Any] = {}
    if kind is ContextOverflow:
        more = {"prompt_tokens": _count(fields.get("n_prompt_tokens")), "context_length": _count(fields.get("n_ctx"))}
    made = kind(
        f"{provider} answered with an error ({facts or 'inside its reply'}): {remedy}{own_words}",
        provider=provider,
        status=status,
        code=code,
        retryable=retryable,
        retry_after=wait,
        detail=detail[:_DETAIL_CHARACTERS] if isinstance(detail, str) else None,
        **more,
    )
    made.quota_headers = quota_headers(headers)
    return made


def redact(error: ProviderError, secrets: Iterable[str]) -> ProviderError:
    """Take what is secret out of an error that a server may have made of what was sent to it.

    What is so short that it is in many words by chance is taken out where it stands by itself.
    """
    for secret in secrets:
        found = re.compile(re.escape(secret) if len(secret) >= _TELLING else rf"(?<!\w){re.escape(secret)}(?!\w)")
        if error.detail is not None:
            error.detail = found.sub(_REMOVED, error.detail)
        if error.code is not None and found.search(error.code):
            error.code = None
            error.args = (found.sub(_REMOVED, str(error)),)
    return error


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
    return by_code if by_code in _WHATEVER_THE_STATUS and by_code is not None else InvalidRequest


def _is_moderation(fields: Mapping[str, Any], detail: Any) -> bool:
    """Say whether a server that forbids a request does so for what is in it."""
    about = fields.get("metadata")
    flagged = isinstance(about, dict) and not about.keys().isdisjoint({"reasons", "flagged_input"})
    return flagged or _says(_MODERATED, detail)


def _says(words: re.Pattern[str], detail: Any) -> bool:
    return isinstance(detail, str) and words.search(detail[:_DETAIL_CHARACTERS]) is not None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _named(code: Any) -> str | None:
    if isinstance(code, int) and not isinstance(code, bool):
        code = str(code)
    return code if isinstance(code, str) and _CODE.fullmatch(code) else None


def _as_status(code: Any) -> int | None:
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) == 3:  # noqa: PLR2004 - HTTP
        code = int(code)
    return code if isinstance(code, int) and 400 <= code < 600 else None  # noqa: PLR2004 - HTTP
