"""What statuses, headers and error objects mean: pure, so as tables."""

from __future__ import annotations

import json
import pickle

import pytest

from inferkit.core.errors import (
    AuthenticationFailed,
    ContentFiltered,
    ContextOverflow,
    InvalidRequest,
    ProviderError,
    RateLimited,
    Unavailable,
)
from inferkit.providers.errors import refusal
from inferkit.providers.waits import requested_wait, wait_in
from inferkit.providers.wires.chat.wire import CHAT

NOW = 1_000_000_000.0  # Sun, 09 Sep 2001 01:46:40 GMT


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Sun, 09 Sep 2001 01:47:00 GMT"}, 20.0),
        ({"retry-after": "Sun, 09 Sep 2001 01:00:00 GMT"}, 0.0),
        ({"retry-after": "Sun, 09 Sep 2001 03:47:00 +0200"}, 20.0),
        ({"retry-after": "Sun, 09 Sep 2001 01:47:00 -0000"}, 20.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1" * 310}, None),
        ({"retry-after": "1e309"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Sun, 09 Sep 99999999999 01:47:00 GMT"}, None),
        ({"retry-after": "99999999"}, None),
        ({"retry-after": "soon", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-requests": "1h2m3.5s", "x-ratelimit-reset-tokens": "20ms"}, 3723.5),
        ({"x-ratelimit-reset-requests": "1h", "x-ratelimit-reset-tokens": "20ms",
          "x-ratelimit-remaining-tokens": "0"}, 0.02),
        ({"x-ratelimit-reset-requests": "12"}, 12.0),
        ({"x-ratelimit-reset-requests": "1d1s"}, 86401.0),
        ({"x-ratelimit-reset-requests": "-6m"}, None),
        ({"x-ratelimit-reset-requests": "m"}, None),
    ],
)  # fmt: skip
def test_a_wait_is_read_and_nonsense_is_ignored(headers, wait):
    assert requested_wait(headers, wall_clock=NOW) == pytest.approx(wait)


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo"}


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        ({"details": [{"@type": "x"}, RETRY_INFO | {"retryDelay": "34s"}]}, 34.0),
        ({"details": [RETRY_INFO | {"retryDelay": "34.074824224s"}]}, 34.074824224),
        ({"details": [RETRY_INFO | {"retryDelay": "900ms"}]}, 0.9),
        ({"details": [RETRY_INFO | {"retryDelay": "soon"}]}, None),
        ({"details": [None, 5], "message": "no"}, None),
        ({"details": "no"}, None),
        ({"retry_after": 12}, 12.0),
        ({"retry_after": 1.5}, 1.5),
        ({"retry_after": True}, None),
        ({"retry_after": -3}, None),
        ({"metadata": {"headers": {"Retry-After": "9", "X-RateLimit-Reset": "1741305600000"}}}, 9.0),
        ({"metadata": {"headers": {"Retry-After": 9}}}, None),
        ({"message": "Rate limit reached for x on tokens per minute. Please try again in 7.66s. Visit"}, 7.66),
        ({"message": "Please try again in 6m0s."}, 360.0),
        ({"message": "Please retry after 20 seconds."}, 20.0),
        ({"message": "Please wait 2 minutes"}, 120.0),
        ({"message": "Please retry in 34.07s."}, 34.07),
        ({"message": "try again in 99999999999 minutes"}, None),
        ({"message": "try again in a while"}, None),
        ({"message": ["try again in 5s"]}, None),
        ("try again in 5s", 5.0),
        (None, None),
        ([], None),
    ],
)
def test_a_wait_in_the_error_itself_is_read_too(error, wait):
    assert wait_in(error) == pytest.approx(wait)


@pytest.mark.parametrize("wrapped", [True, False])
def test_an_error_within_a_list_is_that_error_and_its_wait_is_kept(wrapped):
    error = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [RETRY_INFO | {"retryDelay": "34s"}]}}
    made = CHAT.read_error("acme", 429, {}, json.dumps([error] if wrapped else error).encode())
    assert (type(made), made.retry_after, made.retryable) == (RateLimited, 34.0, True)
    made = CHAT.read_error("acme", 429, {"retry-after": "5"}, json.dumps([error]).encode())
    assert made.retry_after == 5.0, "the header holds"
    assert CHAT.read_error("acme", 400, {}, json.dumps([error]).encode()).retry_after is None
    assert type(CHAT.read_error("acme", 500, {}, b"[]")) is Unavailable


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (403, {"code": 403, "message": "flagged", "metadata": {"reasons": ["violence"]}}),
        (403, {"code": 403, "message": "no", "metadata": {"flagged_input": "..."}}),
        (403, "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"),
        (403, {"message": "Your input was flagged by moderation"}),
        (403, {"code": "content_policy_violation"}),
        (400, {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."}),
        (400, {"code": "content_filter", "message": "The response was filtered", "innererror": {}}),
        (400, {"code": 400, "type": "moderation_blocked"}),
    ],
)
def test_a_prompt_that_is_not_liked_is_told_from_a_key_that_is_not(status, error):
    assert type(refusal("acme", status, {}, error)) is ContentFiltered


