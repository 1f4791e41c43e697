"""Anthropic's models on clouds: keys, signatures and tokens, where requests go, what they cost, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import json
import sys
import threading

import pytest

from anthropic_wire import HELLO, event, message
from inferkit import Anthropic, AsyncClient, Budget, Client, Price
from inferkit.core.errors import (
    AuthenticationFailed,
    ConfigurationError,
    InvalidRequest,
    StreamInterrupted,
    Unavailable,
)
from inferkit.pricing.price_book import PriceBook
from inferkit.providers.by_name import NAMES, make
from inferkit.providers.event_stream import write_message
from wire import SSE_HEAD, Wire, chunked, reply

pytest.importorskip("botocore")
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, RefreshableCredentials

KEY = "bedrock-key-very-secret"
SECRET, TOKEN = "aws-secret-of-nobody", "session-token-of-nobody"
MODEL = "us.anthropic.claude-sonnet-4-6-v1:0"
PACKED_HEAD = SSE_HEAD.replace(b"text/event-stream", b"application/vnd.amazon.eventstream")
CHUNK = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
                 "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "ANTHROPIC_VERTEX_PROJECT_ID", "CLOUD_ML_REGION",
                 "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def pack(one):
    return write_message(CHUNK, json.dumps({"bytes": base64.b64encode(json.dumps(one).encode()).decode()}).encode())


def bedrock_answers(received):
    """Answer as Bedrock does, in its event stream or whole."""
    if received.line.split()[1].endswith("-stream"):
        yield PACKED_HEAD
        yield from [chunked(pack(one)) for one in HELLO]
        yield chunked(b"")
    else:
        yield reply(message())


def answers(received):
    """Answer as Anthropic does."""
    if received.json.get("stream"):
        yield SSE_HEAD
        yield from [chunked(event(one)) for one in HELLO]
        yield chunked(b"")
    else:
        yield reply(message())


@contextlib.contextmanager
def bedrock(script=bedrock_answers, *, kind=Client, settings=None, **given):
    with Wire(script) as wire:
        root = wire.url.removesuffix("/v1")
        adapter = Anthropic.bedrock(region="eu-west-1", base_url=root, **given)
        options = {"cache": False, "max_retries": 0, **(settings or {})}
        yield kind(models={"m": f"{adapter.name}:{MODEL}"}, providers={adapter.name: adapter}, **options), wire, adapter
        adapter.close()


def words(flow):
    return "".join(chunk.text for chunk in flow)


def signature(received, *, service="bedrock", secret=SECRET):
    """Work out the signature of a request as it came, with botocore's signer."""
    given = received.headers["authorization"]
    names = given.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    headers = {name: received.headers[name] for name in names}
    url = f"http://{received.headers['host']}{received.line.split()[1]}"
    request = AWSRequest(method="POST", url=url, headers=headers, data=received.body)
    request.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(
        Credentials("AKIDNOBODY", secret, received.headers.get("x-amz-security-token")), service, "eu-west-1"
    )
    return given.rpartition("Signature=")[2], signer.signature(
        signer.string_to_sign(request, signer.canonical_request(request)), request
    )


@pytest.mark.parametrize("stream", [False, True])
def test_a_key_of_bedrocks_is_sent_as_such(stream):
    with bedrock(api_key=KEY, betas=["context-1m-2025-08-07"]) as (made, wire, _), made:
        if stream:
            with made.stream("m", "Hi") as flow:
                assert words(flow) == "Hello"
            one = flow.reply
        else:
            one = made.complete("m", "Hi")
            assert one.text == "It is on its way."
        (sent,) = wire.requests
    path = f"/model/us.anthropic.claude-sonnet-4-6-v1%3A0/invoke{'-with-response-stream' if stream else ''}"
    assert sent.line.startswith(f"POST {path} ")
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.headers.keys().isdisjoint({"x-api-key", "anthropic-version", "anthropic-beta", "x-amz-date"})
    assert sent.json["anthropic_version"] == "bedrock-2023-05-31"
    assert sent.json["anthropic_beta"] == ["context-1m-2025-08-07"]
    assert sent.json.keys().isdisjoint({"model", "stream"})
    assert one.cost_nanos == 8 * 3300 + 12 * 330 + 2 * 4125 + 3 * 6600 + 9 * 16_500  # Amazon's price in a region


