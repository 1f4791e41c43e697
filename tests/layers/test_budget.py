"""What the budget layer promises to those who pay."""

from __future__ import annotations

import gc
import logging
import random
import sqlite3
import threading
from decimal import Decimal

import anyio
import pytest

from budgets.stack import AT, BOOK, Around, InBatches, Stack, Timed, late, likely_input, likely_output, make_request
from inferkit.budgets.budget import Budget
from inferkit.budgets.scope import Scope
from inferkit.core.chunks import Chunk
from inferkit.core.errors import BudgetExceeded, ConfigurationError, LedgerError, Unavailable, UnpricedModel
from inferkit.core.messages import Message
from inferkit.core.usage import Usage
from inferkit.ledger import backlog
from inferkit.ledger.amounts import Amounts, Balance, Line
from inferkit.ledger.journal import Attribution
from inferkit.ledger.ledger import Ledger
from inferkit.ledger.sqlite.ledger import SqliteLedger, SqliteStore
from inferkit.pricing.tokens import input_tokens_bound
from inferkit.runtime import writer
from inferkit.testing import FakeProvider, settled
from worlds import cancelled_afterwards, directly, on_a_loop

REPLY = [Chunk("Hi"), Chunk(" there", finish_reason="stop"), Chunk(usage=Usage(10, 5))]
COST = 10 * 1_000 + 5 * 2_000  # nano-dollars at the price of "cheap"
MONTH = "month:2026-11-01"


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def scope(**limits):
    limits.setdefault("name", "free")
    return Scope(Budget(**limits), "alice")


def posted(ledger, account="free:alice"):
    balance = ledger.balance(account, MONTH)
    assert balance.pending == Amounts(), "something is still held"
    return balance.posted


def test_a_call_is_charged_what_it_cost(run, ledger):
    stack = Stack(ledger, FakeProvider(REPLY))

    async def main(runtime):
        request = make_request(runtime, scope(usd="5"), user="alice", tenant="acme")
        response = await stack(request)
        held = ledger.balance("free:alice", MONTH).pending
        assert held.usd == input_tokens_bound(request) * 1_000 + 4096 * 2_000
        return await response.read()

    assert "".join(chunk.text for chunk in run(main)) == "Hi there"
    assert posted(ledger) == Amounts(COST, 15, 1)
    (entry,) = ledger.entries()
    assert (entry.charge.usd, entry.charge.model, entry.charge.attribution) == (
        COST,
        "cheap",
        Attribution("alice", "acme"),
    )
    assert not entry.charge.estimated


def test_all_scopes_of_a_call_pay(run, ledger):
    stack = Stack(ledger, FakeProvider(REPLY))
    both = (scope(usd="5"), Scope(Budget(tokens=100_000, name="company")))

    async def main(runtime):
        return await (await stack(make_request(runtime, *both))).read()

    run(main)
    assert posted(ledger) == posted(ledger, "company") == Amounts(COST, 15, 1)


def test_a_budget_named_twice_pays_once(ledger):
    stack = Stack(ledger, FakeProvider(REPLY))

    async def main(runtime):
        return await (await stack(make_request(runtime, scope(usd="5"), scope(usd="3")))).read()

    directly(main)
    assert posted(ledger) == Amounts(COST, 15, 1)


@pytest.mark.parametrize("limits", [("5", "0.001"), ("0.001", "5")])
def test_a_budget_named_twice_is_held_to_its_lower_limit(ledger, limits):
    model = FakeProvider(REPLY)

    async def main(runtime):
        scopes = [scope(usd=limit) for limit in limits]
        await (await Stack(ledger, model)(make_request(runtime, *scopes))).read()

    directly(main)
    assert model.requests[0].max_output_tokens < 500


def test_the_output_is_lowered_to_what_the_budget_buys(run, ledger):
    model = FakeProvider(REPLY)
    stack = Stack(ledger, model)

    async def main(runtime):
        request = make_request(runtime, scope(usd="0.001"))
        await (await stack(request)).read()
        return request

    request = run(main)
    left = 1_000_000 - input_tokens_bound(request) * 1_000
    assert model.requests[0].max_output_tokens == left // 2_000
    assert request.record.clamped


