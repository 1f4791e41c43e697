"""Errors of the Gemini wire, read and written."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from inferkit.core.errors import (
    AuthenticationFailed,
    BudgetExceeded,
    ConfigurationError,
    ContentFiltered,
    ContextOverflow,
    DeadlineExceeded,
    InferkitError,
    InvalidRequest,
    NoRoute,
    RateLimited,
    Unavailable,
)
from inferkit.providers.wires.gemini.wire import GEMINI_WIRE

WAIT = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7.5s"}


def info(reason):
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}


def read(status, word, message="of theirs", *details, listed=False):
    content = {"error": {"code": status, "message": message, "status": word, "details": list(details)}}
    body = json.dumps([content] if listed else content).encode()
    return GEMINI_WIRE.read_error("gemini", status, {}, body)


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize(
    ("status", "word", "kind", "retryable"),
    [
        (400, "INVALID_ARGUMENT", InvalidRequest, False),
        (400, "FAILED_PRECONDITION", InvalidRequest, False),
        (401, "UNAUTHENTICATED", AuthenticationFailed, False),
        (403, "PERMISSION_DENIED", AuthenticationFailed, False),
        (404, "NOT_FOUND", InvalidRequest, False),
        (429, "RESOURCE_EXHAUSTED", RateLimited, True),
        (500, "INTERNAL", Unavailable, True),
        (503, "UNAVAILABLE", Unavailable, True),
        (504, "DEADLINE_EXCEEDED", Unavailable, True),
    ],
)
def test_each_refusal_has_its_meaning(status, word, kind, retryable, listed):
    error = read(status, word, listed=listed)
    assert (type(error), error.code, error.status, error.retryable) == (kind, word, status, retryable)
    assert error.detail == "of theirs"


@pytest.mark.parametrize("reason", ["API_KEY_INVALID", "API_KEY_EXPIRED"])
def test_a_key_that_is_none_is_said_so_under_the_status_of_another_mistake(reason):
    error = read(400, "INVALID_ARGUMENT", "API key not valid.", 7, {"reason": 7}, info(reason))
    assert (type(error), error.code, error.status) == (AuthenticationFailed, reason, 400)


def test_other_reasons_change_nothing():
    assert type(read(400, "INVALID_ARGUMENT", "x", info("API_KEY_SERVICE_BLOCKED"))) is InvalidRequest


def test_a_prompt_that_does_not_fit_is_known_by_its_words():
    said = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
    assert type(read(400, "INVALID_ARGUMENT", said)) is ContextOverflow


def test_how_long_to_wait_is_read_from_the_details():
    assert read(429, "RESOURCE_EXHAUSTED", "x", {"@type": "QuotaFailure"}, WAIT).retry_after == 7.5
    assert read(429, "RESOURCE_EXHAUSTED", "Please retry in 3.5s.").retry_after == 3.5


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b"[7]", b'{"message": "x"}', b'{"error": "a text"}', b'{"error": {"details": 7}}']
)
def test_a_body_of_another_form_is_told_by_its_status(body):
    assert type(GEMINI_WIRE.read_error("gemini", 503, {}, body)) is Unavailable


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (BudgetExceeded("over", scope="s", limit=Decimal(1), spent=Decimal(1)), 402, "RESOURCE_EXHAUSTED"),
        (DeadlineExceeded("late"), 504, "DEADLINE_EXCEEDED"),
        (NoRoute("none"), 404, "NOT_FOUND"),
        (ConfigurationError("odd"), 400, "INVALID_ARGUMENT"),
        (ContentFiltered("no", provider="p"), 400, "INVALID_ARGUMENT"),
        (AuthenticationFailed("who", provider="p", status=403), 403, "UNAUTHENTICATED"),
        (RateLimited("slow", provider="p", retry_after=2.5), 429, "RESOURCE_EXHAUSTED"),
        (Unavailable("down", provider="p", status=200), 503, "UNAVAILABLE"),
        (InferkitError("?"), 500, "INTERNAL"),
    ],
)
def test_our_errors_are_written_in_its_words(error, status, word):
    said, headers, body = GEMINI_WIRE.write_error(error)
    content = json.loads(body)["error"]
    assert (said, content["code"], content["status"], content["message"]) == (status, status, word, str(error))
    assert headers["x-should-retry"] == "false"


def test_the_wait_that_was_written_is_read_back():
    status, headers, body = GEMINI_WIRE.write_error(RateLimited("slow", provider="p", retry_after=2.5))
    assert headers.pop("retry-after") == "2.500"
    del headers["x-should-retry"]
    again = GEMINI_WIRE.read_error("gemini", status, headers, body)
    assert (type(again), again.retry_after) == (RateLimited, 2.5)
