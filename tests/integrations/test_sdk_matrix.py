"""Under each SDK: what its user sees is what the provider's own server would have shown."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack, closing
from functools import partial

import anthropic
import openai
import pytest
from google import genai
from pydantic import BaseModel

import embedding_wire
import four_wires
import tiny_gguf
from inferkit import AsyncClient, Client
from inferkit.integrations import async_http_client, http_client, wrap
from integrations.faces import FACES, empties_apart, joined
from wire import SSE_HEAD, Wire, chunked, event, reply

CALLS = (("find", {"id": 7}), ("find", {"id": 8}))
each_face = pytest.mark.parametrize("face", FACES, ids=str)
each_form = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture
def llm():
    with Client(cache=False, ledger=False) as client:
        yield client


def saying(face, *calls, text="It is on its way, and comes tomorrow."):
    return Wire(lambda received: four_wires.answer(face.name, received, text, *calls))


@each_form
@pytest.mark.parametrize("calls", [(), CALLS], ids=["text", "calls"])
@each_face
def test_it_shows_what_the_server_itself_shows(face, calls, stream, llm):
    more = face.tools if calls else {}
    with saying(face, *calls) as wire:
        alone = face.ask_bare(wire.url, stream=stream, **more)
        under = face.ask(face.under(wire.url, llm), stream=stream, **more)
        first, second = wire.requests
    if stream:
        assert joined(face, under) == joined(face, alone)
    else:
        assert under == alone
    assert second.line == first.line
    if face.name in {"chat", "anthropic"}:  # the others write the same in other words
        assert {**second.json, "stream": stream, "stream_options": None} == {**first.json, "stream_options": None}


@pytest.mark.parametrize("face", [face for face in FACES if face.name != "gemini"], ids=str)
def test_each_event_of_a_stream_is_like_the_servers_own(face, llm):
    with saying(face, *CALLS) as wire:
        alone = empties_apart(face.ask_bare(wire.url, stream=True, **face.tools))
        under = empties_apart(face.ask(face.under(wire.url, llm), stream=True, **face.tools))
    assert [each.get("type") for each in under] == [each.get("type") for each in alone]
    pieces = [json.dumps(each.get("choices") or each.get("delta")) for each in alone]
    theirs = [piece for piece in pieces if '"role"' not in piece]
    ours = [json.dumps(each.get("choices") or each.get("delta")) for each in under]
    assert set(theirs[1:]) <= set(ours)


@each_form
@each_face
def test_its_async_side_shows_the_same(face, stream):
    async def body(url):
        async with AsyncClient(cache=False, ledger=False) as llm:
            return await face.ask_async(face.under(url, llm, is_async=True), stream=stream, **face.tools)

    with saying(face, *CALLS) as wire:
        under = asyncio.run(body(wire.url))
        alone = face.ask_bare(wire.url, stream=stream, **face.tools)
    assert joined(face, under) == joined(face, alone)


@each_form
@pytest.mark.parametrize("other", four_wires.NAMES)
@each_face
def test_another_wire_serves_it_and_nobody_notices(face, other, stream):
    with Wire(lambda received: four_wires.answer(other, received, "Here they are.", *CALLS)) as wire:
        settings = {"providers": {"elsewhere": four_wires.adapter(other, wire.url)}, "models": {"fast": "elsewhere:m"}}
        with Client(cache=False, ledger=False, **settings) as llm:
            came = face.ask(face.under("http://127.0.0.1:9/v1", llm), stream=stream, model="fast", **face.tools)
    said = joined(face, came)
    assert (said["text"], said["calls"]) == ("Here they are.", list(CALLS))
    assert said["usage"] == (20, 9)
    assert said["ended"] in {"tool_calls", "completed", "tool_use", "STOP"}


@each_form
@pytest.mark.parametrize("face", FACES, ids=str)
def test_a_local_model_serves_it(face, stream, tmp_path):
    model = tiny_gguf.tiny().write(tmp_path / "m.gguf")
    more = {} if face.name == "gemini" else {"metadata": {"user_id": "u-1"}}
    with Client(cache=False, ledger=False, models={"fast": f"local:{model}"}) as llm:
        came = face.ask(face.under("http://127.0.0.1:9/v1", llm), stream=stream, model="fast", **more)
    said = joined(face, came)
    assert said["text"]
    assert said["usage"][1] > 0


class Order(BaseModel):
    id: int
    place: str


OBJECT = '{"id": 7, "place": "Paris"}'


def parse_chat(sdk):
    answer = sdk.chat.completions.parse(
        model="m-1", messages=[{"role": "user", "content": "Hi"}], response_format=Order
    )
    return answer.choices[0].message.parsed


def parse_responses(sdk):
    return sdk.responses.parse(model="m-1", input="Hi", text_format=Order).output_parsed


def parse_messages(sdk):
    messages = [{"role": "user", "content": "Hi"}]
    return sdk.messages.parse(model="m-1", max_tokens=99, messages=messages, output_format=Order).parsed_output


def parse_content(sdk):
    config = {"response_mime_type": "application/json", "response_schema": Order}
    return sdk.models.generate_content(model="m-1", contents="Hi", config=config).parsed


PARSERS = {"chat": parse_chat, "responses": parse_responses, "anthropic": parse_messages, "gemini": parse_content}


@each_face
def test_an_object_that_was_asked_for_is_parsed(face, llm):
    with saying(face, text=OBJECT) as wire:
        parse = PARSERS[face.name]
        with closing(face.bare(wire.url)) as bare:
            assert parse(face.under(wire.url, llm)) == parse(bare) == Order(id=7, place="Paris")
        under, alone = (each.json for each in wire.requests)
    for name in {"response_format", "text", "output_config", "output_format"} & alone.keys():
        assert under[name] == alone[name]


def test_the_helpers_of_the_sdks_put_a_stream_together(llm):
    chat, responses, messages, _ = FACES
    question = [{"role": "user", "content": "Hi"}]
    with (
        saying(chat) as wire,
        chat.under(wire.url, llm).chat.completions.stream(model="m", messages=question) as stream,
    ):
        assert stream.get_final_completion().choices[0].message.content.startswith("It is on its way")
    with saying(responses) as wire, responses.under(wire.url, llm).responses.stream(model="m", input="Hi") as stream:
        assert stream.get_final_response().output_text.startswith("It is on its way")
    with (
        saying(messages) as wire,
        messages.under(wire.url, llm).messages.stream(model="m", messages=question, max_tokens=9) as stream,
    ):
        assert "".join(stream.text_stream).startswith("It is on its way")
        assert stream.get_final_message().usage.output_tokens == 9


def test_what_a_stream_took_is_said_only_where_it_was_asked_for(llm):
    chat = FACES[0]
    with saying(chat) as wire:
        sdk = chat.under(wire.url, llm)
        events = list(sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}], stream=True))
    assert all(each.choices for each in events)
    assert not any(each.usage for each in events)
    assert wire.requests[0].json["stream_options"] == {"include_usage": True}  # it was booked all the same


LOGPROBS = {"content": [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}], "refusal": None}


def odd_chat(received):
    """Answer with what few replies have: a refusal, how likely tokens were, a fingerprint and a tier."""
    about = {"id": "chatcmpl-9", "created": 1_790_000_000, "model": "gpt-9", "system_fingerprint": "fp_1",
             "service_tier": "default"}  # fmt: skip
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7,
             "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0}}  # fmt: skip
    if not received.json.get("stream"):
        message = {"role": "assistant", "content": None, "refusal": "I will not.", "annotations": []}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": LOGPROBS}
        return [reply({**about, "object": "chat.completion", "choices": [choice], "usage": usage})]

    def piece(finish=None, logprobs=None, **delta):
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
        return event({**about, "object": "chat.completion.chunk", "choices": [choice]})

    last = event({**about, "object": "chat.completion.chunk", "choices": [], "usage": usage})
    pieces = [piece(role="assistant", content="", refusal=None), piece(refusal="I will"), piece(refusal=" not."),
              piece("stop", LOGPROBS), last, event("[DONE]")]  # fmt: skip
    return [SSE_HEAD, *map(chunked, pieces), chunked(b"")]


def test_refusals_logprobs_and_fingerprints_come_through(llm):
    chat = FACES[0]
    with Wire(odd_chat) as wire, ExitStack() as stack:
        alone, under = stack.enter_context(closing(chat.bare(wire.url))), chat.under(wire.url, llm)
        assert chat.ask(under, logprobs=True) == chat.ask(alone, logprobs=True)
        ours, theirs = (
            sdk.chat.completions.stream(model="m", messages=[{"role": "user", "content": "Hi"}], logprobs=True)
            for sdk in (under, alone)
        )
        with ours as first, theirs as second:
            one, two = (empties_apart(each.get_final_completion().model_dump()) for each in (first, second))
    assert one["choices"] == two["choices"]
    assert one["choices"][0]["message"]["refusal"] == "I will not."
    assert {**one, "usage": None, "service_tier": None} == {**two, "usage": None, "service_tier": None}


def test_a_question_asked_again_comes_from_the_cache_and_looks_the_same(tmp_path):
    with Client(home=tmp_path, ledger=False) as llm:
        for face in FACES:
            with saying(face, *CALLS) as wire:
                sdk = face.under(wire.url, llm)
                first = face.ask(sdk, **face.tools)
                again = face.ask(sdk, **face.tools)
                streamed = face.ask(sdk, stream=True, **face.tools)
                assert len(wire.requests) == 1
            assert empties_apart(joined(face, again)) == empties_apart(joined(face, first))
            assert joined(face, streamed) == joined(face, first)
            if face.name != "gemini":
                assert again["id"] == first["id"]
                assert again["model"] == first["model"]


def test_embeddings_are_the_servers_own(llm):
    vectors = [[0.25, 0.5], [1.0, -2.0]]

    def answer(received):
        if ":batchEmbedContents" in received.line:
            return [reply(embedding_wire.gemini_answer(*vectors))]
        packed = received.json.get("encoding_format") == "base64"
        return [reply(embedding_wire.answer(*vectors, base64=packed))]

    with Wire(answer) as wire:
        for more in ({}, {"encoding_format": "float"}):
            ask = partial(dict, model="text-embedding-3-small", input=["a", "b"], **more)
            with closing(FACES[0].bare(wire.url)) as bare:
                alone = bare.embeddings.create(**ask())
            under = FACES[0].under(wire.url, llm).embeddings.create(**ask())
            assert under == alone
        google = FACES[3]
        with closing(google.bare(wire.url)) as bare:
            first, second = (
                sdk.models.embed_content(model="gemini-embedding-001", contents=["a", "b"])
                for sdk in (bare, google.under(wire.url, llm))
            )
    assert [each.values for each in second.embeddings] == [each.values for each in first.embeddings] == vectors


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_client_of_either_library_carries_it(library, llm):
    async def body(url):
        async with async_http_client(llm, library=library) as http:
            sdk = openai.AsyncOpenAI(api_key="k", base_url=url, http_client=http)
            return await FACES[0].ask_async(sdk, stream=True)

    with saying(FACES[0]) as wire:
        with http_client(llm, library=library) as http:
            sdk = openai.OpenAI(api_key="k", base_url=wire.url, http_client=http)
            plain = FACES[0].ask(sdk)
        streamed = asyncio.run(body(wire.url))  # on the client for plain code, which serves both
    assert joined(FACES[0], plain) == joined(FACES[0], streamed)


def test_an_azure_client_keeps_its_address_and_its_key(llm):
    with saying(FACES[0]) as wire:
        base = wire.url.removesuffix("/v1")
        with openai.AzureOpenAI(api_key="azure-key", azure_endpoint=base, api_version="2024-10-21") as sdk:
            FACES[0].ask(sdk, model="mine")
            FACES[0].ask(wrap(sdk, llm), model="mine")
        alone, under = wire.requests
    assert alone.line == under.line
    assert alone.headers["api-key"] == under.headers["api-key"] == "azure-key"


def test_what_an_sdk_says_to_its_server_goes_on_in_headers_and_what_is_said_here_does_not(llm):
    address = {"api_key": "k-1", "default_headers": {"x-team": "a"}}
    asked = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "betas": ["files-api"]}
    with saying(FACES[2]) as wire:
        with anthropic.Anthropic(base_url=wire.url.removesuffix("/v1"), **address) as bare:
            bare.beta.messages.create(**asked)
            wrap(bare, llm).beta.messages.create(**asked, extra_headers={"x-inferkit-user": "alice"})
        alone, under = wire.requests
    names = [name for name in alone.headers if name.startswith(("anthropic", "x-api", "authorization", "x-team"))]
    assert len(names) == 4
    assert {name: under.headers.get(name) for name in names} == {name: alone.headers[name] for name in names}
    assert not any(name.startswith(("x-inferkit", "x-stainless")) for name in under.headers)


def test_genai_serves_both_its_sides_from_one_client(llm):
    google = FACES[3]

    async def body(sdk):
        return await google.ask_async(sdk.aio)

    with saying(google) as wire:
        sdk = google.under(wire.url, llm)
        assert isinstance(sdk, genai.Client)
        google.ask(sdk)
        asyncio.run(body(sdk))
        assert [each.headers["user-agent"] for each in wire.requests] == ["inferkit", "inferkit"]