@pytest.mark.parametrize(
    "error",
    [
        {"code": 403, "message": "This key may not use this model", "metadata": {"provider_name": "x"}},
        {"message": "Country, region, or territory not supported", "metadata": []},
        "Forbidden",
        None,
    ],
)
def test_a_key_that_may_not_is_no_filter(error):
    assert type(refusal("acme", 403, {}, error)) is AuthenticationFailed


LLAMA = {
    "code": 400,
    "message": "request (9031 tokens) exceeds the available context size (2048 tokens), try increasing it",
    "type": "exceed_context_size_error",
    "n_prompt_tokens": 9031,
    "n_ctx": 2048,
}


def test_a_prompt_that_does_not_fit_is_one_kind_of_error_with_what_is_known_of_it():
    made = refusal("acme", 400, {}, LLAMA)
    assert type(made) is ContextOverflow
    assert (made.code, made.prompt_tokens, made.context_length) == ("exceed_context_size_error", 9031, 2048)
    assert isinstance(made, InvalidRequest)
    assert not made.retryable
    assert "longer" in str(made)
    again = pickle.loads(pickle.dumps(made))
    assert (again.prompt_tokens, again.context_length) == (9031, 2048)
    bare = refusal("acme", None, {}, LLAMA | {"n_ctx": True, "n_prompt_tokens": "many"})
    assert (type(bare), bare.prompt_tokens, bare.context_length) == (ContextOverflow, None, None)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"code": "context_length_exceeded", "message": "x"}),
        (
            400,
            {"message": "This model's maximum context length is 2048 tokens. However, you requested 9031", "code": 400},
        ),
        (400, {"message": "This model's maximum prompt length is 131072 but the request contains 140000 tokens."}),
        (400, {"message": "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576)."}),
        (400, {"message": "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"}),
        (400, "The prompt is too long: 10000, model maximum context length: 8191"),
        (400, {"message": "Please reduce the length of the messages or completion."}),
        (413, {"message": "Input is too long for requested model: the input is too long"}),
        (400, "Trying to keep the first 5000 tokens when the model has a context length of only 4096 tokens"),
        (None, {"message": "the request exceeds the available context size"}),
    ],
)
def test_a_prompt_that_does_not_fit_is_known_whatever_the_server_calls_it(status, error):
    assert type(refusal("acme", status, {}, error)) is ContextOverflow


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"message": "max_tokens is too large: 100000. This model supports at most 4096 completion tokens"}),
        (400, {"message": "Invalid value for 'context'"}),
        (429, {"message": "the maximum context length is 5"}),
        (401, {"message": "the maximum context length is 5"}),
        (503, {"message": "the maximum context length is 5"}),
    ],
)
def test_other_refusals_are_not_taken_for_a_prompt_that_does_not_fit(status, error):
    assert type(refusal("acme", status, {}, error)) is not ContextOverflow


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": 400, "type": "BadRequestError"}, "BadRequestError"),
        ({"code": "400", "type": "BadRequestError"}, "BadRequestError"),
        ({"code": 400}, "400"),
        ({"code": 3001, "type": "invalid_request_error"}, "3001"),
        ({"code": "unknown_model", "type": "invalid_request_error"}, "unknown_model"),
        ({"code": 400, "type": "no code at all"}, "400"),
    ],
)
def test_a_code_that_only_repeats_the_status_gives_way_to_the_type(error, code):
    assert refusal("acme", 400, {}, error).code == code


