"""Each message in docs/troubleshooting.md is what the library says, word by word: here it says it."""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from inferkit import (
    BreakerRules,
    Budget,
    Client,
    Health,
    InferkitError,
    Local,
    OpenAIChat,
    Price,
    StreamError,
    Unavailable,
    budgeted,
)
from inferkit.telemetry import export_to_jaeger
from inferkit.testing import FakeProvider
from wire import UNTIL_CLOSED, Wire, nobody_listening, reply

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parent.parent / "docs" / "troubleshooting.md"
MESSAGE = re.compile(r"^```text\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
CASES: list[Callable[[Place], None]] = []


def case(function):
    CASES.append(function)
    return function


@dataclass
class Place:
    """Where a case happens."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def client(self, *scripts, **settings):
        settings = {"ledger": self.folder / "ledger.db", "models": {"fast": "shop:large"}, "cache": False, **settings}
        return Client(providers={"shop": FakeProvider(*scripts or ("Hello!",))}, **settings)

    def ask(self, url, **settings):
        """Ask a server that is known as "shop"."""
        adapter = OpenAIChat(base_url=url, api_key="sk-0123456789", name="shop")
        settings = {"providers": {"shop": adapter}, "models": {"fast": "shop:large"}, "max_retries": 0, **settings}
        with Client(cache=False, ledger=False, **settings) as llm:
            llm.complete("fast", "Hi")


def answering(status, body, **headers):
    return Wire(lambda _: [reply(body, status=status, **headers)])


@case
def no_key(place):
    place.monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    Client(models={"fast": "openai:gpt-5-mini"}, cache=False, ledger=False).complete("fast", "Hi")


@case
def unknown_name(place):
    place.client().complete("quick", "Hi")


@case
def no_question(place):
    place.client().complete("fast")


@case
def unknown_setting(place):
    place.client(max_retrys=1)


@case
def unknown_option(place):
    place.client().complete("fast", "Hi", max_tokens=100)


@case
def key_refused(place):
    with answering(401, {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}) as server:
        place.ask(server.url)


@case
def no_such_model(place):
    with answering(404, {"error": {"message": "no such model", "code": "model_not_found"}}) as server:
        place.ask(server.url)


@case
def no_server(place):
    with nobody_listening() as url:
        place.ask(url)


@case
def too_many_requests(place):
    with answering(429, {"error": {"message": "slow down"}}, retry_after="120") as server:
        place.ask(server.url)


@case
def nothing_left_to_pay_with(place):
    with answering(429, {"error": {"message": "pay", "code": "insufficient_quota"}}) as server:
        place.ask(server.url)


@case
def too_long(place):
    with answering(400, {"error": {"message": "too long", "code": "context_length_exceeded"}}) as server:
        place.ask(server.url)


@case
def out_of_time(place):
    with Wire(lambda _: [UNTIL_CLOSED]) as server:
        place.ask(server.url, timeout=0.05)


@case
def left_alone(place):
    down = Unavailable("it is down", provider="shop", status=503)
    llm = place.client(down, health=Health(breaker=BreakerRules(failures=1)), max_retries=0)
    with pytest.raises(Unavailable):
        llm.complete("fast", "Hi")
    llm.complete("fast", "Hi")


@case
def broken_stream(place):
    broken = ["Hello ", Unavailable("the connection broke", provider="shop")]
    with place.client(broken).stream("fast", "Hi") as stream:
        list(stream)


@case
def over_the_budget(place):
    budget = Budget(usd="0.002", per="day", name="trial", each="user")
    llm = place.client(prices={"shop:*": Price(input="10", output="30")}, budget=budget)
    for _ in range(20):
        llm.complete("Where is my parcel?", user="ana")


@case
def nobody_to_charge(place):
    place.client(budget=Budget(calls=5, per="day", name="trial", each="user")).complete("Hi")


@case
def no_price(place):
    place.client(budget=Budget(usd="5", per="month", name="shop")).complete("Hi")


@case
def two_limits(place):
    one, other = (Budget(calls=each, per="day", name="shop") for each in (5, 6))
    place.client(budget=one).complete("Hi", budget=other)


@case
def cost_by_the_back_door(place):
    place.client(budget=Budget(tokens=500, per="day", name="shop")).complete("Hi", extra={"best_of": 3})


@case
def a_damaged_ledger(place):
    (place.folder / "ledger.db").write_bytes(b"nothing that SQLite knows" * 200)
    place.client(budget=Budget(calls=5, per="day", name="shop")).complete("Hi")


@case
def a_budget_without_a_ledger(place):
    place.client(budget=Budget(calls=5, per="day", name="shop"), ledger=False)


@case
def a_key_that_is_no_parameter(_place):
    @budgeted(usd="5", per="month", name="shop", key="user")
    def answer(user_id, question): ...


@case
def no_object(place):
    kind = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}
    place.client('{"count": "three"}').complete("fast", "Hi", schema=kind)


@case
def no_model_file(place):
    Client(models={"fast": "mine:m"}, providers={"mine": Local(place.folder / "m.gguf")}, ledger=False).complete("Hi")


@case
def no_gguf_file(place):
    (place.folder / "m.gguf").write_bytes(b"<!doctype html>" * 9)
    Client(models={"fast": "mine:m"}, providers={"mine": Local(place.folder / "m.gguf")}, ledger=False).complete("Hi")


@case
def a_stream_that_was_left(place):
    with place.client("Hello, Ana!").stream("fast", "Hi") as stream:
        next(iter(stream))
    next(iter(stream))


@case
def a_layer_that_waits(place):
    place.client(layers=[waiting_layer]).complete("fast", "Hi")


async def waiting_layer(request, call_next):
    await asyncio.sleep(0)
    return await call_next(request)


@case
def no_exporter(place):
    place.monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    export_to_jaeger("http://127.0.0.1:4318")


@case
def no_aiohttp(place):
    place.monkeypatch.setattr("inferkit.providers.http.aiohttp_versions._installed", lambda: None)
    place.monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    models = {"fast": "openai:gpt-5-mini"}
    with Client(models=models, transport="aiohttp", portal=True, cache=False, ledger=False) as llm:
        llm.complete("fast", "Hi")


def said_on_the_page():
    return [" ".join(block.split()) for block in MESSAGE.findall(PAGE.read_text(encoding="utf-8"))]


def fits(said, pattern):
    """Whether a message is what the page says, where "…" stands for what differs from machine to machine."""
    return re.fullmatch(".+".join(map(re.escape, pattern.split("…"))), said) is not None


@pytest.mark.parametrize("provoke", CASES, ids=lambda each: each.__name__)
def test_the_page_has_the_message_as_it_is_said(provoke, tmp_path, monkeypatch):
    with pytest.raises((InferkitError, StreamError)) as caught:
        provoke(Place(tmp_path, monkeypatch))
    said = " ".join(f"{caught.type.__name__}: {caught.value}".split())
    assert any(fits(said, pattern) for pattern in said_on_the_page()), f"docs/troubleshooting.md does not have: {said}"


def test_each_message_of_the_page_is_provoked_here():
    assert len(said_on_the_page()) == len(set(said_on_the_page())) == len(CASES)
