"""Putting a client under an SDK: what is taken, what passes by, and what is refused."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import weakref

import httpx
import httpx2
import openai
import pytest
from google import genai

import four_wires
from inferkit import AsyncClient, Budget, Client, ConfigurationError, budget
from inferkit.integrations import async_http_client, http_client, transport, wrap
from integrations.faces import FACES, joined
from wire import Wire, reply


@pytest.fixture
def llm():
    with Client(cache=False, ledger=False) as client:
        yield client


def passing(_):
    return [reply({"object": "list", "data": [{"id": "gpt-x", "object": "model"}]})]


def test_what_is_no_model_call_goes_to_its_server_as_it_is(llm):
    with Wire(passing) as wire:
        sdk = FACES[0].under(wire.url, llm)
        listed = sdk.with_options(default_headers={"x-inferkit-user": "alice"}).models.list()
        (sent,) = wire.requests
    assert [each.id for each in listed.data] == ["gpt-x"]
    assert sent.headers["authorization"] == "Bearer sk-test"
    assert "OpenAI/Python" in sent.headers["user-agent"]
    assert "x-inferkit-user" not in sent.headers


def test_what_costs_money_and_is_no_model_call_is_said_once(llm, caplog):
    with Wire(lambda _: [reply({"created": 1, "data": []})]) as wire, caplog.at_level(logging.WARNING, "inferkit"):
        sdk = FACES[0].under(wire.url, llm)
        for _ in range(2):
            sdk.images.generate(prompt="a cat", model="gpt-image-1")
        assert len(wire.requests) == 2
    assert [each.getMessage() for each in caplog.records] == [
        "POST /v1/images/generations is no model call: it goes to its server past cache, budgets and retries"
    ]


def test_under_a_budget_it_is_refused_unless_it_may_pass(llm, tmp_path):
    everything = Budget(usd="1", per="month", name="all")
    with Wire(lambda _: [reply({"created": 1, "data": []})]) as wire:
        with Client(cache=False, ledger=tmp_path / "ledger.db", budget=everything) as guarded:
            sdk = FACES[0].under(wire.url, guarded)
            with pytest.raises(openai.BadRequestError, match=r'pass_through=\["/generations"\]'):
                sdk.images.generate(prompt="a cat", model="gpt-image-1")
            assert not wire.requests
            sdk.models.list()
            let = FACES[0].under(wire.url, guarded, pass_through=["/images/generations"])
            let.images.generate(prompt="a cat", model="gpt-image-1")
        with budget(everything), pytest.raises(openai.BadRequestError, match="no call that a budget can hold"):
            FACES[0].under(wire.url, llm).audio.speech.create(input="Hi", model="tts-1", voice="alloy")
        with pytest.raises(openai.BadRequestError, match="no call that a budget can hold"):
            FACES[0].under(wire.url, llm, budget=everything).images.generate(prompt="a cat", model="gpt-image-1")
        assert len(wire.requests) == 2


def test_an_http_client_of_ones_own_goes_on_to_be_used():
    seen = []
    with Wire(lambda received: four_wires.answer("chat", received, "Hello.")) as wire:
        own = httpx2.Client(event_hooks={"request": [lambda request: seen.append(request.url.path)]})
        with Client(cache=False, ledger=False) as llm, own:
            sdk = wrap(openai.OpenAI(api_key="k", base_url=wire.url, http_client=own), llm)
            assert joined(FACES[0], FACES[0].ask(sdk))["text"] == "Hello."
    assert seen == ["/v1/chat/completions"]


def test_either_client_serves_either_side():
    with Wire(lambda received: four_wires.answer("chat", received, "Hello.")) as wire:
        llm = AsyncClient(cache=False, ledger=False)
        assert joined(FACES[0], FACES[0].ask(FACES[0].under(wire.url, llm)))["text"] == "Hello."
        with Client(cache=False, ledger=False, portal=True) as portal:
            streamed = FACES[0].ask(FACES[0].under(wire.url, portal), stream=True)
            assert joined(FACES[0], streamed)["text"] == "Hello."


def test_closing_the_sdk_leaves_the_client_open(llm):
    with Wire(lambda received: four_wires.answer("chat", received, "Hello.")) as wire:
        for _ in range(2):
            with FACES[0].under(wire.url, llm) as sdk:
                FACES[0].ask(sdk)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda llm: wrap(genai.Client(api_key="k"), llm), "httpx_async_client.*with both"),
        (lambda llm: wrap(object(), llm), r"takes a client of openai or anthropic; got builtins's object; others take"),
        (lambda llm: wrap(openai.OpenAI(api_key="k"), object()), "pass an inferkit.Client or an inferkit.AsyncClient"),
        (lambda llm: wrap(openai.OpenAI(api_key="k"), llm, usr="x"), r"unknown option usr \(did you mean user\?\)"),
        (lambda llm: transport(llm, library="requests"), 'library= is "httpx" or "httpx2"; got'),
        (lambda llm: http_client(llm, pass_through="/images"), "a list of ends of paths"),
    ],
)
def test_what_makes_no_sense_is_said_at_once(make, message, llm):
    with pytest.raises(ConfigurationError, match=message):
        make(llm)


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_the_clients_wait_as_long_as_the_sdks_own(library, llm):
    with http_client(llm, library=library.__name__) as client:
        assert (client.timeout.read, client.timeout.connect, client.follow_redirects) == (600, 5, True)
    assert isinstance(async_http_client(llm, library=library.__name__), library.AsyncClient)


def test_nothing_of_an_sdk_is_imported():
    code = (
        "import sys, inferkit.integrations; from inferkit.integrations import wrap, transport, http_client, cause_of;"
        "print(sorted({'openai', 'anthropic', 'google.genai', 'httpx', 'httpx2', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_only_one_wire_knows_is_not_sent_over_another(llm):
    with Wire(lambda received: four_wires.answer("anthropic", received, "Hello.")) as wire:
        elsewhere = four_wires.adapter("anthropic", wire.url)
        with Client(cache=False, ledger=False, providers={"a": elsewhere}, models={"fast": "a:m"}) as other:
            sdk = FACES[0].under("http://127.0.0.1:9/v1", other)
            question = [{"role": "user", "content": "Hi"}]
            raw = sdk.chat.completions.with_raw_response.create(
                model="fast", messages=question, user="u-1", temperature=0.5, presence_penalty=1
            )
        (sent,) = wire.requests
    assert sent.json["temperature"] == 0.5
    assert not {"user", "presence_penalty"} & sent.json.keys()
    assert sorted(raw.headers["x-inferkit-left-out"].split(", ")) == ["presence_penalty", "user"]
    with Wire(lambda received: four_wires.answer("chat", received, "Hello.")) as wire:
        FACES[0].ask(FACES[0].under(wire.url, llm), user="u-1", presence_penalty=1)
        assert (wire.requests[0].json["user"], wire.requests[0].json["presence_penalty"]) == ("u-1", 1)


def test_all_that_is_made_of_a_client_shares_its_connections(llm):
    with Wire(lambda received: four_wires.answer("chat", received, "Hello.")) as wire:
        for user in ("alice", "bob", "carol"):
            FACES[0].ask(FACES[0].under(wire.url, llm, user=user))
        assert wire.connections == 1


def test_a_client_that_is_dropped_is_not_kept():
    with Wire(lambda received: four_wires.answer("chat", received, "Hello.")) as wire:
        client = Client(cache=False, ledger=False)
        FACES[0].ask(FACES[0].under(wire.url, client))
        client.close()
        gone = weakref.ref(client._engine)
        del client
        gc.collect()
        assert gone() is None