@pytest.mark.parametrize("token", [None, TOKEN])
def test_without_a_key_a_request_is_signed(token):
    given = Credentials("AKIDNOBODY", SECRET, token)
    with bedrock(credentials=given, headers={"x-team": "support"}) as (made, wire, _), made:
        assert made.complete("m", "Hi").text == "It is on its way."
        with made.stream("m", "Hi there, and \u00e4") as flow:
            assert words(flow) == "Hello"
        sent = wire.requests
    for one in sent:
        theirs, ours = signature(one)
        assert theirs == ours
        assert one.headers.get("x-amz-security-token") == token
        assert one.headers["x-team"] == "support"
    assert SECRET not in repr(sent)


def test_aiohttp_sends_the_address_that_was_signed():
    pytest.importorskip("aiohttp")

    async def main():
        given = Credentials("AKIDNOBODY", SECRET)
        with bedrock(credentials=given, transport="aiohttp", kind=AsyncClient) as (made, wire, adapter):
            async with made:
                assert (await made.complete("m", "Hi")).text == "It is on its way."
            await adapter.aclose()
            (one,) = wire.requests
        theirs, ours = signature(one)
        assert theirs == ours

    asyncio.run(main())


def test_another_secret_makes_another_signature():
    with bedrock(credentials=Credentials("AKIDNOBODY", "another")) as (made, wire, _), made:
        made.complete("m", "Hi")
        theirs, ours = signature(wire.requests[0])
    assert theirs != ours


