"""What goes wrong reaches the SDK's user once, as the SDK's own error, with inferkit's own behind it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing

import anthropic
import openai
import pytest

import anthropic_wire
import four_wires
from chat_wire import delta
from gemini_wire import event as gemini_event, says
from inferkit import (
    Anthropic,
    AsyncClient,
    Budget,
    BudgetExceeded,
    Client,
    ConfigurationError,
    DeadlineExceeded,
    Health,
    Price,
    RateLimited,
    StreamInterrupted,
    Unavailable,
    budgeted,
)
from inferkit.integrations import cause_of, wrap
from integrations.answering import saying
from integrations.faces import FACES, joined
from responses_wire import event as responses_event, stream as responses_stream
from wire import CLOSE, SSE_HEAD, Wire, chunked, event, nobody_listening, reply
from worlds import in_time

each_face = pytest.mark.parametrize("face", FACES, ids=str)
each_form = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
MANY = {"on_unpriced": Price(input=1, output=10)}


def client(**settings):
    return Client(cache=False, **{"ledger": False, "health": Health(breaker=None, retries=None), **settings})


NOPE = {"error": {"message": "no such thing", "type": "invalid_request_error", "param": None, "code": "nope"}}
SAID = {
    "chat": NOPE,
    "responses": NOPE,
    "anthropic": {"type": "error", "error": {"type": "invalid_request_error", "message": "no such thing"}},
    "gemini": {"error": {"code": 400, "message": "no such thing", "status": "INVALID_ARGUMENT"}},
}


def eager(sdk):
    """Give a client the retries that it has by itself, where it has any: `wrap` takes them away, a transport cannot."""
    return sdk.with_options(max_retries=2) if hasattr(sdk, "with_options") else sdk


def test_what_no_call_can_ask_for_is_refused_whoever_would_serve_it():
    """Else a model on another wire, which has no such word, gives one choice where two were asked for."""
    with Wire(lambda received: four_wires.answer("anthropic", received, "Hello.")) as wire:
        claude = Anthropic(base_url=wire.url, api_key="none")
        with client(models={"fast": "claude:sonnet"}, providers={"claude": claude}) as llm:
            sdk = wrap(openai.OpenAI(api_key="none"), llm)
            question = {"model": "fast", "messages": [{"role": "user", "content": "hi"}]}
            assert sdk.chat.completions.create(**question, n=1).choices[0].message.content == "Hello."
            with pytest.raises(openai.BadRequestError, match="a call gives one reply"):
                sdk.chat.completions.create(**question, n=2)
        assert len(wire.requests) == 1


@each_form
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 503])
@each_face
def test_a_servers_refusal_is_the_error_that_the_sdk_has_for_it(face, status, stream):
    no_retries = {} if face.name == "gemini" else {"max_retries": 0}
    with Wire(lambda _: [reply(SAID[face.name], status)]) as wire, client(max_retries=0) as llm:
        with (
            pytest.raises(Exception, match="no such thing") as alone,
            closing(face.bare(wire.url, **no_retries)) as bare,
        ):
            face.ask(bare, stream=stream)
        wire.requests.clear()
        with pytest.raises(Exception, match="no such thing") as under:
            face.ask(eager(face.under(wire.url, llm)), stream=stream)
        assert len(wire.requests) == 1
    assert type(under.value) is type(alone.value)
    for name in ("status_code", "code"):
        assert getattr(under.value, name, None) == getattr(alone.value, name, None)
    assert cause_of(under.value).status == status
    assert cause_of(alone.value) is None


@each_face
def test_inferkit_retries_and_the_sdk_does_not_do_so_again(face):
    with Wire(lambda _: [reply(SAID[face.name], 503)]) as wire, client(max_retries=1) as llm:
        with pytest.raises(face.status_error) as failed:
            face.ask(eager(face.under(wire.url, llm)))
        assert len(wire.requests) == 2
    assert isinstance(cause_of(failed.value), Unavailable)
    assert [attempt.kind for attempt in cause_of(failed.value).attempts] == ["primary", "retry"]


@each_face
def test_a_retry_that_helps_is_not_noticed(face):
    refusals = [[reply(SAID[face.name], 500)]]

    def script(received):
        return refusals.pop() if refusals else four_wires.answer(face.name, received, "Hello.")

    with Wire(script) as wire, client() as llm:
        assert joined(face, face.ask(face.under(wire.url, llm)))["text"] == "Hello."


@each_form
@each_face
def test_a_budget_refuses_once_before_anything_is_sent(face, stream, tmp_path):
    budget = Budget(usd="0.000001", per="month", name="tiny")
    with saying(face) as wire, client(ledger=tmp_path / "ledger.db", budget=budget, **MANY) as llm:
        with pytest.raises(face.status_error) as refused:
            face.ask(face.under(wire.url, llm), stream=stream)
        assert not wire.requests
    cause = cause_of(refused.value)
    assert isinstance(cause, BudgetExceeded)
    assert cause.scope == "tiny"
    assert "tiny" in str(refused.value)
    assert getattr(refused.value, "status_code", None) or refused.value.code == 402


def test_each_sdk_has_a_code_for_that(tmp_path):
    budget = Budget(calls=1, per="month", name="one")
    with client(ledger=tmp_path / "ledger.db", budget=budget) as llm:
        with saying(FACES[0]) as wire:
            sdk = FACES[0].under(wire.url, llm)
            FACES[0].ask(sdk)
            with pytest.raises(openai.APIStatusError) as refused:
                FACES[0].ask(sdk)
        assert (refused.value.status_code, refused.value.code) == (402, "budget_exceeded")
        with saying(FACES[2]) as wire, pytest.raises(anthropic.APIStatusError) as refused:
            FACES[2].ask(FACES[2].under(wire.url, llm))
        assert (refused.value.status_code, refused.value.body["error"]["type"]) == (402, "billing_error")


@each_face
def test_who_asks_is_said_in_headers_or_around_the_call(face, tmp_path):
    each = Budget(calls=1, per="month", each="user", name="each")
    with saying(face) as wire, client(ledger=tmp_path / "ledger.db", budget=each) as llm:
        sdk = face.under(wire.url, llm)
        for user in ("alice", "bob"):
            face.ask(sdk, extra_headers={"x-inferkit-user": user})
        with pytest.raises(face.status_error) as refused:
            face.ask(sdk, extra_headers={"x-inferkit-user": "bob"})
        assert cause_of(refused.value).scope == "each:bob"
        with pytest.raises(face.status_error, match="pass user="):
            face.ask(sdk)
        face.ask(face.under(wire.url, llm, user="carol"))
        with pytest.raises(face.status_error, match="there is no header x-inferkit-usr"):
            face.ask(sdk, extra_headers={"x-inferkit-usr": "dora"})


@each_form
@each_face
def test_a_function_with_a_budget_pays_for_what_an_sdk_does_in_it(face, stream, tmp_path):
    with saying(face) as wire, client(ledger=tmp_path / "ledger.db", **MANY) as llm:
        sdk = face.under(wire.url, llm)
        budget = Budget(usd="1", per="month", name="answers")

        @budgeted(budget, key="user")
        def answer(user):
            return face.ask(sdk, stream=stream)

        answer("alice")
        spent = budget.usage("alice", ledger=llm.ledger)
        assert spent.calls == 1
        assert spent.usd > 0


@pytest.mark.parametrize("face", FACES[:3], ids=str)
def test_a_server_that_is_silent_is_the_sdks_own_timeout(face):
    module = anthropic if face.name == "anthropic" else openai

    def late_after(seconds):
        held = threading.Event()
        with Wire(lambda _: [held]) as wire, client(max_retries=0) as llm:
            try:
                with pytest.raises(module.APITimeoutError) as late:
                    face.ask(face.under(wire.url, llm, timeout=seconds))
                assert isinstance(late.value.__cause__, DeadlineExceeded)
                assert cause_of(late.value) is late.value.__cause__
                assert len(wire.requests) <= 1
                return len(wire.requests) == 1
            finally:
                held.set()

    in_time(late_after)


@each_form
@each_face
def test_a_server_that_is_not_there_is_the_sdks_own_connection_error(face, stream):
    with (
        nobody_listening() as url,
        client(max_retries=0) as llm,
        pytest.raises(Exception, match="127.0.0.1") as failed,
    ):
        face.ask(face.under(url, llm), stream=stream)
    assert isinstance(cause_of(failed.value), Unavailable)
    if face.name != "gemini":
        assert type(failed.value).__name__ == "APIConnectionError"


def half(name):
    """Give the beginning of a stream, and its breaking off."""
    if name == "chat":
        return [event(delta("Hel", role="assistant")), CLOSE]
    if name == "responses":
        return [b"".join(map(responses_event, responses_stream()[:5])), CLOSE]
    if name == "anthropic":
        return [b"".join(map(anthropic_wire.event, anthropic_wire.HELLO[:4])), CLOSE]
    return [gemini_event(says("Hel")), CLOSE]


@each_face
def test_a_stream_that_breaks_is_an_error_in_it(face):
    def script(_):
        yield SSE_HEAD
        for piece in half(face.name):
            yield chunked(piece) if isinstance(piece, bytes) else piece

    in_band = openai.APIError if face.status_error is openai.APIStatusError else face.status_error

    async def body(url):
        async with AsyncClient(cache=False, ledger=False, max_retries=0) as llm:
            sdk = face.under(url, llm, is_async=True)
            with pytest.raises(in_band) as failed:
                await face.ask_async(sdk, stream=True)
            assert isinstance(cause_of(failed.value), StreamInterrupted)

    with Wire(script) as wire, client(max_retries=0) as llm:
        with pytest.raises(Exception, match="broke|cut|ended") as failed:
            face.ask(face.under(wire.url, llm), stream=True)
        asyncio.run(body(wire.url))
        assert len(wire.requests) == 2
    assert isinstance(failed.value, in_band)
    assert isinstance(cause_of(failed.value), StreamInterrupted)


def test_a_request_that_makes_no_sense_is_a_bad_request():
    with client() as llm:
        sdk = FACES[0].under("http://127.0.0.1:9/v1", llm)
        with pytest.raises(openai.BadRequestError, match='message 0 has no "content"') as refused:
            sdk.chat.completions.create(model="m", messages=[{"role": "user"}])
        assert isinstance(cause_of(refused.value), ConfigurationError)
        with pytest.raises(openai.BadRequestError, match="one reply"):
            sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}], n=3)
        with pytest.raises(openai.BadRequestError, match="input is a text"):
            sdk.embeddings.create(model="m", input=[[1, 2, 3]])


@pytest.mark.parametrize("most", [-1, 0, 2**31, 2**63 - 1, 10**30])
def test_a_length_that_no_reply_can_have_is_a_bad_request_under_a_budget(most, tmp_path):
    budget = Budget(usd="1", per="month", name="one")
    with saying(FACES[0]) as wire, client(ledger=tmp_path / "ledger.db", budget=budget, **MANY) as llm:
        sdk = FACES[0].under(wire.url, llm)
        with pytest.raises(openai.BadRequestError, match="a whole number from 1 to 2,147,483,647; got") as refused:
            sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}], max_tokens=most)
        assert isinstance(cause_of(refused.value), ConfigurationError)
        assert not wire.requests
        assert not [*llm.ledger.balances()]


def test_the_next_candidate_is_asked_where_the_first_one_fails():
    with (
        Wire(lambda _: [reply({"error": {"message": "down"}}, 503)]) as down,
        saying(FACES[2], "From elsewhere.") as up,
    ):
        adapters = {"a": four_wires.adapter("chat", down.url), "b": four_wires.adapter("anthropic", up.url)}
        with client(providers=adapters, models={"fast": ["a:m", "b:m"]}, max_retries=0) as llm:
            sdk = FACES[0].under("http://127.0.0.1:9/v1", llm)
            raw = sdk.chat.completions.with_raw_response.create(
                model="fast", messages=[{"role": "user", "content": "?"}]
            )
            assert raw.parse().choices[0].message.content == "From elsewhere."
            assert raw.headers["x-inferkit-served-by"] == "b:m"


def test_an_error_of_something_else_has_no_cause():
    error = ValueError("x")
    error.__cause__ = RuntimeError("y")
    assert cause_of(error) is None
    error.__cause__ = RateLimited("slow down", provider="p")
    assert cause_of(error) is error.__cause__
