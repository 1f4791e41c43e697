"""Under each framework: what its user sees is what the provider's own server would have shown, or its own error."""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager

import pytest

import four_wires
from inferkit import AsyncClient, Budget, BudgetExceeded, Price, Unavailable
from inferkit.integrations import async_http_client, cause_of, http_client
from inferkit.testing import settled
from integrations.answering import willing
from integrations.frameworks import FRAMEWORKS, Order
from wire import Wire, nobody_listening, reply

each_framework = pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
TEXT = "It is on its way."
EXPECTED = {"whole": (TEXT, 20, 9), "streamed": TEXT, "tools": TEXT, "parsed": Order(id=3)}
NOWHERE = "http://127.0.0.1:9/v1"


@asynccontextmanager
async def bare():
    import httpx2

    with httpx2.Client(timeout=60) as plain:
        async with httpx2.AsyncClient(timeout=60) as other:
            yield plain, other


@asynccontextmanager
async def under(**settings):
    async with AsyncClient(**{"cache": False, "ledger": False, **settings}) as llm:
        with http_client(llm) as plain:
            async with async_http_client(llm) as other:
                yield plain, other


def ask(framework, how, url, clients):
    framework.needed()

    async def body():
        async with clients as given:
            return await getattr(framework, how)(framework.make(url, given, framework.model), "Where is order 3?")

    return asyncio.run(body())


@pytest.mark.parametrize("how", ["whole", "streamed", "tools", "parsed"])
@each_framework
def test_it_shows_what_the_server_itself_shows(framework, how):
    with Wire(willing(framework.wire)) as wire:
        alone = ask(framework, how, wire.url, bare())
        requests = len(wire.requests)
        through = ask(framework, how, wire.url, under())
        assert len(wire.requests) == 2 * requests
        assert wire.requests[-1].headers["user-agent"].startswith("inferkit")
    assert through == alone
    assert ("".join(through) if how == "streamed" else through) == EXPECTED[how]


@pytest.mark.parametrize("how", ["streamed", "parsed"])
@each_framework
def test_another_wire_serves_it_and_nobody_notices(framework, how):
    other = "anthropic" if framework.wire != "anthropic" else "chat"
    with Wire(lambda _: [reply({"error": {"message": "down"}}, 503)]) as down, Wire(willing(other)) as up:
        adapters = {"a": four_wires.adapter(framework.wire, down.url), "b": four_wires.adapter(other, up.url)}
        given = under(providers=adapters, models={framework.model: ["a:m", "b:m"]}, max_retries=0)
        came = ask(framework, how, NOWHERE, given)
        assert up.requests
    assert ("".join(came) if how == "streamed" else came) == EXPECTED[how]


@pytest.mark.parametrize("how", ["whole", "streamed"])
@each_framework
def test_a_refusal_of_a_budget_reaches_its_user_once(framework, how, tmp_path):
    budget = Budget(usd="0.000001", per="month", name="tiny")
    given = {"ledger": tmp_path / "ledger.db", "budget": budget, "on_unpriced": Price(input=1, output=10)}
    with Wire(willing(framework.wire)) as wire:
        with pytest.raises(Exception, match="tiny") as refused:
            ask(framework, how, wire.url, under(**given))
        assert not wire.requests
    cause = cause_of(refused.value)
    assert isinstance(cause, BudgetExceeded)
    assert cause.scope == "tiny"


@each_framework
def test_a_servers_refusal_is_the_error_that_it_has_for_it(framework):
    error = {"message": "no such thing", "type": "rate_limit_error", "param": None, "code": "nope"}
    with Wire(lambda _: [reply({"type": "error", "error": error}, 429)]) as wire:
        with pytest.raises(Exception, match="no such thing") as alone:
            ask(framework, "whole", wire.url, bare())
        wire.requests.clear()
        with pytest.raises(Exception, match="no such thing") as through:
            ask(framework, "whole", wire.url, under(max_retries=0))
        assert len(wire.requests) == 1
    assert type(through.value) is type(alone.value)
    assert cause_of(through.value).status == 429


@each_framework
def test_a_server_that_is_not_there_is_its_own_error(framework):
    with nobody_listening() as url, pytest.raises(Exception, match=r"127\.0\.0\.1|Connection error") as failed:
        ask(framework, "whole", url, under(max_retries=0))
    assert isinstance(cause_of(failed.value), Unavailable)


@each_framework
def test_a_task_that_is_cancelled_ends_its_stream(framework, tmp_path):
    framework.needed()
    budget = Budget(usd="1", per="month", name="all")
    settings = {"ledger": tmp_path / "ledger.db", "budget": budget, "on_unpriced": Price(input=1, output=10)}

    async def body(url):
        async with AsyncClient(cache=False, **settings) as llm, async_http_client(llm) as other:
            with http_client(llm) as plain:
                model = framework.make(url, (plain, other), framework.model)
                task = asyncio.create_task(framework.streamed(model, "Hi"))
                assert await asyncio.to_thread(wire.arrived.wait, 60)
                task.cancel()
                await asyncio.wait([task])
                del task
                if framework.leaves_a_circle:
                    gc.collect()
                assert await asyncio.to_thread(wire.wait_until_closed)
                await asyncio.to_thread(settled)
                return budget.usage(ledger=llm.ledger)

    with Wire(lambda received: four_wires.answer(framework.wire, received, "Hello there.", half=True)) as wire:
        usage = asyncio.run(body(wire.url))
    assert usage.held_calls == 0