def test_a_budget_that_buys_too_little_refuses_before_anything_is_sent(run, ledger):
    model = FakeProvider(REPLY)
    stack = Stack(ledger, model)

    async def main(runtime):
        return await stack(make_request(runtime, scope(usd="0.0001", zone="Europe/Berlin")))

    with pytest.raises(BudgetExceeded) as caught:
        run(main)
    error = caught.value
    assert (error.scope, error.limit, error.spent, error.unit) == ("free:alice", Decimal("0.0001"), 0, "usd")
    assert "$0.0001 per month" in str(error)
    assert "2026-11-30 23:00 UTC" in str(error)
    assert model.requests == []
    assert posted(ledger) == Amounts()


@pytest.mark.parametrize(("asked", "reason"), [(None, "budget"), (2, "length")])
def test_a_length_that_the_caller_did_not_ask_for_is_named_after_the_budget(ledger, asked, reason):
    """So that the cache does not keep the stump of a reply for those who have no budget."""
    long = FakeProvider([Chunk("Hello there", finish_reason="length", usage=Usage(10, 2))])
    stack = Stack(ledger, long, default_output_tokens=2, min_output_tokens=1)

    async def main(runtime):
        response = await stack(make_request(runtime, scope(usd="5"), max_output_tokens=asked))
        return [chunk.finish_reason async for chunk in response]

    assert directly(main) == [reason]
    assert [entry.charge.finish_reason for entry in ledger.entries()] == [reason]


def test_a_call_is_not_clamped_where_its_own_limit_is_covered(ledger):
    model = FakeProvider(REPLY)

    async def main(runtime):
        request = make_request(runtime, scope(usd="5"), max_output_tokens=7)
        await (await Stack(ledger, model)(request)).read()
        return request

    assert not directly(main).record.clamped
    assert model.requests[0].max_output_tokens == 7


def test_a_budget_of_calls_neither_needs_a_price_nor_limits_the_output(run, ledger):
    model = FakeProvider(REPLY)
    stack = Stack(ledger, model)

    async def main(runtime):
        for _ in range(2):
            await (await stack(make_request(runtime, scope(calls=2), model="unheard-of"))).read()
        await stack(make_request(runtime, scope(calls=2), model="unheard-of"))

    with pytest.raises(BudgetExceeded, match="2 calls spent"):
        run(main)
    assert [request.max_output_tokens for request in model.requests] == [None, None]
    assert posted(ledger).calls == 2
    assert [entry.charge.usd for entry in ledger.entries()] == [None, None]


def test_a_token_budget_is_kept(ledger):
    model = FakeProvider(REPLY)
    stack = Stack(ledger, model)

    async def main(runtime):
        request = make_request(runtime, scope(tokens=200), model="unheard-of")
        await (await stack(request)).read()
        return request

    request = directly(main)
    assert model.requests[0].max_output_tokens == 200 - input_tokens_bound(request)
    assert posted(ledger).tokens == 15


def test_an_unpriced_model_is_refused_where_money_is_counted(ledger):
    model = FakeProvider(REPLY)

    async def main(runtime):
        await Stack(ledger, model)(make_request(runtime, scope(usd="5"), model="unheard-of"))

    with pytest.raises(UnpricedModel, match="test:unheard-of"):
        directly(main)
    assert model.requests == []


def test_a_limit_on_each_call_needs_no_account(run, ledger):
    model = FakeProvider(REPLY)
    stack = Stack(ledger, model)
    each = Scope(Budget(usd="0.001", per="call", name="each"))

    async def main(runtime):
        for _ in range(3):
            await (await stack(make_request(runtime, each))).read()
        await stack(make_request(runtime, each, text="x" * 2000))

    with pytest.raises(BudgetExceeded, match="per call"):
        run(main)
    assert len(model.requests) == 3
    assert model.requests[0].max_output_tokens < 500
    assert list(ledger.balances()) == []
    assert len(list(ledger.entries())) == 3


