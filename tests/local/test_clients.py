"""The local model behind both clients, named as a user names it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

import tiny_gguf
from inferkit import Budget, BudgetExceeded, Client, Local, LocalCost, Price, StreamInterrupted
from inferkit.local import ContextOverflow
from inferkit.testing import FakeProvider
from layers.test_trace import Recorded
from local_calls import wait_until_dead, worker_pid
from worlds import closing, in_time


def local_client(world, path):
    return closing(world.client(models={"small": f"local:{path}"}))


def test_a_path_is_all_it_takes(world, endless_path):
    async def body(world):
        async with local_client(world, endless_path) as llm:
            first = await llm.complete("a", max_output_tokens=4)
            again = await llm.complete("small", "a", max_output_tokens=4)
        return first, again

    first, again = world.run(body)
    assert first.text == again.text
    assert first.usage.output_tokens == 4
    assert again.usage.cache_read_tokens > 0
    assert (first.provider, first.cost, first.finish_reason) == ("local", 0, "length")
    assert first.attempts[0].model == "endless"


def test_once_a_budget_is_used_up_the_local_model_answers_and_costs_nothing(world, endless_path):
    budget = Budget(usd="0.0001", name="all", on_exceed="degrade", degrade_to=f"local:{endless_path}")
    big = FakeProvider("A dear reply")

    async def body(world):
        client = world.client(
            providers={"big": big},
            models={"any": "big:m"},
            prices={"big:m": Price(input="10", output="20")},
            budget=budget,
            ledger=True,
        )
        async with closing(client) as llm:
            whole = await llm.complete("a", max_output_tokens=4)
            async with llm.stream("a", max_output_tokens=4) as stream:
                text = "".join([chunk.text async for chunk in stream])
            entries = list(getattr(llm, "inner", llm).ledger.entries())
        return whole, stream.reply, text, entries

    whole, streamed, text, entries = world.run(body)
    assert whole.text == streamed.text == text != ""
    for reply, entry in zip((whole, streamed), entries, strict=True):
        assert (reply.provider, reply.degraded, reply.cost) == ("local", True, 0)
        assert (entry.charge.usd, entry.charge.provider, entry.charge.output_tokens) == (0, "local", 4)
        assert [account for account, _ in entry.accounts] == ["all"]
    assert big.requests == []


def test_a_local_call_is_charged_for_the_time_that_it_computed(world, endless_path):
    second = 1_000_000_000  # nano-dollars

    async def body(world):
        client = world.client(
            models={"small": f"local:{endless_path}"},
            prices={"local:*": LocalCost(hardware_per_hour="3600")},
            budget=Budget(usd="1000", per="month", name="all"),
            ledger=True,
        )
        async with closing(client) as llm:
            replies = [await llm.complete("small", "a", max_output_tokens=9) for _ in range(2)]
            entries = list(getattr(llm, "inner", llm).ledger.entries())
        return replies, entries

    replies, entries = world.run(body)
    for reply, entry in zip(replies, entries, strict=True):
        details = reply.usage.details
        assert 0 < reply.cost_nanos == details.prompt_nanoseconds + details.reply_nanoseconds < 60 * second
        assert reply.attempts[0].price_source == "compute time"
        assert (entry.charge.usd, entry.charge.estimated) == (reply.cost_nanos, False)
        assert entry.charge.details == details


def test_a_budget_of_money_limits_local_calls_too(world, endless_path):
    budget = Budget(usd="0.05", per="month", name="all")

    async def body(world):
        client = world.client(
            models={"small": f"local:{endless_path}"},
            prices={"local:*": LocalCost(hardware_per_hour="3.60")},
            budget=budget,
            ledger=True,
        )
        async with closing(client) as llm:
            first = await llm.complete("small", "a", max_output_tokens=20)
            with pytest.raises(BudgetExceeded):
                await llm.complete("small", "a b " * 5_000, max_output_tokens=20_000)
            return first

    first = world.run(body)
    assert 0 < first.cost_nanos < 50_000_000


def test_the_trace_says_how_long_was_computed(endless_path):
    recorded = Recorded()
    settings = {
        "ledger": False,
        "cache": False,
        "telemetry": recorded.telemetry,
        "models": {"m": f"local:{endless_path}"},
    }
    with Client(prices={"local:endless": LocalCost(hardware_per_hour="3600")}, **settings) as llm:
        cost = llm.complete("m", "a", max_output_tokens=4).cost_nanos
    (call,) = recorded.named("inferkit.call")
    seconds = [span.attributes.get("inferkit.compute_seconds", 0) for span in recorded.collector.spans]
    assert sum(seconds) == call.attributes["inferkit.cost.amount"] == cost / 1e9
    assert call.attributes["inferkit.cost.source"] == "compute time"


def test_a_stream_that_is_left_stops_the_model_and_closing_the_client_ends_it(world, endless_path):
    async def body(world):
        async with local_client(world, endless_path) as llm:
            async with llm.stream("a") as stream:
                async for chunk in stream:
                    if chunk.text:
                        break
            return (await llm.complete("a", max_output_tokens=3)).text

    assert world.run(body).endswith("cc")


def test_a_prompt_that_is_too_long_is_not_tried_again(world, tiny_path):
    async def body(world):
        async with local_client(world, tiny_path) as llm:
            with pytest.raises(ContextOverflow) as caught:
                await llm.complete("x" * 500)
            return caught.value

    assert len(world.run(body).attempts) == 1


def test_a_worker_killed_in_mid_stream_interrupts_it_with_what_was_said(world, endless_path):
    local = Local(endless_path)

    async def body(world):
        async with closing(world.client(providers={"mine": local}, models={"m": "mine:m"})) as llm:
            with pytest.raises(StreamInterrupted) as caught:
                await read_and_kill(llm)
            return caught.value, (await llm.complete("a", max_output_tokens=2)).text

    async def read_and_kill(llm):
        async with llm.stream("a") as stream:
            await anext(stream)
            os.kill(worker_pid(), signal.SIGKILL)
            async for _ in stream:
                pass

    error, text = world.run(body)
    assert error.partial.startswith("b")
    assert text == "bc"
    local.close()


def test_a_local_stream_whose_worker_is_killed_goes_on_with_the_same_words(world, tmp_path):
    """It is told what it said, and goes on behind that."""
    script = "bcdefghijklmnop"
    path = tiny_gguf.scripted(["▁a", *script], context=90_000).write(tmp_path / "script.gguf")

    async def body(world, local, most):
        client = world.client(providers={"mine": local}, models={"m": "mine:m"}, on_interrupt="continue")
        async with closing(client) as llm, llm.stream("a", max_output_tokens=most) as stream:
            await anext(stream)
            os.kill(worker_pid(), signal.SIGKILL)
            async for _ in stream:
                pass
            return stream.reply

    def killed_within(seconds):
        """Ask for as many tokens as take it about so long; None where it had written them all before."""
        local = Local(path, context_length=90_000)
        reply = world.run(body, local, int(5000 * seconds))
        local.close()
        return reply if reply.seams else None

    reply = in_time(killed_within)
    assert reply.text.startswith(script)
    assert set(reply.text[len(script) :]) == {"p"}
    assert len(reply.seams) == 1
    assert [attempt.kind for attempt in reply.attempts] == ["primary", "continuation"]


START = """
import asyncio, gc, os, sys
from pathlib import Path
from inferkit import AsyncClient, Client
settings = {"models": {"m": sys.argv[1]}, "cache": False, "ledger": False}
def children():
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()
"""
LEFT = {
    "a client at the exit": """
