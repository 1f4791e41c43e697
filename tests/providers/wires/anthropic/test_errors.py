"""Errors of the Anthropic wire, read and written."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from inferkit.core.errors import (
    AuthenticationFailed,
    BudgetExceeded,
    ConfigurationError,
    ContextOverflow,
    DeadlineExceeded,
    InferkitError,
    InvalidRequest,
    NoRoute,
    RateLimited,
    Unavailable,
)
from inferkit.providers.wires.anthropic.wire import ANTHROPIC_WIRE


def read(status, type_, message="of theirs", **headers):
    body = json.dumps({"type": "error", "error": {"type": type_, "message": message}, "request_id": "r"}).encode()
    return ANTHROPIC_WIRE.read_error("anthropic", status, headers, body)


@pytest.mark.parametrize(
    ("status", "type_", "kind", "retryable"),
    [
        (400, "invalid_request_error", InvalidRequest, False),
        (401, "authentication_error", AuthenticationFailed, False),
        (402, "billing_error", RateLimited, False),
        (403, "permission_error", AuthenticationFailed, False),
        (404, "not_found_error", InvalidRequest, False),
        (413, "request_too_large", InvalidRequest, False),
        (429, "rate_limit_error", RateLimited, True),
        (500, "api_error", Unavailable, True),
        (504, "timeout_error", Unavailable, True),
        (529, "overloaded_error", Unavailable, True),
    ],
)
def test_each_refusal_has_its_meaning(status, type_, kind, retryable):
    error = read(status, type_)
    assert (type(error), error.code, error.status, error.retryable) == (kind, type_, status, retryable)
    assert error.detail == "of theirs"


def test_a_prompt_that_does_not_fit_is_known_by_its_words():
    said = "prompt is too long: 208310 tokens > 200000 maximum"
    assert type(read(400, "invalid_request_error", said)) is ContextOverflow


def test_how_long_to_wait_is_read_from_the_headers():
    assert read(429, "rate_limit_error", **{"retry-after": "7"}).retry_after == 7


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"message": "x"}', b'{"error": "a text"}', b'{"type": "error"}'])
def test_a_body_of_another_form_is_told_by_its_status(body):
    assert type(ANTHROPIC_WIRE.read_error("anthropic", 529, {}, body)) is Unavailable


@pytest.mark.parametrize(
    ("error", "status", "type_"),
    [
        (BudgetExceeded("over", scope="s", limit=Decimal(1), spent=Decimal(1)), 402, "billing_error"),
        (DeadlineExceeded("late"), 504, "timeout_error"),
        (NoRoute("none"), 404, "not_found_error"),
        (ConfigurationError("odd"), 400, "invalid_request_error"),
        (RateLimited("slow", provider="p", retry_after=2.5), 429, "rate_limit_error"),
        (Unavailable("down", provider="p", status=503), 503, "overloaded_error"),
        (Unavailable("down", provider="p"), 529, "overloaded_error"),
        (InferkitError("what"), 500, "api_error"),
    ],
)
def test_what_is_written_is_read_back(error, status, type_):
    found, headers, body = ANTHROPIC_WIRE.write_error(error)
    assert (found, headers["x-should-retry"]) == (status, "false")
    assert json.loads(body) == {"type": "error", "error": {"type": type_, "message": str(error)}}
    again = ANTHROPIC_WIRE.read_error("p", found, headers, body)
    assert (again.code, again.retryable) == (type_, False)
    if getattr(error, "retry_after", None):
        assert headers["retry-after"] == "2.500"
