"""What costs nothing is counted once, by the hour, with who and what for."""

from __future__ import annotations

import logging
import multiprocessing
import sqlite3
import subprocess
import sys
import threading

import pytest

from inferkit import Budget, BudgetExceeded, Client, LedgerError, NoRoute, Plan, Price, Response, budgeted
from inferkit.client.home import ledger_file
from inferkit.layers.tally import Tallies
from inferkit.layers.trace import Trace
from inferkit.ledger.journal import Assignment, Attribution, Tally
from inferkit.ledger.ledger import Ledger
from inferkit.ledger.sqlite.ledger import SqliteLedger, SqliteStore
from inferkit.runtime import clock
from inferkit.runtime.direct import drive
from inferkit.testing import FakeProvider, make_request
from worlds import in_threads

COST = 5_000_000 + 20_000_000  # one token in at 5 dollars a thousand, two out at 10
SETTINGS = {"models": {"any": "fake:m"}, "prices": {"fake:m": Price(input="5000", output="10000")}}


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def open_client(world, home):
    """Make a client with a cache and a ledger, whose fake provider says "Hello there"."""

    def make(script="Hello there", **settings):
        settings = {
            "providers": {"fake": FakeProvider(script)},
            "home": home,
            "cache": True,
            "ledger": True,
            **settings,
        }
        return world.client(**SETTINGS, **settings)

    return make


def counted(home):
    """Read the counts of a ledger whose client was closed, without their hours."""
    ledger = SqliteLedger(ledger_file(home))
    try:
        found = list(ledger.tallies())
        assert all(each.hour % 3600 == 0 for each in found)
        return [each._replace(hour=0) for each in found]
    finally:
        ledger.close()


def test_replies_from_the_cache_are_counted_with_what_they_had_cost(world, open_client, home):
    async def body(world):
        async with open_client() as llm:
            for _ in range(4):
                await llm.complete("any", "Hi", user="ana", tenant="acme", feature="search")
            async with llm.stream("any", "Hi", tenant="acme") as reply:
                async for _ in reply:
                    break

    world.run(body)
    assert counted(home) == [
        Tally(0, "hit", Attribution(None, "acme"), "any", "fake", "m", "", 1, COST),
        Tally(0, "hit", Attribution("ana", "acme", "search"), "any", "fake", "m", "", 3, 3 * COST),
    ]


def test_nothing_is_counted_for_calls_that_were_made(world, open_client, home):
    async def body(world):
        async with open_client() as llm:
            await llm.complete("any", "Hi")
            await llm.complete("any", "Hi", cache="bypass")
            await llm.complete("any", "Hi", cache="refresh")
            with pytest.raises(NoRoute):
                await llm.complete("nobody:x", "Hi")

    world.run(body)
    assert counted(home) == []


def test_calls_that_shared_a_stream_to_its_end_are_counted_with_what_it_cost(world, open_client, home):
    async def body(world):
        async with open_client() as llm, llm.stream("any", "Hi", user="ana") as first:
            await first.__anext__()
            async with llm.stream("any", "Hi", user="cleo") as left_early:
                await left_early.__anext__()
            async with llm.stream("any", "Hi", user="ben") as second:
                async for _ in second:
                    pass
            async for _ in first:
                pass

    world.run(body)
    assert counted(home) == [Tally(0, "coalesced", Attribution("ben"), "any", "fake", "m", "", 1, COST)]


def test_refused_calls_are_counted_with_the_budget_that_refused_them(world, open_client, home):
    async def body(world):
        async with open_client(cache=False, budget=Budget(calls=1, name="free", each="user")) as llm:
            await llm.complete("any", "Hi", user="ana")
            for _ in range(2):
                with pytest.raises(BudgetExceeded):
                    await llm.complete("any", "Hi", user="ana")

    world.run(body)
    assert counted(home) == [Tally(0, "refused", Attribution("ana"), "any", "", "", "free:ana", 2, 0)]


def test_a_call_that_was_cut_after_it_was_sent_is_no_refusal(world, open_client, home):
    async def body(world):
        budget = Budget(usd="1", name="small")
        async with open_client(["a ", "word " * 5000], cache=False, budget=budget) as llm:
            with pytest.raises(BudgetExceeded) as caught:
                await llm.complete("any", "Hi", max_output_tokens=16)
            assert caught.value.partial == "a "

    world.run(body)
    assert counted(home) == []


