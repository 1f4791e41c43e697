"""What a type checker says of code that uses inferkit: what makes no sense is an error before it runs."""

import subprocess
import sys

import pytest

BUDGETS = """
from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from inferkit import Budget, BudgetBlock, Remaining, SqliteLedger, Spent, budget, budgeted


@budgeted(usd="5.00", per="month", key="user")
def plain(user: str, number: int = 1) -> list[int]:
    return [number]


@budgeted(Budget(calls=5), key=lambda user: user)
async def asynchronous(user: str) -> float:
    return 1.0


@budgeted(tokens=5, on_exceed="truncate")
def generator() -> Iterator[bytes]:
    yield b""


@budgeted(tokens=5, on_exceed="degrade", degrade_to="local")
async def async_generator() -> AsyncIterator[str]:
    yield ""


async def main() -> None:
    assert_type(plain("a", number=2), list[int])
    assert_type(await asynchronous("a"), float)
    assert_type(generator(), Iterator[bytes])
    assert_type(async_generator(), AsyncIterator[str])


def block(ledger: SqliteLedger) -> int:
    with budget(usd="0.10", name="run", key="ana") as spent:
        assert_type(spent, BudgetBlock)
        assert_type(spent.usage(ledger=ledger), Spent)
        assert_type(spent.remaining(ledger=ledger), Remaining)
        return plain("a")[0]


async def async_block() -> str:
    async with budget(calls=5, on_exceed="degrade", degrade_to="local"):
        plain("a")
    async with budget(Budget(calls=5), key="ana") as spent:
        return assert_type(spent.account, str)


plain(5)  # type: ignore[arg-type]
plain()  # type: ignore[call-arg]
budgeted(usd=5.0)  # type: ignore[call-overload]
budgeted(calls=5, per="fortnight")  # type: ignore[call-overload]
budget(usd=0.1)  # type: ignore[call-overload]
budget(Budget(calls=5), key=None)  # type: ignore[call-overload]
budget(Budget(calls=5), usd="0.10")  # type: ignore[call-overload]
"""

CALLS = """
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, assert_type

from inferkit import (
    AsyncClient, AsyncStream, Budget, Cache, Chunk, Client, Handler, Insert, Key, Layer, Ledger, OpenAIChat, Plan,
    Plans, Price, Reply, Request, Response, SqliteLedger, Stream, Tool, ToolRun,
)
from inferkit.telemetry import Telemetry

MINE = Key[int]("mine")


async def layer(request: Request, call_next: Handler) -> Response:
    return await call_next(request)


mine: Layer = layer


llm = Client(
    models={"fast": ["openai:gpt-5-mini", "local"], "smart": "own:m"}, default="fast", providers={"own": OpenAIChat()},
    prices={"own:m": Price(input="1", output="2")}, on_unpriced="block", budget=[Budget(calls=5, name="all")],
    plans=[Plan("pro", price="99", allowance="unlimited")], default_plan="pro", cache=Cache(None),
    ledger=Path("ledger"), on_store_error="allow", estimates="learned", max_retries=1, timeout=5,
    layers=[mine, Insert(layer, before="retry")], home="home", telemetry=Telemetry(), portal=True,
)
AsyncClient(
    on_unpriced=Price(input="1", output="2"), budget=Budget(calls=5, name="all"), plans="plans.toml", cache=False,
    ledger=SqliteLedger("ledger"),
)
Client(max_retries="2")  # type: ignore[arg-type]
Client(cache="yes")  # type: ignore[arg-type]
Client(estimates="guess")  # type: ignore[arg-type]
Client(providers={"own": "openai"})  # type: ignore[dict-item]
Client(modles={})  # type: ignore[call-arg]
AsyncClient(portal=True)  # type: ignore[call-arg]

assert_type(llm.ledger, Ledger)
assert_type(llm.plans, Plans)
assert_type(llm.cache, Cache)
assert_type(llm.cache.clear(model="openai:*", tag="docs"), int)
llm.cache.clear(tag=5)  # type: ignore[arg-type]
reply = llm.complete(
    "fast", "hi", cache_tags=["docs", "faq"], max_output_tokens=5, temperature=0, top_p=0.5, seed=1, stop=["."],
    tools=[Tool("look")],
    tool_choice="auto", schema={"type": "object"}, reasoning_effort="low", extra={"top_k": 5}, user="ana",
    tenant="acme", feature="search", plan="pro", timeout=None, budget=Budget(calls=5, name="a"), cache="bypass",
    extensions={MINE: 5},
)
assert_type(reply, Reply)
assert_type(reply.to_dict(), dict[str, Any])
assert_type(Reply.from_dict(reply.to_dict()), Reply[Any])
assert_type(Reply.from_dict(reply.to_dict(), schema=Price), Reply[Price])
assert_type(Reply.from_dict(reply.to_dict(), schema={"type": "object"}).parsed, Any)
llm.complete("hi", cache_tags=5)  # type: ignore[arg-type]
with llm.stream("hi", stop=".", timeout=1.5) as stream:
    assert_type(stream, Stream)
    for chunk in stream:
        assert_type(chunk, Chunk)
llm.complete("hi", max_output_tokens="5")  # type: ignore[arg-type]
llm.complete("hi", cache="maybe")  # type: ignore[arg-type]
llm.complete("hi", tools=[{"type": "function"}, layer])
llm.complete("hi", tools=[5])  # type: ignore[list-item]
llm.complete(model="fast", messages=[{"role": "user", "content": "hi"}], repair=1, schema=int)
llm.complete(model=5, messages="hi")  # type: ignore[arg-type]
assert_type(llm.run_tools("fast", "hi", tools=[len], max_rounds=3, on_tool_error="raise", timeout=5), ToolRun)
llm.run_tools("fast", "hi", tools=[Tool("look")])  # type: ignore[list-item]
llm.run_tools("hi", tools=[len], on_tool_error="hide")  # type: ignore[arg-type]
llm.complete("hi", budget="5.00")  # type: ignore[arg-type]
llm.complete("hi", max_tokens=5)  # type: ignore[call-arg]
llm.stream("hi", user=5)  # type: ignore[arg-type]


async def main(llm: AsyncClient) -> None:
    assert_type(await llm.complete("fast", "hi", temperature=1), Reply)
    assert_type(llm.stream("fast", "hi", seed=1), AsyncStream)
    await llm.complete("hi", temperature="hot")  # type: ignore[arg-type]
    llm.stream("hi", top_k=5)  # type: ignore[call-arg]
"""