@pytest.mark.parametrize("ending", ["close", "drop", "error", "cancel"])
def test_a_stream_left_early_is_settled_once_from_what_was_seen(run, ledger, ending):
    broken = {"error": Unavailable("gone", provider="test"), "cancel": KeyboardInterrupt()}
    items = [Chunk("Hello"), broken[ending]] if ending in broken else [Chunk("Hello"), Chunk(" you")]
    stack = Stack(ledger, FakeProvider(items))

    async def main(runtime):
        request = make_request(runtime, scope(usd="5"))
        response = await stack(request)
        assert (await response.__anext__()).text == "Hello"
        if ending in broken:
            with pytest.raises(type(broken[ending])):
                await response.__anext__()
        elif ending == "close":
            await response.aclose()
        del response
        gc.collect()
        assert await runtime.run_blocking(writer.endings.flush)
        return request

    request = run(main)
    tokens, written = likely_input(request), likely_output("Hello")
    assert posted(ledger) == Amounts(tokens * 1_000 + written * 2_000, tokens + written, 1)
    (entry,) = ledger.entries()
    assert entry.charge.estimated


def test_a_call_that_cost_nothing_gives_everything_back(run, ledger):
    stack = Stack(ledger, FakeProvider(Unavailable("overloaded", provider="test", status=503)))

    async def main(runtime):
        await stack(make_request(runtime, scope(usd="5")))

    with pytest.raises(Unavailable):
        run(main)
    assert posted(ledger) == Amounts()
    assert list(ledger.entries()) == []


def test_an_attempt_that_may_have_been_billed_is_paid_for(run, ledger):
    stack = Stack(ledger, FakeProvider(late(RESET)))

    async def main(runtime):
        request = make_request(runtime, scope(usd="5"))
        with pytest.raises(Unavailable):
            await stack(request)
        return request

    tokens = likely_input(run(main))
    assert posted(ledger) == Amounts(tokens * 1_000 + 4096 * 2_000, tokens + 4096, 1)


RESET = Unavailable("connection reset", provider="test")


class RetryOnce(Stack):
    """Tries again after any error, as the retry layer does."""

    async def attempt(self, request):
        try:
            return await super().attempt(request.replace(attempt=1))
        except Unavailable:
            return await super().attempt(request.replace(attempt=2, attempt_kind="retry"))


def test_a_second_attempt_is_covered_before_it_is_sent(run, ledger):
    model = FakeProvider(late(RESET), REPLY)
    stack = RetryOnce(ledger, model)

    async def main(runtime):
        request = make_request(runtime, scope(usd="5"), max_output_tokens=100)
        response = await stack(request)
        tokens = input_tokens_bound(request) + likely_input(request)
        assert ledger.balance("free:alice", MONTH).pending.usd == tokens * 1_000 + 2 * 100 * 2_000
        await response.read()
        return request

    request = run(main)
    assert posted(ledger).usd == likely_input(request) * 1_000 + 100 * 2_000 + COST
    assert [(a.number, a.kind) for a in request.record.attempts] == [(1, "primary"), (2, "retry")]


def test_a_third_attempt_holds_only_what_it_adds(ledger):
    model = FakeProvider(late(RESET), late(RESET), REPLY)

    class RetryTwice(RetryOnce):
        async def attempt(self, request):
            try:
                return await super().attempt(request)
            except Unavailable:
                return await Stack.attempt(self, request.replace(attempt=3))

    async def main(runtime):
        request = make_request(runtime, scope(usd="5"), max_output_tokens=100)
        response = await RetryTwice(ledger, model)(request)
        held = ledger.balance("free:alice", MONTH).pending.usd
        await response.read()
        return held, input_tokens_bound(request) + 2 * likely_input(request)

    held, tokens = directly(main)
    assert held == tokens * 1_000 + 3 * 100 * 2_000


def test_a_second_attempt_that_the_budget_does_not_cover_is_refused(run, ledger):
    model = FakeProvider(late(RESET), REPLY)
    stack = RetryOnce(ledger, model)

    async def main(runtime):
        request = make_request(runtime, scope(usd="0.0009"), max_output_tokens=400)
        with pytest.raises(BudgetExceeded) as caught:
            await stack(request)
        assert len(request.record.attempts) == 1
        assert "another attempt of this one needs $" in str(caught.value)
        return request

    request = run(main)
    assert len(model.requests) == 1
    assert posted(ledger).usd == likely_input(request) * 1_000 + 400 * 2_000


RUNAWAY = [Chunk("word " * 100) for _ in range(50)]