def test_a_refusal_is_counted_for_every_call_that_waited_for_the_same_reply(open_client, home, world):
    async def body(world):
        async with open_client(budget=Budget(usd="0.000001", per="call", name="tiny")) as llm:

            async def call():
                with pytest.raises(BudgetExceeded):
                    await llm.complete("any", "Hi")

            await world.beside(call, call, call)

    world.run(body)
    assert [(each.kind, each.calls) for each in counted(home)] == [("refused", 3)]


def test_a_function_and_its_key_are_what_a_hit_is_counted_for(world, open_client, home):
    async def body(world):
        async with open_client() as llm:

            @budgeted(usd="5", key="user_id", name="own")
            async def search(user_id):
                return await llm.complete("any", "Hi")

            for _ in range(2):
                await search("ana")

    world.run(body)
    (hit,) = counted(home)
    assert hit.attribution.user == "ana"
    assert hit.attribution.feature.endswith("<locals>.search")


def test_a_hit_is_counted_under_the_plan_of_its_customer(world, open_client, home):
    plans = [Plan("free", allowance=Budget(calls=2)), Plan("pro", allowance="unlimited")]

    async def body(world):
        async with open_client(plans=plans, default_plan="free") as llm:
            engine = getattr(llm, "inner", llm)
            engine.plans.assign("pro", user="ana")
            engine.ledger.assign(Assignment(1.0, "cleo", None, "classic"))
            await llm.complete("any", "Hi", user="ana")
            for user in ("ana", "ben", "cleo"):
                await llm.complete("any", "Hi", user=user)

    world.run(body)
    assert [each.attribution for each in counted(home)] == [
        Attribution("ana", plan="pro"), Attribution("ben", plan="free"), Attribution("cleo")
    ]  # fmt: skip


def layer_on(ledger, plans=None):
    """Make a layer, and what sends it a call that is a hit."""
    layer = Trace(tallies=Tallies(ledger, plans))

    async def answer(request):
        request.record.cache = "hit"
        request.record.provider, request.record.model, request.record.saved_nanos = "fake", "m", 7
        return Response(FakeBody(), runtime=request.runtime)

    def hit(times=1, model="any"):
        for _ in range(times):
            response = drive(layer(make_request(model=model), answer))
            drive(response.aclose())

    return layer, hit


class FakeBody:
    async def __anext__(self):
        raise StopAsyncIteration


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def test_counts_are_by_the_hour(ledger, monkeypatch):
    layer, hit = layer_on(ledger)
    now = 7200.0
    monkeypatch.setattr(clock, "time", lambda: now)
    hit(2)
    now = 10799.9
    hit()
    now = 10800.0
    hit()
    layer.close()
    assert [(each.hour, each.calls, each.usd) for each in ledger.tallies()] == [(7200, 3, 21), (10800, 1, 7)]
    assert [each.hour for each in ledger.tallies(since=10800)] == [10800]
    assert [each.hour for each in ledger.tallies(until=10800)] == [7200]


def test_counts_of_two_processes_add_up(tmp_path, ledger):
    program = """
import sys
from inferkit import Client, Price
from inferkit.testing import FakeProvider

with Client(providers={"fake": FakeProvider("Hi")}, models={"any": "fake:m"}, home=sys.argv[1], ledger=sys.argv[2],
            prices={"fake:m": Price(input="1", output="1")}) as llm:
    for _ in range(50):
        llm.complete("any", "Hello")
"""
    command = [sys.executable, "-c", program]
    running = [
        subprocess.Popen([*command, str(tmp_path / name), str(tmp_path / "ledger.db")]) for name in ("one", "two")
    ]
    assert [process.wait(60) for process in running] == [0, 0]
    assert sum(each.calls for each in ledger.tallies()) == 98


def test_threads_count_together(ledger):
    layer, hit = layer_on(ledger)
    in_threads(hit, [200] * 8)
    layer.close()
    assert sum(each.calls for each in ledger.tallies()) == 1600