def test_credentials_are_those_that_botocore_finds(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDNOBODY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    (tmp_path / "credentials").write_text(
        f"[other]\naws_access_key_id = AKIDNOBODY\naws_secret_access_key = {SECRET}2\n"
    )
    for profile, secret in ((None, SECRET), ("other", f"{SECRET}2")):
        with bedrock(profile=profile) as (made, wire, _), made:
            made.complete("m", "Hi")
            theirs, ours = signature(wire.requests[0], secret=secret)
        assert theirs == ours


def renewable(seconds, renew):
    """Credentials that are valid for that long from now on, and after that are renewed."""
    until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    return RefreshableCredentials("AKIDNOBODY", SECRET, "token-0", until, renew, "test")


def test_credentials_are_renewed_before_they_expire_and_are_no_other_account():
    renewed = []

    def renew():
        renewed.append(None)
        until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
        return {
            "access_key": "AKIDNOBODY",
            "secret_key": SECRET,
            "token": f"token-{len(renewed)}",
            "expiry_time": until.isoformat(),
        }

    with bedrock(credentials=renewable(1, renew)) as (made, wire, adapter), made:
        before = adapter.fingerprint
        made.complete("m", "Hi")
        made.complete("m", "Hi there")
        assert adapter.fingerprint == before
        assert [one.headers["x-amz-security-token"] for one in wire.requests] == ["token-1", "token-1"]
    assert len(renewed) == 1


def test_credentials_are_renewed_beside_the_event_loop_and_once_for_all_who_wait():
    asked, go, renewed = threading.Event(), threading.Event(), []

    def renew():
        renewed.append(None)
        asked.set()
        assert go.wait(30)
        until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
        said = {"access_key": "AKIDNOBODY", "secret_key": SECRET, "token": "token-1"}
        return {**said, "expiry_time": until.isoformat()}

    async def main():
        with bedrock(credentials=renewable(-5, renew), kind=AsyncClient) as (made, wire, adapter):
            async with made:
                calls = [asyncio.create_task(made.complete("m", f"Hi {number}")) for number in range(3)]
                assert await asyncio.to_thread(asked.wait, 30)
                go.set()  # which a loop that waits for the credentials would never come to
                assert [(await call).text for call in calls] == ["It is on its way."] * 3
            await adapter.aclose()
            assert {one.headers["x-amz-security-token"] for one in wire.requests} == {"token-1"}

    asyncio.run(main())
    assert len(renewed) == 1


def test_a_client_can_be_made_ready_before_it_forks():
    with bedrock(api_key=KEY, settings={"preload": True}) as (made, wire, _), made:
        assert wire.requests == []
        assert made.complete("m", "Hi").text == "It is on its way."


def test_credentials_that_cannot_be_renewed_are_a_typed_error():
    from botocore.exceptions import CredentialRetrievalError, EndpointConnectionError

    for raised, kind in (
        (CredentialRetrievalError(provider="x", error_msg="of theirs"), AuthenticationFailed),
        (EndpointConnectionError(endpoint_url="https://x.test"), Unavailable),
    ):

        def renew(raised=raised):
            raise raised

        with bedrock(credentials=renewable(-5, renew)) as (made, wire, _), made, pytest.raises(kind) as failed:
            made.complete("m", "Hi")
        assert "of theirs" not in str(failed.value)
        assert wire.requests == []


@pytest.mark.parametrize("given", [{}, {"profile": "nobody"}])
def test_a_machine_without_an_account_is_told_what_to_do(given):
    with bedrock(**given) as (made, wire, _), made, pytest.raises(ConfigurationError, match="AWS_BEARER_TOKEN|profile"):
        made.complete("m", "Hi")
    assert wire.requests == []


def test_a_token_that_a_server_repeats_is_taken_out_of_errors():
    said = [reply({"message": f"not {TOKEN}"}, status=403, x_amzn_errortype="ExpiredTokenException")]
    given = Credentials("AKIDNOBODY", SECRET, TOKEN)
    with bedrock(lambda _: said, credentials=given) as (made, _, adapter), made:
        with pytest.raises(AuthenticationFailed) as failed:
            made.complete("m", "Hi")
        assert failed.value.detail == "not [removed]"
        assert failed.value.code == "ExpiredTokenException"
        assert TOKEN not in repr(adapter) + repr(adapter.endpoint) + repr(adapter.account)


def test_an_account_is_another_one_to_the_cache():
    accounts = [
        {"credentials": Credentials("AKIDNOBODY", SECRET)},
        {"credentials": Credentials("AKIDOTHER", SECRET)},
        {"profile": "other"},
        {"api_key": KEY},
        {},
    ]
    made = [Anthropic.bedrock(region="eu-west-1", **each) for each in accounts]
    assert len({adapter.fingerprint for adapter in made}) == len(made)
    assert SECRET not in "".join(adapter.fingerprint for adapter in made)


def test_a_key_in_the_environment_goes_to_amazon_alone(monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", KEY)
    assert Anthropic.bedrock(region="eu-west-1").endpoint.credential.read() == KEY
    signed = Anthropic.bedrock(region="eu-west-1", credentials=Credentials("AKIDNOBODY", SECRET))
    assert signed.endpoint.credential.read() is None
    with bedrock(credentials=Credentials("AKIDNOBODY", SECRET)) as (made, wire, _), made:
        made.complete("m", "Hi")
        assert KEY not in repr(wire.requests[0].headers)
    with bedrock(api_key_env="AWS_BEARER_TOKEN_BEDROCK") as (made, wire, _), made:
        made.complete("m", "Hi")
        assert wire.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("given", [{"api_key": KEY}, {"credentials": Credentials("AKIDNOBODY", SECRET)}])
def test_anthropics_own_api_on_bedrock(given):
    with bedrock(answers, api="messages", betas=["x"], **given) as (made, wire, _), made:
        assert made.complete("m", "Hi").text == "It is on its way."
        with made.stream("m", "Hi there") as flow:
            assert words(flow) == "Hello"
        sent = wire.requests
    for one in sent:
        assert one.line.startswith("POST /messages ")
        assert one.headers["anthropic-version"] == "2023-06-01"
        assert one.headers["anthropic-beta"] == "x"
        assert one.json["model"] == MODEL
        assert "anthropic_version" not in one.json
        if "api_key" in given:
            assert one.headers["authorization"] == f"Bearer {KEY}"
        else:
            theirs, ours = signature(one, service="bedrock-mantle")
            assert theirs == ours


def test_a_stream_that_is_cut_is_interrupted_with_what_came():
    def script(_):
        yield PACKED_HEAD
        yield chunked(b"".join(pack(one) for one in HELLO[:4]))
        yield chunked(b"")

    with bedrock(script, api_key=KEY) as (made, _, _adapter), made, made.stream("m", "Hi") as flow:  # noqa: SIM117
        with pytest.raises(StreamInterrupted) as cut:
            words(flow)
    assert cut.value.partial == "Hel"


def test_a_budget_pays_at_amazons_price():
    budget = Budget(usd="1", per="total", name="all")
    with bedrock(api_key=KEY, settings={"budget": budget}) as (made, _, _adapter), made:
        with made.stream("m", "Hi") as flow:
            words(flow)
        spent = made.ledger.balance("all", "total")
    assert spent.posted.usd == flow.reply.cost_nanos > 0


def test_what_a_cloud_does_not_take_goes_to_the_next_candidate():
    with Wire(answers) as other, Wire(bedrock_answers) as wire:
        first = Anthropic.bedrock(region="eu-west-1", api_key=KEY, base_url=wire.url)
        second = Anthropic(api_key="k", base_url=other.url)
        search = {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}
        with Client(
            models={"m": [f"anthropic-bedrock:{MODEL}", "anthropic:claude-sonnet-4-6"]},
            providers={"anthropic-bedrock": first, "anthropic": second},
            cache=False,
        ) as made:
            assert made.complete("m", "Hi", extra=search).model == "claude-sonnet-4-6"
        assert wire.requests == []
        assert other.requests[0].json["tools"] == search["tools"]
        with Client(
            models={"m": f"anthropic-bedrock:{MODEL}"}, providers={"anthropic-bedrock": first}, cache=False
        ) as made, pytest.raises(InvalidRequest, match="web_search"):  # fmt: skip
            made.complete("m", "Hi", extra=search)
        first.close()
        second.close()


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({"region": "eu-west-1"}, "https://bedrock-runtime.eu-west-1.amazonaws.com"),
        ({"region": "us-east-1", "api": "messages"}, "https://bedrock-mantle.us-east-1.api.aws/anthropic/v1"),
    ],
)
def test_each_region_has_its_addresses(given, address):
    assert Anthropic.bedrock(**given).endpoint.base_url == address