def test_a_stream_that_runs_past_the_hold_is_cut_with_an_error(run, ledger):
    model = FakeProvider(RUNAWAY)
    stack = Stack(ledger, model)

    async def main(runtime):
        request = make_request(runtime, scope(usd="5"), max_output_tokens=100)
        response = await stack(request)
        with pytest.raises(BudgetExceeded) as caught:
            await response.read()
        assert len(request.record.attempts) == 1
        return caught.value

    error = run(main)
    assert "word" not in str(error)
    assert model.sent < 10
    assert model.open_streams == 0
    assert posted(ledger).tokens >= 100


def test_a_stream_that_runs_past_the_hold_is_truncated_on_request(run, ledger):
    model = FakeProvider(RUNAWAY)
    stack = Stack(ledger, model)

    async def main(runtime):
        request = make_request(runtime, scope(usd="5", on_exceed="truncate"), max_output_tokens=100)
        response = await stack(request)
        return await response.read()

    chunks = run(main)
    assert [chunk.finish_reason for chunk in chunks].count("budget") == 1
    assert chunks[-1].finish_reason == "budget"
    assert chunks[-1].text
    assert model.open_streams == 0
    assert model.sent == len(chunks) < 10
    assert posted(ledger).calls == 1


def test_a_stream_whose_own_counts_run_past_the_hold_is_cut_in_the_middle_of_a_read(run, ledger):
    def counting(tokens):
        return [Chunk("w", usage=Usage(10, count)) for count in tokens]

    read = InBatches([[Chunk("Well")], counting(range(1, 17)), counting(range(98, 114)), counting(range(114, 130))])
    stack = Stack(ledger, read)

    async def main(runtime):
        request = make_request(runtime, scope(usd="5"), max_output_tokens=100)
        response = await stack(request)
        chunks = []
        with pytest.raises(BudgetExceeded):
            while True:
                chunks += await response.next_batch()
        return chunks, request.record.attempts[0].usage.output_tokens

    chunks, booked = run(main)
    assert [chunk.usage.output_tokens for chunk in chunks[1:]] == [*range(1, 17), 98, 99, 100]
    assert booked == 113, "all of that read had come"


def test_without_scopes_a_call_is_entered_in_the_book(run, ledger):
    stack = Stack(ledger, FakeProvider(REPLY))

    async def main(runtime):
        await (await stack(make_request(runtime, user="bob"))).read()

    run(main)
    (entry,) = ledger.entries()
    assert (entry.charge.usd, entry.charge.attribution.user, entry.accounts) == (COST, "bob", ())


def test_without_a_ledger_calls_pass_and_budgets_are_refused(ledger):
    stack = Stack(None, FakeProvider(REPLY))

    async def main(runtime, *scopes):
        return await (await stack(make_request(runtime, *scopes))).read()

    assert len(directly(main)) == 3
    with pytest.raises(ConfigurationError, match="ledger"):
        directly(lambda runtime: main(runtime, scope(usd="5")))


@pytest.fixture
def locker(ledger, tmp_path):
    """Another program's connection, which can keep the ledger locked."""
    connection = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None, check_same_thread=False)
    yield connection
    connection.close()


@on_a_loop
def test_waiting_for_a_locked_ledger_does_not_stop_the_event_loop(run, ledger, locker):
    stack = Stack(ledger, FakeProvider(REPLY))
    ticks = []

    async def main(runtime):
        async def tick():
            for number in range(20):  # the lock is given back only by a loop that runs
                await runtime.sleep(0.001)
                ticks.append(number)
            locker.execute("COMMIT")

        locker.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as group:
            group.start_soon(tick)
            response = await stack(make_request(runtime, scope(usd="5")))
        locker.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as group:
            group.start_soon(tick)
            return await response.read()

    assert len(run(main)) == 3
    assert len(ticks) == 40
    assert posted(ledger) == Amounts(COST, 15, 1)


class Telling(Around):
    """A runtime that tells when something goes to a thread."""

    def __init__(self, runtime):
        super().__init__(runtime)
        self.went = anyio.Event()

    async def run_blocking(self, function, *args, **options):
        self.went.set()
        return await self.runtime.run_blocking(function, *args, **options)


