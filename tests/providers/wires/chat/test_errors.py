"""Errors, to the wire and back."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from inferkit.core.errors import (
    AuthenticationFailed,
    BudgetExceeded,
    ConfigurationError,
    ContentFiltered,
    DeadlineExceeded,
    InvalidRequest,
    LedgerError,
    NoRoute,
    RateLimited,
    StreamInterrupted,
    Unavailable,
)
from inferkit.providers.wires.chat.wire import CHAT


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationFailed("no", provider="p"),
        ContentFiltered("no", provider="p", status=400),
        InvalidRequest("no", provider="p", status=413, code="too_long"),
        RateLimited("no", provider="p", retry_after=1.5),
        Unavailable("no", provider="p", status=529),
        Unavailable("no", provider="p", status=200),
        Unavailable("no", provider="p", code="connect"),
    ],
)
def test_a_providers_error_that_is_handed_on_is_understood_by_whoever_gets_it(error):
    status, headers, body = CHAT.write_error(error)
    again = CHAT.read_error("us", status, headers, body)
    assert type(again) is type(error)
    assert not again.retryable, "what could be tried was tried"
    assert again.detail == str(error)
    if error.code:
        assert again.code == error.code


def test_words_and_a_code_side_by_side_are_an_error_with_both():
    body = b'{"code": "Client specified an invalid argument", "error": "Incorrect API key provided"}'
    error = CHAT.read_error("xai", 400, {}, body)
    assert (type(error), error.detail) == (InvalidRequest, "Incorrect API key provided")
    error = CHAT.read_error("xai", 400, {}, b'{"code": "invalid_model", "error": "no such model"}')
    assert (error.code, error.detail) == ("invalid_model", "no such model")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BudgetExceeded("spent", scope="all", limit=Decimal(1), spent=Decimal(1)), 402, "budget_exceeded"),
        (DeadlineExceeded(), 504, "deadline_exceeded"),
        (NoRoute("nothing"), 404, "model_not_found"),
        (ConfigurationError("wrong"), 400, "invalid_request_error"),
        (StreamInterrupted("broke", provider="p", partial="secret words"), 503, "unavailable"),
        (LedgerError("locked"), 500, "internal_error"),
    ],
)
def test_an_error_of_our_own_has_a_status_and_a_code(error, status, code):
    sent, headers, body = CHAT.write_error(error)
    assert sent == status
    assert json.loads(body)["error"]["code"] == code
    assert headers["x-should-retry"] == "false"
    assert b"secret" not in body
