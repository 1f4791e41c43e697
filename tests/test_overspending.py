"""What many callers of one budget are billed, at the client's door."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from billed_worker import THREADS, client, prompts
from billing import INPUT_NANOS, MOST_OUTPUT, Billing, cost, wanted
from inferkit import Budget, BudgetExceeded, Chunk, Client, InferkitError, Price, Response, SqliteLedger, Usage
from inferkit.ledger.amounts import Amounts
from wire import CLOSE, Wire
from worlds import in_threads

LIMIT = 250_000_000  # nano-dollars
WORKER = Path(__file__).with_name("billed_worker.py")


class Sending:
    """A provider that bills what it sends, and sends all that it is allowed to."""

    def __init__(self):
        self.billed = []

    async def __call__(self, request):
        output = min(400, request.max_output_tokens)
        self.billed.append(20 * 1_000 + output * 10_000)
        end = Chunk(finish_reason="stop", usage=Usage(input_tokens=20, output_tokens=output))
        return Response(_Body([Chunk(text="x"), end]), runtime=request.runtime)


class _Body:
    def __init__(self, chunks):
        self._chunks = chunks

    async def __anext__(self):
        if not self._chunks:
            raise StopAsyncIteration
        return self._chunks.pop(0)


def test_64_threads_are_never_billed_more_than_their_budget_and_leave_little_of_it(tmp_path):
    provider = Sending()
    refusals = []
    llm = Client(
        providers={"billing": provider},
        models={"any": "billing:m"},
        prices={"billing:m": Price(input="1", output="10")},
        budget=Budget(usd="0.25", per="month", name="all"),
        home=tmp_path,
        cache=False,
    )

    def work(number):
        for _ in range(8):  # 512 calls, where 62 fit
            try:
                llm.complete("any", f"hello {number}", max_output_tokens=400)
            except BudgetExceeded as refusal:
                refusals.append(refusal)

    in_threads(work, range(64))
    posted = sum(entry.charge.usd for entry in llm.ledger.entries())
    llm.close()
    assert len(provider.billed) + len(refusals) == 512
    assert posted == sum(provider.billed)
    assert LIMIT - 2 * 4_020_000 <= posted <= LIMIT


def test_requests_whose_replies_are_lost_on_the_way_are_paid_for(tmp_path):
    """The provider bills each prompt that it has read, and the connection breaks before it had time to write."""
    billed = []

    def script(request):
        billed.append(8 * INPUT_NANOS)
        yield CLOSE

    errors = []
    with Wire(script) as wire, contextlib.closing(client(wire.url, tmp_path / "ledger.db", "0.001")) as llm:
        while not any(isinstance(error, BudgetExceeded) for error in errors):
            with pytest.raises(InferkitError) as caught:
                llm.complete(f"question {len(errors)}", max_output_tokens=16)
            errors.append(caught.value)
        ((_, _, balance),) = llm.ledger.balances()
    assert len(billed) > len(errors) > 1, "each call tries again"
    assert sum(billed) <= balance.posted.usd <= 1_000_000
    assert balance.pending == Amounts()


PROCESSES, TIMES = 4, 7  # processes, and how many times the limit they ask for
CALL = cost(MOST_OUTPUT)


def spend_together(tmp_path, kinds):
    """Let four processes of 16 threads ask for seven times their limit; give what came of it."""
    asked = [
        prompt
        for number in range(PROCESSES)
        for thread in range(THREADS)
        for prompt in prompts(kinds.split("+"), number, thread)
    ]
    limit = sum(cost(wanted(prompt)) for prompt in asked) // TIMES
    usd, path = f"{Decimal(limit).scaleb(-9):f}", tmp_path / "ledger.sqlite3"
    provider = Billing(unreliable=True, together=PROCESSES * THREADS)
    with Wire(provider) as wire, contextlib.ExitStack() as running:
        workers = []
        for number in range(PROCESSES):
            command = [sys.executable, WORKER, wire.url, path, "spend", usd, kinds, str(number)]
            worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            running.enter_context(worker)
            running.callback(worker.kill)
            workers.append(worker)
        for worker in workers:
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        answered = [int(worker.communicate(timeout=60)[0]) for worker in workers]
    with contextlib.closing(SqliteLedger(path)) as ledger:
        (balance,) = [balance for _, _, balance in ledger.balances()]
        entries = list(ledger.entries())
    assert [worker.returncode for worker in workers] == [0] * PROCESSES
    assert sum(answered) == len(provider.billed) == len(entries) < len(asked) // 2
    assert min(answered) > 0
    assert provider.refused
    assert sum(entry.charge.usd for entry in entries) == balance.posted.usd
    assert balance.pending == Amounts()
    return provider.invoice, balance.posted.usd, limit


def test_4_processes_of_16_threads_are_billed_what_the_ledger_says_and_leave_less_than_two_calls(tmp_path):
    invoice, posted, limit = spend_together(tmp_path, "all")
    assert posted == invoice
    assert limit - 2 * CALL <= invoice <= limit


def test_4_processes_of_16_threads_stay_within_their_budget_when_streams_are_left_or_break(tmp_path):
    invoice, posted, limit = spend_together(tmp_path, "all+leave+all+break")
    assert invoice <= posted <= limit  # what was not reported is estimated from above
    assert limit - 2 * CALL <= posted