@on_a_loop
def test_a_caller_who_is_cancelled_while_waiting_holds_nothing(run, ledger, locker):
    model = FakeProvider(REPLY)
    stack = Stack(ledger, model)

    async def main(runtime):
        runtime = Telling(runtime)

        async def call():
            await stack(make_request(runtime, scope(usd="5")))

        locker.execute("BEGIN IMMEDIATE")
        async with cancelled_afterwards(call):
            await runtime.went.wait()
        locker.execute("COMMIT")

    run(main)
    settled(20)
    assert posted(ledger) == Amounts()
    assert model.requests == []


@pytest.mark.parametrize(("durability", "elsewhere"), [("normal", False), ("full", True)])
@on_a_loop
def test_only_a_ledger_that_waits_for_the_disk_is_used_from_a_thread(run, tmp_path, durability, elsewhere):
    ledger = SqliteLedger(tmp_path / "watched.db", durability=durability)
    write, threads = ledger.accounts.database.write, set()

    def noting(step, **options):
        threads.add(threading.get_ident())
        return write(step, **options)

    ledger.accounts.database.write = noting

    async def main(runtime):
        return await (await Stack(ledger, FakeProvider(REPLY))(make_request(runtime, scope(usd="5")))).read()

    assert len(run(main)) == 3
    assert (threading.get_ident() not in threads) is elsewhere
    assert posted(ledger) == Amounts(COST, 15, 1)
    ledger.close()


class Broken(SqliteStore):
    """A store that fails from a certain step on."""

    failing = ()

    async def reserve(self, *args, **options):
        if "reserve" in self.failing:
            raise LedgerError("the disk is gone")
        return await super().reserve(*args, **options)

    async def settle(self, *args, **options):
        if "settle" in self.failing:
            raise LedgerError("the disk is gone")
        return await super().settle(*args, **options)

    async def record(self, *args, **options):
        if "settle" in self.failing:
            raise LedgerError("the disk is gone")
        return await super().record(*args, **options)


@pytest.fixture
def broken(tmp_path):
    ledger = Ledger(Broken(tmp_path / "ledger.db"))
    yield ledger
    ledger.close()


def test_a_ledger_that_fails_blocks_the_call(run, broken):
    broken.accounts.failing = ("reserve",)
    model = FakeProvider(REPLY)

    async def main(runtime):
        await Stack(broken, model)(make_request(runtime, scope(usd="5")))

    with pytest.raises(LedgerError):
        run(main)
    assert model.requests == []


def test_a_ledger_that_fails_lets_the_call_pass_if_told_so(run, broken, caplog):
    broken.accounts.failing = ("reserve", "settle")
    model = FakeProvider(REPLY)

    async def main(runtime):
        request = make_request(runtime, scope(usd="5"))
        chunks = await (await Stack(broken, model, on_store_error="allow")(request)).read()
        return request, chunks

    with caplog.at_level(logging.WARNING, "inferkit"):
        request, chunks = run(main)
    assert len(chunks) == 3
    assert [event.attributes["decision"] for event in request.record.events] == ["ledger failed", "not settled"]
    assert "without its budget" in caplog.text
    assert "could not be entered" in caplog.text


def test_a_reply_is_not_lost_to_a_ledger_that_fails_afterwards(run, broken, caplog, monkeypatch):
    monkeypatch.setattr(backlog, "_FIRST_PAUSE", 3600.0)
    model = FakeProvider(REPLY)
    stack = Stack(broken, model)

    async def main(runtime):
        request = make_request(runtime, scope(usd="5"))
        response = await stack(request)
        broken.accounts.failing = ("settle",)
        return request, await response.read()

    with caplog.at_level(logging.ERROR, "inferkit"):
        _request, chunks = run(main)
    assert len(chunks) == 3
    assert "could not be settled" in caplog.text
    held = broken.balance("free:alice", MONTH).pending.usd
    assert held > COST
    assert broken.sweep(AT + 10_000) == 1
    assert posted(broken).usd == held
    broken.close()  # which enters what waits
    assert [entry.kind for entry in broken.entries()] == ["expired", "corrected"]
    assert posted(broken).usd == COST