def test_clouds_are_known_by_name(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    monkeypatch.setenv("ANTHROPIC_VERTEX_PROJECT_ID", "acme")
    for name, part in (
        ("anthropic-bedrock", "bedrock-runtime.us-west-2."),
        ("anthropic-mantle", "bedrock-mantle.us-west-2."),
        ("anthropic-vertex", "/v1/projects/acme/locations/global/publishers/anthropic"),
    ):
        assert name in NAMES
        adapter = make(name, None)
        assert adapter.name == name
        assert part in adapter.endpoint.base_url
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert "eu-north-1" in make("anthropic-bedrock", None).endpoint.base_url


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"region": "EU West"},
        {"region": "x/y"},
        {"region": 7},
        {"region": "eu-west-1", "api": "converse"},
        {"region": "eu-west-1", "credentials": ("key", "secret")},
        {"region": "eu-west-1", "profile": 7},
        {"region": "eu-west-1", "profile": "x", "credentials": Credentials("a", "b")},
        {"region": "eu-west-1", "api_key": KEY, "profile": "x"},
        {"region": "eu-west-1", "betas": "x"},
        {"region": "eu-west-1", "max_tokens": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(given):
    with pytest.raises(ConfigurationError):
        Anthropic.bedrock(**given)


def test_without_botocore_the_message_names_what_to_install(monkeypatch):
    from inferkit.runtime import imports

    monkeypatch.setattr(imports, "_loaded", set())
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    with pytest.raises(ConfigurationError, match=r"inferkit\[bedrock\]"):
        Anthropic.bedrock(region="eu-west-1", profile="x")
    with bedrock() as (made, _, _adapter), made, pytest.raises(ConfigurationError, match=r"inferkit\[bedrock\]"):
        made.complete("m", "Hi")
    with bedrock(api_key=KEY) as (made, _, _adapter), made:
        assert made.complete("m", "Hi").text


def test_limits_and_quirks_of_ones_own_are_taken():
    from dataclasses import replace

    from inferkit.providers.wires.anthropic.quirks import BEDROCK

    open_ = replace(BEDROCK, without_tools=())
    given = {"quirks": open_, "max_tokens": 50, "version": "bedrock-2030-01-01", "max_kept_bytes": 1 << 20}
    with bedrock(api_key=KEY, **given) as (made, wire, _), made:
        made.complete("m", "Hi", extra={"tools": [{"type": "web_search_20250305", "name": "web_search"}]})
        sent = wire.requests[0].json
    assert (sent["max_tokens"], sent["anthropic_version"]) == (50, "bedrock-2030-01-01")
    assert sent["tools"]
    assert Anthropic.bedrock(region="a", api="messages", max_kept_bytes=7).wire.max_kept_bytes == 7


def test_on_vertex_a_call_goes_to_the_project_with_a_token():
    from google.oauth2.credentials import Credentials as Token

    with Wire(answers) as wire:
        adapter = Anthropic.vertex(
            project="acme", location="europe-west1", credentials=Token("token-1"),
            base_url=wire.url.removesuffix("/v1"), betas=["x"], max_tokens=50, version="vertex-2030-01-01",
        )  # fmt: skip
        model = "anthropic-vertex:claude-sonnet-4-5@20250929"
        with Client(models={"m": model}, providers={"anthropic-vertex": adapter}, cache=False) as made:
            assert made.complete("m", "Hi").text == "It is on its way."
            with made.stream("m", "Hi there") as flow:
                assert words(flow) == "Hello"
        adapter.close()
        whole, streamed = wire.requests
    place = "/v1/projects/acme/locations/europe-west1/publishers/anthropic/models/claude-sonnet-4-5%4020250929"
    assert whole.line.startswith(f"POST {place}:rawPredict ")
    assert streamed.line.startswith(f"POST {place}:streamRawPredict ")
    assert streamed.json["stream"] is True
    for one in (whole, streamed):
        assert one.headers["authorization"] == "Bearer token-1"
        assert one.headers["anthropic-beta"] == "x"
        assert one.headers.keys().isdisjoint({"x-api-key", "anthropic-version"})
        assert "model" not in one.json
        assert (one.json["max_tokens"], one.json["anthropic_version"]) == (50, "vertex-2030-01-01")
    assert flow.reply.cost_nanos == 8 * 3300 + 12 * 330 + 2 * 4125 + 3 * 6600 + 9 * 16_500  # a tenth more in a region


def test_vertex_takes_no_key():
    with pytest.raises(ConfigurationError, match="credentials="):
        Anthropic.vertex(project="acme", api_key="x")
    with pytest.raises(ConfigurationError, match="ANTHROPIC_VERTEX_PROJECT_ID or GOOGLE_CLOUD_PROJECT"):
        Anthropic.vertex()


def test_places_come_from_the_variables_of_either(monkeypatch):
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "google")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "us")
    assert "rep.googleapis.com/v1/projects/google/locations/us/" in Anthropic.vertex().endpoint.base_url
    monkeypatch.setenv("ANTHROPIC_VERTEX_PROJECT_ID", "theirs")
    monkeypatch.setenv("CLOUD_ML_REGION", "global")
    assert "//aiplatform.googleapis.com/v1/projects/theirs/locations/global/" in Anthropic.vertex().endpoint.base_url


