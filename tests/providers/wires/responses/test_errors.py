"""Errors of the Responses wire, read and written."""

from __future__ import annotations

import json

import pytest

from inferkit.core.errors import (
    AuthenticationFailed,
    ContentFiltered,
    ContextOverflow,
    InvalidRequest,
    RateLimited,
    Unavailable,
)
from inferkit.providers.wires.responses.wire import RESPONSES_WIRE


def read(status, code, message="of theirs", **headers):
    body = json.dumps({"error": {"message": message, "type": None, "param": None, "code": code}}).encode()
    return RESPONSES_WIRE.read_error("openai", status, headers, body)


@pytest.mark.parametrize(
    ("status", "code", "kind", "retryable"),
    [
        (400, "invalid_image", InvalidRequest, False),
        (400, "context_length_exceeded", ContextOverflow, False),
        (400, "image_content_policy_violation", ContentFiltered, False),
        (401, "invalid_api_key", AuthenticationFailed, False),
        (404, "previous_response_not_found", InvalidRequest, False),
        (429, "rate_limit_exceeded", RateLimited, True),
        (429, "insufficient_quota", RateLimited, False),
        (500, "server_error", Unavailable, True),
    ],
)
def test_each_refusal_has_its_meaning(status, code, kind, retryable):
    error = read(status, code)
    assert (type(error), error.code, error.status, error.retryable) == (kind, code, status, retryable)
    assert error.detail == "of theirs"


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"message": "x"}', b'{"error": "a text"}', b'{"object": "response"}']
)
def test_a_body_of_another_form_is_told_by_its_status(body):
    assert type(RESPONSES_WIRE.read_error("openai", 503, {}, body)) is Unavailable


def test_what_is_written_is_read_back():
    status, headers, body = RESPONSES_WIRE.write_error(RateLimited("slow", provider="p", retry_after=2.5))
    again = RESPONSES_WIRE.read_error("p", status, headers, body)
    assert (type(again), again.retryable) == (RateLimited, False)
    assert headers["retry-after"] == "2.500"