def test_what_the_layer_decided_is_in_the_record(ledger):
    async def main(runtime):
        request = make_request(runtime, scope(usd="0.001"))
        await (await Stack(ledger, FakeProvider(REPLY))(request)).read()
        return request

    events = directly(main).record.events
    assert [event.name for event in events] == ["budget", "budget"]
    assert events[0].attributes["decision"] == "lowered"
    assert events[0].attributes["scope"] == ("free:alice",)
    assert events[0].attributes["remaining_nanos"] >= 0
    assert events[1].attributes["actual_nanos"] == COST


def test_a_fallback_to_a_model_without_a_price_is_refused_before_it_is_sent(ledger):
    model = FakeProvider(Unavailable("down", provider="test", status=503), REPLY)

    class Fallback(Stack):
        async def attempt(self, request):
            try:
                return await super().attempt(request)
            except Unavailable:
                return await super().attempt(request.replace(model="unheard-of"))

    async def main(runtime):
        await Fallback(ledger, model)(make_request(runtime, scope(usd="5")))

    with pytest.raises(UnpricedModel):
        directly(main)
    assert len(model.requests) == 1
    assert posted(ledger) == Amounts()


def test_a_failed_call_does_not_count_as_a_call_even_where_its_price_is_unknown(ledger):
    stack = Stack(ledger, FakeProvider(Unavailable("down", provider="test", status=503)))

    async def main(runtime):
        await stack(make_request(runtime, scope(calls=5), model="unheard-of"))

    with pytest.raises(Unavailable):
        directly(main)
    assert posted(ledger) == Amounts()


def test_a_longer_second_attempt_is_measured_anew(ledger):
    model = FakeProvider(Unavailable("down", provider="test", status=503), REPLY)

    class Longer(Stack):
        async def attempt(self, request):
            try:
                return await super().attempt(request)
            except Unavailable:
                more = (*request.messages, Message.assistant("x" * 1000))
                return await super().attempt(request.replace(messages=more))

    async def main(runtime):
        request = make_request(runtime, scope(usd="5"), max_output_tokens=100)
        response = await Longer(ledger, model)(request)
        held = ledger.balance("free:alice", MONTH).pending.usd
        await response.read()
        return request, held

    request, held = directly(main)
    assert held > (input_tokens_bound(request) + 1000) * 1_000 + 100 * 2_000


@pytest.mark.parametrize("limit", [{"usd": "0.001"}, {"tokens": 300}])
def test_a_limit_on_each_call_holds_for_all_its_attempts_together(ledger, limit):
    model = FakeProvider(late(RESET), REPLY)
    each = Scope(Budget(per="call", name="each", **limit))

    async def main(runtime):
        await RetryOnce(ledger, model)(make_request(runtime, each))

    with pytest.raises(BudgetExceeded, match="per call"):
        directly(main)
    assert len(model.requests) == 1


def test_a_budget_without_a_period_does_not_promise_a_new_one(ledger):
    async def main(runtime):
        await Stack(ledger, FakeProvider(REPLY))(make_request(runtime, scope(tokens=10, per="total")))

    with pytest.raises(BudgetExceeded) as caught:
        directly(main)
    assert str(caught.value).endswith("raise the limit")
    assert "anew" not in str(caught.value)


def test_whoever_asks_for_more_than_a_whole_period_has_is_not_told_to_wait_for_the_next(ledger):
    async def main(runtime):
        await Stack(ledger, FakeProvider(REPLY))(make_request(runtime, scope(tokens=10, per="month")))

    with pytest.raises(BudgetExceeded) as caught:
        directly(main)
    assert "and does not cover it then either; shorten the prompt, use a cheaper" in str(caught.value)


def test_without_a_meter_what_was_held_is_what_is_charged(ledger):
    stack = Stack(ledger, FakeProvider(REPLY))

    async def main(runtime):
        request = make_request(Timed(runtime, stack.clock), scope(usd="5"), max_output_tokens=100)
        await (await stack.names(request, lambda each: stack.budget(each, stack.model))).read()
        return request

    request = directly(main)
    assert posted(ledger).usd == input_tokens_bound(request) * 1_000 + 100 * 2_000
    (entry,) = ledger.entries()
    assert entry.charge.estimated


def test_holds_of_processes_that_died_are_ended_by_calls_that_come_later(ledger):
    dead = Line("someone", "month:2026-10-01")
    ledger.reserve("dead", [dead], Amounts(70), Amounts(70), at=AT - 1000, lease_seconds=60)

    async def main(runtime):
        await (await Stack(ledger, FakeProvider(REPLY))(make_request(runtime))).read()

    directly(main)
    assert writer.disk.flush(30)
    assert ledger.balance("someone", "month:2026-10-01") == Balance(posted=Amounts(70))