@pytest.mark.parametrize(
    ("provider", "model", "dollars"),
    [
        ("anthropic-bedrock", "us.anthropic.claude-sonnet-4-6-v1:0", "3.3"),
        ("anthropic-bedrock", "global.anthropic.claude-sonnet-4-6-v1:0", "3"),
        ("anthropic-mantle", "anthropic.claude-sonnet-4-6", "3.3"),
        ("anthropic-vertex", "claude-sonnet-4-6", "3"),
    ],
)
def test_clouds_have_prices_of_their_own(provider, model, dollars):
    assert str(PriceBook().price(provider, model).input) == dollars


@pytest.mark.parametrize(
    ("model", "dollars"),
    [("claude-sonnet-4-5@20250929", "3.3"), ("claude-opus-4-1@20250805", "15"), ("claude-opus-4@20250514", "15")],
)
def test_a_region_of_google_cloud_costs_a_tenth_more_from_claude_4_5_on(model, dollars):
    book = PriceBook()
    book.price("anthropic-vertex", model)  # and what was found before is forgotten
    book.serve_from("anthropic-vertex", "regional")
    assert str(book.price("anthropic-vertex", model).input) == dollars


def test_a_price_that_is_stated_holds_in_regions_too():
    own = {
        "vertex:claude-sonnet-4-6": Price("1", "2"),
        "vertex:claude-opus-4-6": Price("1", "2", regions={"regional": Price("7", "8")}),
    }
    book = PriceBook(own)
    book.serve_from("anthropic-vertex", "regional")
    assert book.price("anthropic-vertex", "claude-sonnet-4-6").input == "1"
    assert book.price("anthropic-vertex", "claude-opus-4-6").input == "7"