@pytest.mark.parametrize(
    ("status", "error", "kind", "retryable"),
    [
        (401, {}, AuthenticationFailed, False),
        (403, {}, AuthenticationFailed, False),
        (429, {}, RateLimited, True),
        (429, {"code": "insufficient_quota"}, RateLimited, False),
        (429, {"code": None, "type": "insufficient_quota"}, RateLimited, False),
        (402, {}, RateLimited, False),
        (400, {}, InvalidRequest, False),
        (400, {"code": "content_filter"}, ContentFiltered, False),
        (400, {"code": "rate_limit_exceeded"}, InvalidRequest, False),
        (404, "no such model", InvalidRequest, False),
        (413, None, InvalidRequest, False),
        (422, [], InvalidRequest, False),
        (307, None, InvalidRequest, False),
        (408, None, Unavailable, True),
        (409, None, Unavailable, True),
        (500, None, Unavailable, True),
        (503, None, Unavailable, True),
        (529, {"type": "overloaded_error"}, Unavailable, True),
        (None, {"code": 429}, RateLimited, True),
        (None, {"code": "502"}, Unavailable, True),
        (None, {"code": 400}, InvalidRequest, False),
        (None, {"code": "rate_limit_exceeded"}, RateLimited, True),
        (None, {"type": "invalid_request_error"}, InvalidRequest, False),
        (None, {"code": "content_filter"}, ContentFiltered, False),
        (None, {"type": "server_error"}, Unavailable, True),
        (None, {"code": True}, Unavailable, True),
        (None, {}, Unavailable, True),
        (None, "it broke", Unavailable, True),
    ],
)
def test_a_refusal_becomes_its_kind_of_error(status, error, kind, retryable):
    made = refusal("acme", status, {}, error)
    assert type(made) is kind
    assert made.retryable is retryable
    assert made.provider == "acme"
    assert made.status == status
    assert str(made).startswith("acme ")


def test_the_provider_may_say_itself_whether_to_retry():
    assert not refusal("acme", 500, {"x-should-retry": "false"}, None).retryable
    assert refusal("acme", 400, {"x-should-retry": "True"}, None).retryable
    assert refusal("acme", 500, {"x-should-retry": "perhaps"}, None).retryable


def test_a_wait_is_handed_on_only_where_waiting_helps():
    headers = {"retry-after": "7"}
    assert refusal("acme", 429, headers, None).retry_after == 7.0
    assert refusal("acme", 401, headers, None).retry_after is None


def test_the_providers_words_are_kept_apart_from_the_message():
    words = "Incorrect API key provided: sk-12**89. You wrote: my secret diary"
    for error in ({"message": words, "code": "invalid_api_key"}, words):
        made = refusal("acme", 401, {}, error)
        assert made.detail == words
        assert "are in .detail" in str(made)
        for shown in (str(made), repr(made), repr(made.args)):
            assert "secret diary" not in shown
            assert "sk-" not in shown
        assert pickle.loads(pickle.dumps(made)).detail == words


@pytest.mark.parametrize("error", [None, {}, {"code": "x"}, {"message": 5}, ""])
def test_where_a_provider_says_nothing_the_message_promises_no_words(error):
    assert ".detail" not in str(refusal("acme", 401, {}, error))


@pytest.mark.parametrize("code", ["my secret diary", "x" * 65, {"a": 1}, "sk\n"])
def test_a_code_that_is_no_code_is_not_shown(code):
    made = refusal("acme", 400, {}, {"code": code})
    assert made.code is None
    assert "secret" not in str(made)


def test_every_refusal_says_what_to_do():
    for status in (302, 400, 401, 402, 429, 500):
        made: ProviderError = refusal("acme", status, {}, None)
        assert f"HTTP {status}" in str(made)
        assert any(verb in str(made) for verb in ("check", "wait", "try again", "top it up", "correct"))