def test_counts_are_written_without_anybody_closing(ledger, monkeypatch):
    _, hit = layer_on(ledger)
    written, tally = threading.Event(), ledger.tally

    def tally_and_tell(tallies, **how):
        tally(tallies, **how)
        written.set()

    monkeypatch.setattr(ledger, "tally", tally_and_tell)
    hit()
    assert written.wait(10)
    assert [each.calls for each in ledger.tallies()] == [1]


def test_the_exit_of_the_process_writes_the_counts(tmp_path, ledger):
    program = """
import sys
from inferkit import Client, Price
from inferkit.testing import FakeProvider

llm = Client(providers={"fake": FakeProvider("Hi")}, models={"any": "fake:m"}, home=sys.argv[1], ledger=sys.argv[2],
             prices={"fake:m": Price(input="1", output="1")})
for _ in range(3):
    llm.complete("any", "Hello")
"""
    command = [sys.executable, "-W", "error", "-c", program, str(tmp_path / "home"), str(tmp_path / "ledger.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    assert [each.calls for each in ledger.tallies()] == [2]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_counts_its_own_and_not_what_waits_in_its_parent(ledger):
    layer, hit = layer_on(ledger)
    hit(5)

    def child():
        hit(2)
        layer.close()

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20)
    assert process.exitcode == 0
    layer.close()
    assert sum(each.calls for each in ledger.tallies()) == 7


class Full(SqliteStore):
    """A store on a disk that is full as soon as counts are to be written."""

    def tally(self, tallies):
        raise LedgerError("there is no room left for the ledger")


def test_a_full_disk_loses_counts_with_a_line_in_the_log_and_hurts_no_call(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "inferkit"):
        llm = Client(
            **SETTINGS, providers={"fake": FakeProvider("Hi")}, home=tmp_path, ledger=Ledger(Full(tmp_path / "full.db"))
        )
        for _ in range(3):
            assert llm.complete("any", "secret question").text == "Hi"
        llm.close()
    assert "counts of calls that cost nothing are lost: there is no room left" in caplog.text
    assert "secret" not in caplog.text


def test_no_room_on_the_real_disk_is_such_an_error(connections, ledger, caplog):
    layer, hit = layer_on(ledger)
    (pages,) = ledger.accounts.database.read("PRAGMA page_count")[0]
    connections[-1].execute(f"PRAGMA max_page_count={pages}")
    with caplog.at_level(logging.WARNING, "inferkit"):
        for number in range(200):
            hit(model=f"a name that takes a lot of room {number}" * 20)
        layer.close()
    assert "200 counts of calls that cost nothing are lost: there is no room left" in caplog.text


def test_counts_of_a_ledger_that_fails_only_to_name_the_plan_are_kept_without_it(ledger):
    class Plans:
        def of(self, **who):
            from inferkit import ConfigurationError

            raise ConfigurationError("gone")

    layer, hit = layer_on(ledger, Plans())
    hit()
    layer.close()
    assert [each.attribution for each in ledger.tallies()] == [Attribution()]


def test_a_name_that_is_missing_is_none_when_it_is_read_back(ledger):
    ledger.tally(
        iter([Tally(0, "hit", Attribution(None, "acme"), usd=1), Tally(0, "hit", Attribution(None, "acme"), usd=2)])
    )
    assert list(ledger.tallies()) == [Tally(0, "hit", Attribution(None, "acme"), calls=2, usd=3)]
    with sqlite3.connect(ledger.accounts.database.path) as connection:
        assert connection.execute("SELECT count(*) FROM tallies").fetchone() == (1,)
    connection.close()


def test_counts_are_right_where_the_ledger_has_to_run_a_step_again(ledger, monkeypatch):
    write = ledger.accounts.database.write

    def twice(step, **options):
        def again(cursor):
            cursor.execute("SAVEPOINT first")
            step(cursor)
            cursor.execute("ROLLBACK TO first")
            return step(cursor)

        return write(again, **options)

    monkeypatch.setattr(ledger.accounts.database, "write", twice)
    ledger.tally(Tally(0, "hit", usd=usd) for usd in (1, 2))
    monkeypatch.undo()
    assert list(ledger.tallies()) == [Tally(0, "hit", calls=2, usd=3)]