llm = Client(**settings)
llm.complete("m", "a", max_output_tokens=3)
print(children())
""",
    "a client that is dropped": """
llm = Client(**settings)
llm.complete("m", "a", max_output_tokens=3)
print(children())
del llm
gc.collect()
assert not children()
""",
    "a stream at the exit": """
stream = Client(**settings).stream("m", "a")
next(stream)
print(children())
""",
    "a stream on a loop that is over": """
async def main():
    global stream
    stream = AsyncClient(**settings).stream("m", "a")
    await anext(stream)
    print(children())
asyncio.run(main())
""",
}


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize("model", ["endless", "embedded"])
def test_what_nobody_closes_leaves_no_process_and_no_words(endless_path, model, left):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-W", "error", "-c", START + LEFT[left]]
    command.append("local" if model == "embedded" else f"local:{endless_path}")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    wait_until_dead(int(done.stdout))


def test_a_reply_of_few_long_tokens_is_whole_under_a_budget(tmp_path):
    """Other vocabularies would need more tokens for it than it is held to."""
    given = {"models": {"m": "local"}, "prices": {"local:*": Price("1", "1")}, "cache": False}
    budget = Budget(usd="0.02", per="month", name="all")

    def ask(**settings):
        with Client(**given, **settings) as llm:
            replies = [llm.complete("m", f"Where is order {number}?", max_output_tokens=30) for number in range(3)]
        return [(one.text, one.usage.output_tokens, one.finish_reason) for one in replies]

    found = ask(budget=budget, ledger=tmp_path / "ledger.db")
    assert found == ask(ledger=False)
    assert (30, "length") in {one[1:] for one in found}
