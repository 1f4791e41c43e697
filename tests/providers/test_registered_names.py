"""A model is called by one name everywhere: the one under which its provider was registered."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import four_wires
from chat_wire import completion
from inferkit import (
    AuthenticationFailed,
    Client,
    InferkitError,
    InvalidRequest,
    OpenAIChat,
    Price,
    Unavailable,
)
from inferkit.telemetry import SpanCollector, Telemetry
from wire import CLOSE, Wire, nobody_listening, reply

WIRES = sorted(four_wires.NAMES)


def opened(adapter, name="dead", **settings):
    given = {"cache": False, "ledger": False, "max_retries": 0} | settings
    return Client(providers={name: adapter}, models={"m": f"{name}:x"}, prices={f"{name}:x": Price(1, 1)}, **given)


def failure(llm, message="Hello?", **options):
    with pytest.raises(InferkitError) as caught:
        llm.complete("m", message, **options)
    return caught.value


def refused(_):
    return [reply({"error": {"message": "no such key", "type": "authentication_error"}}, 401)]


def broken(_):
    return [reply(b"<html>nothing that anybody could read</html>")]


def cut(_):
    return [CLOSE]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("script", [refused, broken, cut])
def test_an_error_names_the_provider_as_it_was_registered(wire, script):
    with Wire(script) as server:
        adapter = four_wires.adapter(wire, server.url)
        with opened(adapter) as llm:
            error = failure(llm)
    assert (error.provider, [one.provider for one in error.attempts]) == ("dead", ["dead"])
    assert str(error).startswith("dead"), str(error)
    assert adapter.name not in str(error)


def test_error_ledger_and_trace_have_one_name_for_it(tmp_path):
    collector, tracers = SpanCollector(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(collector))
    with Wire(broken) as server:
        adapter = OpenAIChat(base_url=server.url, api_key="k")
        with opened(adapter, ledger=tmp_path / "ledger.db", telemetry=Telemetry(tracers)) as llm:
            error = failure(llm)
            entries = list(llm.ledger.journal.entries())
    assert error.provider == "dead"
    assert [(one.charge.provider, one.charge.model) for one in entries] == [("dead", "x")]
    told = [span.attributes["gen_ai.provider.name"] for span in collector.spans if span.name == "chat x"]
    assert told == ["dead"]


def test_one_that_nobody_reaches_is_named_so():
    with nobody_listening() as url, opened(OpenAIChat(base_url=url, api_key="k")) as llm:
        error = failure(llm)
    assert isinstance(error, Unavailable)
    assert (error.provider, str(error).partition(":")[0]) == ("dead", "dead")


def test_what_is_not_taken_and_what_is_missing_names_it_too(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with opened(OpenAIChat()) as llm:
        assert str(failure(llm)).startswith("dead needs an API key: set the environment variable OPENAI_API_KEY")
    with opened(OpenAIChat(api_key="k")) as llm:
        error = failure(llm, grammar='root ::= "yes"')
    assert isinstance(error, InvalidRequest)
    assert (error.provider, str(error).partition(" does")[0]) == ("dead", "dead")


def test_clients_that_share_an_adapter_each_have_their_own_name_for_it():
    with Wire(refused) as server:
        adapter = OpenAIChat(base_url=server.url, api_key="k")
        before = adapter.fingerprint
        with opened(adapter, "one") as one, opened(adapter, "two") as two:
            named = [(str(error).partition(" ")[0], error.provider) for error in map(failure, [one, two, one])]
            assert all(isinstance(failure(llm), AuthenticationFailed) for llm in (one, two))
    assert named == [("one", "one"), ("two", "two"), ("one", "one")]
    assert (adapter.name, adapter.endpoint.name, adapter.fingerprint) == ("openai", "openai", before)


def test_what_is_learned_of_a_server_under_one_name_holds_under_the_other_and_gives_it_no_name():
    def script(request):
        if "max_tokens" in request.json:
            said = {"message": "Unsupported parameter: 'max_tokens'", "param": "max_tokens"}
            return [reply({"error": {**said, "code": "unsupported_parameter"}}, 400)]
        return [reply(completion("Hi"))]

    with Wire(script) as server:
        adapter = OpenAIChat(base_url=server.url, api_key="k")
        with opened(adapter, "one") as one, opened(adapter, "two") as two:
            texts = [llm.complete("m", "Hello?", max_output_tokens=50).text for llm in (one, two)]
    assert texts == ["Hi", "Hi"]
    assert ["max_tokens" in each.json for each in server.requests] == [True, False, False]
    assert adapter.endpoint.name == "openai"


def test_an_adapter_of_ones_own_is_named_as_it_was_registered():
    async def down(_):
        raise Unavailable("down", provider="its own name")

    with opened(down) as llm:
        assert failure(llm).provider == "dead"
