"""`Gemini.vertex`: an account of Google Cloud instead of a key, through google-auth and a server of tokens here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading

import pytest

from gemini_wire import answer
from inferkit import AsyncClient, Client, Gemini
from inferkit.core.errors import AuthenticationFailed, ConfigurationError, Unavailable
from inferkit.providers.by_name import NAMES, make
from inferkit.providers.google_tokens import GoogleTokens
from wire import RESET, Wire, reply

service_account = pytest.importorskip("google.oauth2.service_account")
ACCOUNT = "bot@acme.iam.gserviceaccount.com"
SECONDS = 3600


@pytest.fixture(scope="module")
def private_key():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*pem).decode()


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))  # where no account of whoever runs this is found
    monkeypatch.setenv("NO_GCE_CHECK", "true")


class Tokens:
    """Gives tokens that are numbered."""

    def __init__(self, seconds=SECONDS):
        self.seconds = seconds
        self.given = 0

    def __call__(self, _):
        self.given += 1
        yield reply({"access_token": f"token-{self.given}", "expires_in": self.seconds, "token_type": "Bearer"})


@contextlib.contextmanager
def vertex(private_key, tokens, script=lambda _: [reply(answer())], **settings):
    """An adapter for a server here, whose account is given tokens by another one."""
    with Wire(tokens) as giver, Wire(script) as wire:
        info = {"client_email": ACCOUNT, "private_key": private_key, "token_uri": f"{giver.url}/token"}
        account = service_account.Credentials.from_service_account_info(info, **settings)
        host = wire.url.removesuffix("/v1")
        adapter = Gemini.vertex(project="acme", location="europe-west4", credentials=account, base_url=host)
        yield adapter, wire, account
        adapter.close()


def client(adapter, kind=Client):
    return kind(models={"m": "vertex:gemini-2.5-flash"}, providers={"vertex": adapter}, cache=False, max_retries=0)


@pytest.mark.parametrize(("seconds", "second"), [(SECONDS, "token-1"), (1, "token-2")])
def test_a_call_goes_to_the_project_with_a_token_that_is_used_until_it_expires(private_key, seconds, second):
    with vertex(private_key, Tokens(seconds)) as (adapter, wire, _):
        with client(adapter) as made:
            one = made.complete("m", "Hi")
            made.complete("m", "Hi there")
        sent = wire.requests
    assert one.text == "It is on its way."
    assert one.cost_nanos  # Google's prices
    place = "/v1/projects/acme/locations/europe-west4/publishers/google/models/gemini-2.5-flash:generateContent"
    assert sent[0].line.startswith(f"POST {place} ")
    assert [each.headers["authorization"] for each in sent] == ["Bearer token-1", f"Bearer {second}"]
    assert "x-goog-api-key" not in sent[0].headers
    assert "x-goog-user-project" not in sent[0].headers


def test_a_token_is_made_beside_the_event_loop_and_once_for_all_who_wait(private_key):
    asked, go = threading.Event(), threading.Event()

    class Slow(Tokens):
        def __call__(self, received):
            asked.set()
            assert go.wait(30)
            yield from super().__call__(received)

    tokens = Slow()

    async def main(adapter):
        async with client(adapter, AsyncClient) as made:
            calls = [asyncio.create_task(made.complete("m", f"Hi {number}")) for number in range(3)]
            assert await asyncio.to_thread(asked.wait, 30)
            go.set()  # which a loop that waits for the token would never come to
            texts = [(await call).text for call in calls]
        await adapter.aclose()
        return texts

    with vertex(private_key, tokens) as (adapter, _, _account):
        assert asyncio.run(main(adapter)) == ["It is on its way."] * 3
    assert tokens.given == 1


def test_the_project_that_pays_is_named(private_key):
    with vertex(private_key, Tokens(), quota_project_id="payer") as (adapter, wire, _), client(adapter) as made:
        made.complete("m", "Hi")
        assert wire.requests[0].headers["x-goog-user-project"] == "payer"


def test_a_new_token_is_no_other_account_to_the_cache(private_key):
    with vertex(private_key, Tokens()) as (adapter, wire, account):
        before = adapter.fingerprint
        with client(adapter) as made:
            made.complete("m", "Hi")
        assert adapter.fingerprint == before
        other = Gemini.vertex(project="other", credentials=account, base_url=wire.url)
        assert other.fingerprint != before
        assert "token-1" not in repr(adapter) + repr(adapter.endpoint) + repr(adapter.endpoint.credential)


def refused(_):
    yield reply({"error": "invalid_grant", "error_description": "of theirs"}, status=400)


@pytest.mark.parametrize(
    ("tokens", "kind"),
    [(refused, AuthenticationFailed), (lambda _: [RESET], Unavailable)],
    ids=["refused", "down"],
)
def test_an_account_without_a_token_is_a_typed_error(private_key, tokens, kind):
    with vertex(private_key, tokens) as (adapter, wire, _), client(adapter) as made:
        with pytest.raises(kind) as failed:
            made.complete("m", "Hi")
        assert "of theirs" not in str(failed.value)
        assert wire.requests == []


def test_a_token_that_a_server_repeats_is_taken_out_of_errors(private_key):
    said = reply({"error": {"code": 403, "message": "not token-1", "status": "PERMISSION_DENIED"}}, status=403)
    with vertex(private_key, Tokens(), lambda _: [said]) as (adapter, _, _account), client(adapter) as made:
        with pytest.raises(AuthenticationFailed) as failed:
            made.complete("m", "Hi")
        assert failed.value.detail == "not [removed]"


def test_a_machine_without_an_account_is_told_what_to_do():
    adapter = Gemini.vertex(project="acme")
    assert adapter.tokens.token is None
    with client(adapter) as made, pytest.raises(ConfigurationError, match="gcloud auth"):
        made.complete("m", "Hi")
    adapter.close()


def test_the_machines_own_account_is_found_at_the_first_call(private_key, monkeypatch, tmp_path):
    with Wire(Tokens()) as giver, Wire(lambda _: [reply(answer())]) as wire:
        info = {"type": "service_account", "client_email": ACCOUNT, "private_key": private_key}
        file = tmp_path / "account.json"
        file.write_text(json.dumps({**info, "token_uri": f"{giver.url}/token"}))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        adapter = Gemini.vertex(project="acme", base_url=wire.url)
        with client(adapter) as made:
            assert made.complete("m", "Hi").text == "It is on its way."
        adapter.close()
        assert wire.requests[0].headers["authorization"] == "Bearer token-1"


@pytest.mark.parametrize(
    ("location", "host"),
    [
        (None, "https://aiplatform.googleapis.com"),
        ("global", "https://aiplatform.googleapis.com"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com"),
        ("us-central1", "https://us-central1-aiplatform.googleapis.com"),
    ],
)
def test_each_location_has_its_host(location, host, monkeypatch):
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "acme")
    assert "vertex" in NAMES
    adapter = make("vertex", None) if location is None else Gemini.vertex(location=location)
    path = f"/v1/projects/acme/locations/{location or 'global'}/publishers/google"
    assert adapter.endpoint.base_url == host + path
    assert adapter.name == "vertex"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"project": "a/b"},
        {"project": "acme", "location": "x.evil.test/"},
        {"project": 7},
        {"project": "acme", "api_key": "k"},
        {"project": "acme", "credentials": "k"},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ConfigurationError):
        Gemini.vertex(**settings)


def test_without_google_auth_the_message_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.auth.transport.requests", None)
    with pytest.raises(ConfigurationError, match=r"inferkit\[vertex\]"):
        GoogleTokens(None)