PARSED = """
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

from pydantic import BaseModel

from inferkit import (
    AsyncClient, AsyncToolStream, Chunk, Client, InferkitError, Reply, Stream, Tool, ToolEnded, ToolEvent, ToolRun,
    ToolStarted, ToolStream,
)


class Order(BaseModel):
    number: str


@dataclass
class Place:
    name: str


class Found(TypedDict):
    name: str


def add(a: int) -> int:
    return a


def text(reply: Reply) -> str:
    return reply.text


def first(replies: Sequence[Reply[Order]]) -> Order:
    return replies[0].parsed


def plain(llm: Client) -> None:
    reply = llm.complete("fast", "hi", schema=Order, repair=1, temperature=0)
    assert_type(reply, Reply[Order])
    assert_type(reply.parsed, Order)
    reply.parsed.nubmer  # type: ignore[attr-defined]
    first([reply])
    text(reply)
    assert_type(llm.complete("hi", schema=Place).parsed, Place)
    assert_type(llm.complete(messages="hi", schema=Found).parsed, Found)
    assert_type(llm.complete("hi", schema={"type": "object"}).parsed, Any)
    assert_type(llm.complete("hi", schema=Order, tools=[add]).parsed, Order)
    llm.complete("hi", schema=Order(number="5"))  # type: ignore[arg-type]
    llm.complete("hi", schema=Order, temprature=0)  # type: ignore[call-arg]
    with llm.stream("fast", "hi", schema=Order) as stream:
        assert_type(stream, Stream[Order])
        assert_type(stream.reply.parsed, Order)
    run = llm.run_tools("fast", "hi", tools=[add], schema=Order, max_rounds=3)
    assert_type(run, ToolRun[Order])
    assert_type(run.parsed, Order)
    assert_type(run.reply, Reply[Order])
    assert_type(run.rounds[0].reply, Reply[Any])
    llm.run_tools("hi", tools=[Tool("look")], schema=Order)  # type: ignore[list-item]
    with llm.stream_tools("hi", tools=[add], schema=Order) as events:
        assert_type(events, ToolStream[Order])
        for event in events:
            show(event)
        assert_type(events.run.parsed, Order)
    assert_type(llm.stream_tools("hi", tools=[add]), ToolStream)
    llm.stream_tools("hi")  # type: ignore[call-arg]


def show(event: ToolEvent) -> str:
    match event:
        case Chunk():
            return event.text
        case ToolStarted():
            return event.call.name
        case ToolEnded():
            return event.result.content


def so_far(error: InferkitError) -> ToolRun:
    done: ToolRun = error.run
    return done


async def asynchronous(llm: AsyncClient) -> None:
    assert_type((await llm.complete("hi", schema=Order)).parsed, Order)
    assert_type((await llm.run_tools("hi", tools=[add], schema=Place)).parsed, Place)
    async with llm.stream("hi", schema=Order) as stream:
        assert_type(stream.reply.parsed, Order)
    async with llm.stream_tools("fast", "hi", tools=[add], schema=Order) as events:
        assert_type(events, AsyncToolStream[Order])
        async for event in events:
            show(event)
    await llm.run_tools("hi", tools=[add], on_tool_error="hide", schema=Order)  # type: ignore[arg-type]
"""


EMBEDDINGS = """
from collections.abc import Iterator
from decimal import Decimal
from typing import assert_type

import numpy as np
from numpy.typing import NDArray

from inferkit import AsyncClient, Client, Embeddings, InferkitError


def texts() -> Iterator[str]:
    yield "a"


def plain(llm: Client) -> NDArray[np.float32]:
    found = llm.embed("docs", ["a", "b"], dimensions=256, task="query", concurrency=2, user="ana", cache="refresh")
    assert_type(found, Embeddings)
    assert_type(len(found), int)
    assert_type(found.cost, Decimal | None)
    for vector in found:
        print(vector @ found[0])
    llm.embed(model="docs", texts=texts())
    return found.vectors @ llm.embed("docs", "a").vector


async def asynchronous(llm: AsyncClient) -> None:
    assert_type(await llm.embed("docs", "a"), Embeddings)
    await llm.embed("docs", 5)  # type: ignore[arg-type]
    await llm.embed("docs")  # type: ignore[call-arg]
    await llm.embed("docs", ["a"], temperature=1.0)  # type: ignore[call-arg]


def so_far(error: InferkitError) -> list[int]:
    return list(error.embedded)
"""


def test_types_reach_the_code_that_uses_them(tmp_path):
    pytest.importorskip("mypy")
    programs = {"budgets": BUDGETS, "calls": CALLS, "embeddings": EMBEDDINGS, "parsed": PARSED}
    files = {tmp_path / f"{name}.py": code for name, code in programs.items()}
    for file, code in files.items():
        file.write_text(code)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
