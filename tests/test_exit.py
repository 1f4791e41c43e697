"""A process that never closes anything ends by itself, says nothing, and leaves its calls settled."""

from __future__ import annotations

import subprocess
import sys

import pytest

from inferkit import SqliteLedger

SECONDS = 30

SETTINGS = """
import sys
from inferkit import AsyncClient, Budget, Client, Price
from inferkit.testing import FakeProvider

settings = dict(
    providers={"fake": FakeProvider(["a", "b", "c"])},
    models={"fast": "fake:m"},
    prices={"fake:m": Price(input="1", output="1")},
    budget=Budget(usd="1", per="total", name="all"),
    ledger=sys.argv[1],
)
"""
BEGUN = {
    "direct": """
llm = Client(**settings)
stream = llm.stream("hi")
next(stream)
""",
    "portal": """
llm = Client(portal=True, **settings)
stream = llm.stream("hi")
next(stream)
""",
    "asyncio": """
import asyncio
llm = AsyncClient(**settings)
stream = llm.stream("hi")
asyncio.run(anext(stream))
""",
    "trio": """
import trio
llm = AsyncClient(**settings)
stream = llm.stream("hi")
trio.run(stream.__anext__)
""",
}


def run(script, *arguments):
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


@pytest.mark.parametrize("kind", BEGUN)
def test_a_stream_that_is_open_at_the_exit_is_settled_and_does_not_hold_the_process(kind, tmp_path):
    path = tmp_path / "ledger.db"
    run(SETTINGS + BEGUN[kind], path)
    ledger = SqliteLedger(path)
    (entry,) = ledger.entries()
    balance = ledger.balance("all", "total")
    ledger.close()
    assert (entry.kind, entry.charge.outcome, entry.charge.estimated) == ("settled", "abandoned", True)
    assert balance.posted.usd == entry.charge.usd > 0
    assert balance.pending.usd == 0


@pytest.mark.parametrize("kind", BEGUN)
def test_a_client_that_is_dropped_without_being_closed_says_nothing_and_settles_its_streams(kind, tmp_path):
    script = (
        SETTINGS
        + BEGUN[kind]
        + """
import gc
from inferkit.runtime import writer
ring = [llm, stream]
ring.append(ring)  # as a traceback makes one: only the collector finds it
del llm, stream, ring
gc.collect()
print(writer.endings.flush())
gc.collect()
"""
    )
    path = tmp_path / "ledger.db"
    assert run(script, path) == "True\n"
    ledger = SqliteLedger(path)
    assert [entry.charge.outcome for entry in ledger.entries()] == ["abandoned"]
    ledger.close()


def test_what_is_dropped_while_the_interpreter_goes_down_does_not_hold_the_process():
    script = """
from inferkit import Chunk, Response
from inferkit.testing import make_request

class Body:
    async def __anext__(self):
        return Chunk("a")

response = Response(Body(), runtime=make_request().runtime)
print("made")
"""
    assert run(script) == "made\n"


def test_a_forked_child_that_exits_leaves_the_open_streams_to_its_parent(tmp_path):
    script = (
        SETTINGS
        + BEGUN["direct"]
        + """
import os
if os.fork() == 0:
    sys.exit()
os.wait()
entries = list(llm.ledger.entries())
print(len(entries), "".join(chunk.text for chunk in stream), stream.reply.finish_reason)
"""
    )
    path = tmp_path / "ledger.db"
    assert run(script, path) == "0 bc stop\n"
    ledger = SqliteLedger(path)
    assert [entry.charge.outcome for entry in ledger.entries()] == ["completed"]
    ledger.close()
