"""How the adapter is set up: keys, addresses, presets, and what is never shown."""

from __future__ import annotations

import logging
from hashlib import blake2b

import pytest

from chat_wire import ask, completion
from inferkit.core.errors import AuthenticationFailed, ConfigurationError, InferkitError
from inferkit.providers.openai_chat import OpenAIChat
from inferkit.providers.presets import PRESETS
from inferkit.providers.wires.chat.quirks import ChatQuirks
from inferkit.runtime.direct import DirectRuntime, drive
from wire import Wire, reply

SECRET = "sk-very-secret"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for preset in PRESETS.values():
        if preset.env:
            monkeypatch.delenv(preset.env, raising=False)
    for name in ("AZURE_OPENAI_ENDPOINT", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


def call(adapter, **fields):
    try:
        return drive(drive(adapter(ask(DirectRuntime(), stream=False, **fields))).read())
    finally:
        adapter.close()


@pytest.mark.parametrize("server", [name for name, preset in PRESETS.items() if preset.env])
def test_a_missing_key_is_named_before_anything_is_sent(server, monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://acme.openai.azure.com")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    adapter = OpenAIChat.preset(server)
    env = PRESETS[server].env
    with pytest.raises(ConfigurationError, match=rf"{server} needs an API key: .*{env}.*api_key="):
        call(adapter)


def test_a_key_comes_from_the_argument_or_else_from_the_environment(monkeypatch):
    with Wire(lambda _: [reply(completion())]) as wire:
        call(OpenAIChat(base_url=wire.url, api_key=f" {SECRET}\n"))
        monkeypatch.setenv("MY_KEY", "from-the-environment\n")
        adapter = OpenAIChat(base_url=wire.url, api_key_env="MY_KEY")
        call(adapter)
        monkeypatch.setenv("MY_KEY", "changed")
        call(adapter)
        call(OpenAIChat(base_url=wire.url, headers={"Authorization": "Basic abc"}, api_key_env="NO_KEY"))
        sent = [request.headers.get("authorization") for request in wire.requests]
        assert sent == [f"Bearer {SECRET}", "Bearer from-the-environment", "Bearer changed", "Basic abc"]


def test_a_key_in_the_environment_is_not_sent_to_another_server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("GROQ_API_KEY", SECRET)
    with Wire(lambda _: [reply(completion())]) as wire:
        call(OpenAIChat(base_url=wire.url))
        call(OpenAIChat.preset("groq", base_url=wire.url))
        assert all("authorization" not in request.headers for request in wire.requests)
        assert len(wire.requests) == 2


def test_headers_and_organisation_are_sent(monkeypatch):
    with Wire(lambda _: [reply(completion())]) as wire:
        adapter = OpenAIChat(
            base_url=wire.url + "/?api-version=1", organization="o", project="p", headers={"X-Title": "t"}
        )
        call(adapter)
        sent = wire.requests[0]
        assert sent.line == "POST /v1/chat/completions?api-version=1 HTTP/1.1"
        assert [sent.headers[name] for name in ("openai-organization", "openai-project", "x-title")] == ["o", "p", "t"]


@pytest.mark.parametrize("server", [name for name, preset in PRESETS.items() if preset.hosts])
def test_a_well_known_server_is_known_by_its_address_too(server):
    preset = PRESETS[server]
    for host in preset.hosts:
        adapter = OpenAIChat(base_url=f"https://{host.replace('*', 'acme')}/v1", api_key=SECRET, name="mine")
        assert adapter.endpoint.quirks == preset.quirks
        assert adapter.endpoint.embeddings == preset.embeddings
        assert adapter.name == "mine"
    own = OpenAIChat(base_url=f"https://{preset.hosts[0]}/v1", quirks=ChatQuirks("length"), embeddings=False)
    assert (own.endpoint.quirks, own.endpoint.embeddings) == (ChatQuirks("length"), None)


def test_a_secret_is_shown_nowhere(caplog):
    caplog.set_level(logging.DEBUG)
    error_body = {"error": {"message": f"Incorrect API key provided: {SECRET}", "code": SECRET}}
    with Wire(lambda _: [reply(error_body, 401)]) as wire:
        adapter = OpenAIChat(base_url=f"{wire.url}?key={SECRET}", api_key=SECRET, headers={"x-token": SECRET})
        with pytest.raises(AuthenticationFailed) as caught:
            call(adapter)
    shown = [repr(adapter), str(adapter), adapter.fingerprint, repr(caught.value), str(caught.value)]
    shown += [record.getMessage() for record in caplog.records if record.name.startswith("inferkit")]
    assert all(SECRET not in text for text in shown)
    assert caught.value.detail == "Incorrect API key provided: [removed]"
    assert caught.value.code is None


@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": f"{SECRET}\nx"},
        {"api_key": f"{SECRET}é"},
        {"headers": {"x-token": f"{SECRET}\r\nhost: b"}},
        {"headers": {f"x {SECRET}": "a"}},
        {"organization": f"{SECRET}\n1"},
        {"base_url": f"https://me:{SECRET}@host/v1"},
        {"base_url": f"ftp://host/{SECRET}"},
        {"base_url": f"https:///{SECRET}"},
        {"base_url": SECRET.encode()},
        {"api_key": SECRET.encode()},
        {"headers": {"x": SECRET.encode()}},
        {"base_url": f"https://host:{SECRET}/"},
        {"base_url": f"https://ho st/{SECRET}"},
    ],
)
def test_what_cannot_be_sent_is_refused_without_being_quoted(settings):
    with pytest.raises(InferkitError) as caught:
        OpenAIChat(**settings)
    assert isinstance(caught.value, ConfigurationError)
    assert SECRET not in f"{caught.value}"


def test_the_fingerprint_tells_credentials_and_servers_apart_and_stays_the_same(monkeypatch):
    def make(**settings):
        return OpenAIChat(**({"api_key": "a"} | settings)).fingerprint

    assert make() == make()
    others = [
        make(api_key="b"),
        make(base_url="http://localhost/v1"),
        make(name="other"),
        make(organization="o"),
        make(headers={"x": "1"}),
        make(base_url="https://api.openai.com/v1?x=1"),
    ]
    assert len({make(), *others}) == 7
    adapter = OpenAIChat()
    before = adapter.fingerprint
    monkeypatch.setenv("OPENAI_API_KEY", "a")
    assert before != adapter.fingerprint == make()


def test_a_credential_is_hashed_anew_when_it_changes_and_only_then(monkeypatch):
    hashed = []

    def count(*args, **options):
        hashed.append(options)
        return blake2b(*args, **options)

    monkeypatch.setattr("inferkit.providers.endpoints.blake2b", count)
    adapter, prints = OpenAIChat(), []
    for key in ("one", "one", "two", "two"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        prints.append(adapter.fingerprint)
    assert prints[0] == prints[1] != prints[2] == prints[3]
    assert len(hashed) == 2


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"groq, .*ollama"):
        OpenAIChat.preset("groc")
    assert repr(OpenAIChat.preset("ollama")) == "OpenAIChat(name='ollama', base_url='http://localhost:11434/v1')"