@on_a_loop
def test_many_calls_at_once_never_overspend(run, ledger):
    """The quote is many times the limit, replies differ in length, and some break off or are left."""
    limit = "0.003"
    chance = random.Random(3)

    def script(request):
        words = chance.randrange(1, request.max_output_tokens + 1)
        broken = Unavailable("gone", provider="test")
        last = chance.choice([Chunk(finish_reason="stop", usage=Usage(80, words)), Chunk(finish_reason="stop"), broken])
        if chance.random() < 0.2:
            return Unavailable("down", provider="test", status=503)
        return [*["w"] * 5, last]

    stack = Stack(ledger, FakeProvider(script))
    refused = []

    async def main(runtime):
        async def call(number):
            response = await stack(make_request(runtime, scope(usd=limit), max_output_tokens=200))
            await runtime.sleep(0)
            if number % 3 == 0:
                await response.__anext__()
                await response.aclose()
            else:
                await response.read()

        async def calls(number):
            for _ in range(4):
                try:
                    await call(number)
                except BudgetExceeded:
                    refused.append(number)
                except Unavailable:
                    pass

        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(calls, number)

    run(main)
    assert refused
    assert 0 < posted(ledger).usd <= 3_000_000
    assert sum(entry.charge.usd for entry in ledger.entries()) == posted(ledger).usd


@pytest.mark.parametrize(
    "options",
    [{"on_store_error": "shrug"}, {"min_output_tokens": 0}, {"default_output_tokens": 8}, {"lease_seconds": 0}],
)
def test_wrong_settings_are_refused(options):
    with pytest.raises(ConfigurationError):
        Stack(None, FakeProvider(REPLY), **options)


def test_the_price_book_of_these_tests_is_what_they_assume():
    assert BOOK.price("test", "cheap").cost(Usage(10, 5)) == COST
    assert Balance().posted == Amounts()


HIDDEN = [
    ({"max_completion_tokens": 100_000}, "max_output_tokens"),
    ({"max_tokens": 100_000}, "max_output_tokens"),
    ({"max_tokens": None}, "max_output_tokens"),  # which would take the limit off
    ({"max_output_tokens": 100_000}, "max_output_tokens"),
    ({"num_predict": -1}, "max_output_tokens"),
    ({"best_of": 8}, "one reply"),
    ({"n": 2}, "one reply"),
    ({"n": [2]}, "one reply"),
    ({"n": True}, "one reply"),
]


@pytest.mark.parametrize(("extra", "said"), HIDDEN)
@pytest.mark.parametrize("limits", [{"usd": "0.01"}, {"tokens": 1000}], ids=["money", "tokens"])
def test_extra_is_no_way_round_a_budget(run, ledger, limits, extra, said):
    model = FakeProvider(REPLY)
    stack = Stack(ledger, model)

    async def main(runtime):
        with pytest.raises(ConfigurationError, match=said):
            await stack(make_request(runtime, scope(**limits), max_output_tokens=10, extra=extra))

    run(main)
    assert model.requests == []
    assert posted(ledger) == Amounts()


@pytest.mark.parametrize("limits", [{}, {"calls": 5}], ids=["no budget", "calls"])
def test_what_moves_no_budget_passes_as_extra(run, ledger, limits):
    model = FakeProvider(REPLY)
    stack = Stack(ledger, model)
    extra = {"max_tokens": 7, "n": 1}

    async def main(runtime):
        scopes = (scope(**limits),) if limits else ()
        await (await stack(make_request(runtime, *scopes, extra=extra))).read()

    run(main)
    assert [request.extra for request in model.requests] == [extra]


def test_extra_that_moves_no_cost_passes_under_a_budget(run, ledger):
    model = FakeProvider(REPLY)
    stack = Stack(ledger, model)

    async def main(runtime):
        request = make_request(runtime, scope(usd="5"), extra={"logprobs": True, "n": 1, "best_of": 1})
        await (await stack(request)).read()

    run(main)
    assert len(model.requests) == 1
