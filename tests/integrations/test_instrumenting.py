"""`instrument`: every client that an SDK makes from then on is over inferkit, whoever makes it, and not twice."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import threading
from contextlib import closing
from importlib import metadata

import anthropic
import openai
import pytest
from google import genai

from inferkit import AsyncClient, Budget, BudgetExceeded, Client, ConfigurationError
from inferkit.integrations import cause_of, http_client, instrument, uninstrument, wrap
from inferkit.integrations.transports import library_of, stack_of
from integrations.answering import saying
from integrations.faces import FACES, joined
from wire import Wire, reply

SDK = {"chat": "openai", "responses": "openai", "anthropic": "anthropic", "gemini": "google-genai"}
each_face = pytest.mark.parametrize("face", FACES, ids=str)
each_form = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture
def llm():
    with Client(cache=False, ledger=False) as client:
        yield client


def through(wire):
    """Say of each request whether inferkit sent it."""
    return [each.headers["user-agent"].startswith("inferkit") for each in wire.requests]


@each_form
@each_face
def test_clients_made_afterwards_are_over_inferkit_and_those_made_when_it_is_undone_are_not(face, stream, llm):
    with saying(face) as wire:
        with instrument(SDK[face.name], llm), closing(face.bare(wire.url)) as sdk:
            under = joined(face, face.ask(sdk, stream=stream))
            with pytest.raises(ConfigurationError, match="is instrumented already"):
                instrument(SDK[face.name], llm)
        alone = joined(face, face.ask_bare(wire.url, stream=stream))
        assert through(wire) == [True, False]
    assert under == alone


@each_face
def test_their_async_sides_too(face):
    async def body(url):
        async with AsyncClient(cache=False, ledger=False) as llm:
            with instrument(SDK[face.name], llm):
                return joined(face, await face.ask_async(face.bare(url, is_async=True), stream=True))

    with saying(face) as wire:
        assert asyncio.run(body(wire.url))["text"] == "Hello."
        assert through(wire) == [True]


@each_face
def test_a_client_is_not_put_under_twice(face, llm, tmp_path):
    budget = Budget(calls=9, per="month", name="all")
    with saying(face) as wire, Client(cache=False, ledger=tmp_path / "ledger.db", budget=budget) as counted:
        with instrument(SDK[face.name], counted):
            sdk = face.bare(wire.url)
            if face.name == "gemini":
                face.ask(face.under(wire.url, counted))
            else:
                face.ask(wrap(sdk, counted))
                face.ask(sdk.with_options(timeout=9))
                with http_client(counted, library=library_of(sdk._client)) as given:
                    face.ask(face.bare(wire.url, http_client=given))
            face.ask(sdk)
        face.ask(sdk)  # goes on as it was made
        assert budget.usage(ledger=counted.ledger).calls == len(wire.requests)
        assert all(through(wire))


def test_a_wrapped_client_is_the_other_inferkit_clients(llm, tmp_path):
    budget = Budget(calls=9, per="month", name="all")
    with saying(FACES[0]) as wire, Client(cache=False, ledger=tmp_path / "ledger.db", budget=budget) as counted:
        with instrument("openai", counted):
            FACES[0].ask(wrap(FACES[0].bare(wire.url), llm))
        assert budget.usage(ledger=counted.ledger).calls == 0


def test_an_http_client_of_ones_own_goes_on_to_be_used(llm):
    seen = []
    with saying(FACES[0]) as wire, instrument("openai", llm):
        own = openai.DefaultHttpxClient(event_hooks={"request": [lambda request: seen.append(request.url.path)]})
        with own, openai.OpenAI(api_key="k", base_url=wire.url, http_client=own) as sdk:
            assert joined(FACES[0], FACES[0].ask(sdk))["text"] == "Hello."
    assert seen == ["/v1/chat/completions"]


def test_a_subclass_and_an_azure_client_are_too(llm):
    class Mine(openai.OpenAI):
        def __init__(self, **given):
            super().__init__(api_key="k", **given)

    with saying(FACES[0]) as wire, instrument("openai", llm):
        base = wire.url.removesuffix("/v1")
        with (
            Mine(base_url=wire.url) as mine,
            openai.AzureOpenAI(api_key="k", azure_endpoint=base, api_version="2024-10-21") as azure,
        ):
            FACES[0].ask(mine)
            FACES[0].ask(azure)
        assert through(wire) == [True, True]


def test_what_a_framework_makes_is_under_it(tmp_path):
    langchain = pytest.importorskip("langchain_anthropic", reason="langchain-anthropic is not installed")
    budget = Budget(calls=1, per="month", name="one")
    with (
        saying(FACES[2]) as wire,
        Client(cache=False, ledger=tmp_path / "ledger.db", budget=budget) as llm,
        instrument("anthropic", llm, user="alice"),
    ):
        chat = langchain.ChatAnthropic(model="m-1", api_key="k", base_url=wire.url.removesuffix("/v1"))
        assert chat.invoke("Hi").content == "Hello."
        with pytest.raises(anthropic.APIStatusError) as refused:
            chat.invoke("Hi")
    assert isinstance(cause_of(refused.value), BudgetExceeded)


def test_inferkit_alone_tries_again():
    with Wire(lambda _: [reply({"error": {"message": "down"}}, 503)]) as wire:
        with (
            Client(cache=False, ledger=False, max_retries=0) as llm,
            instrument("openai", llm),
            openai.OpenAI(api_key="k", base_url=wire.url, max_retries=2) as sdk,
            pytest.raises(openai.APIStatusError),
        ):
            FACES[0].ask(sdk)
        assert len(wire.requests) == 1


def test_clients_that_exist_are_told_of(llm, caplog):
    with openai.OpenAI(api_key="k"), caplog.at_level(logging.WARNING, "inferkit"), instrument("openai", llm):
        pass
    (said,) = [each.getMessage() for each in caplog.records]
    assert said.startswith("clients of openai (")
    assert "were made before instrument() and go round inferkit" in said


def test_clients_of_derived_classes_are_told_of_too(llm, caplog):
    class Own(openai.OpenAI):
        pass

    def told():
        caplog.clear()
        with caplog.at_level(logging.WARNING, "inferkit"), instrument("openai", llm):
            pass
        return sum(int(re.search(r"\((\d+)\)", each.getMessage())[1]) for each in caplog.records)

    gc.collect()
    before = told()
    with (
        Own(api_key="k"),
        openai.OpenAI(api_key="k"),
        openai.AzureOpenAI(api_key="k", azure_endpoint="https://acme.test", api_version="1"),
    ):
        assert told() == before + 3


def instrument_while_threads(make, llm):
    """Instrument again and again while three threads make something; give what those ended in."""
    stop, failures = threading.Event(), []

    def work():
        while not stop.is_set():
            try:
                make()
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        with instrument("openai", llm):
            pass
    stop.set()
    for thread in threads:
        thread.join()
    return failures


def test_looking_for_clients_breaks_nothing_that_other_threads_are_making(llm):
    # a tuple that grows, which Python refuses where somebody else holds it
    assert not instrument_while_threads(lambda: tuple(each for each in range(200)), llm)


def test_undoing_it_twice_or_what_was_never_done_is_nothing(llm):
    before = openai.OpenAI.__init__
    done = instrument("openai", llm)
    assert repr(done) == "Instrumented('openai')"
    assert openai.OpenAI.__init__ is not before
    uninstrument("openai")
    done.undo()
    uninstrument("openai")
    assert openai.OpenAI.__init__ is before
    assert repr(done) == "Instrumented('openai', undone)"


def test_where_others_wrapped_the_constructor_once_more_it_lets_everything_pass(llm, monkeypatch):
    done = instrument("openai", llm)
    ours = openai.OpenAI.__init__

    def theirs(self, **given):
        ours(self, **given)

    monkeypatch.setattr(openai.OpenAI, "__init__", theirs)
    done.undo()
    with openai.OpenAI(api_key="k") as sdk:
        assert stack_of(sdk._client) is None


def test_threads_that_make_clients_meanwhile_get_one_or_the_other(llm):
    assert not instrument_while_threads(lambda: openai.OpenAI(api_key="k").close(), llm)


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("cohere", {}, r"knows anthropic, google-genai, openai; got 'cohere'"),
        ("openai", {"usr": "x"}, r"unknown option usr \(did you mean user\?\)"),
        ("openai", {"pass_through": "/images"}, "a list of ends of paths"),
    ],
)
def test_what_makes_no_sense_is_said_and_changes_nothing(name, options, why, llm):
    before = openai.OpenAI.__init__
    with pytest.raises(ConfigurationError, match=why):
        instrument(name, llm, **options)
    assert openai.OpenAI.__init__ is before


def test_a_release_that_was_not_tested_is_refused(llm, monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "9.1.0")
    with pytest.raises(ConfigurationError, match=r"tested with openai 2\.x and 3\.x, and this is 9\.1\.0; wrap\(\)"):
        instrument("openai", llm)


def test_an_sdk_that_is_not_there_is_said(llm, monkeypatch):
    def gone(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", gone)
    with pytest.raises(ConfigurationError, match="openai is not installed"):
        instrument("openai", llm)


def test_options_hold_for_every_client(tmp_path):
    each = Budget(calls=1, per="month", each="user", name="each")
    with saying(FACES[3]) as wire, Client(cache=False, ledger=tmp_path / "ledger.db", budget=each) as llm:
        with instrument("google-genai", llm, user="alice"), closing(FACES[3].bare(wire.url)) as sdk:
            FACES[3].ask(sdk)
        assert each.usage("alice", ledger=llm.ledger).calls == 1


def test_a_side_that_google_was_given_goes_on_to_be_used_and_the_other_is_not_left_out(llm):
    import httpx

    seen = []
    own = httpx.Client(event_hooks={"request": [lambda request: seen.append(request.url.path)]})
    with own, saying(FACES[3]) as wire, instrument("google-genai", llm):
        address = wire.url.removesuffix("/v1")
        sdk = genai.Client(api_key="k", http_options={"base_url": address, "httpx_client": own})
        FACES[3].ask(sdk)
        asyncio.run(FACES[3].ask_async(sdk.aio))
        assert len(seen) == 1
        assert through(wire)[1]
