"""What a ledger could not take is entered later, once, whoever does it and whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import stat
import subprocess
import sys
import threading

import pytest

from inferkit import LedgerError, SqliteLedger
from inferkit.core.usage import UsageDetails
from inferkit.ledger.amounts import Amounts, Line
from inferkit.ledger.journal import Attribution, Charge, Part
from inferkit.ledger.unwritten import Backlog, Unwritten, leave, replay
from inferkit.runtime import gathering, writer
from worlds import in_threads

LINE = Line("all", "total", usd=1_000_000)
CHARGE = Charge(
    700, "openai", "gpt", 1, 2, 3, 4, 5, 2, True, "closed", "stop", "fast", True, -6, 7,
    (
        Part("primary", "openai", "gpt", "error", None),
        Part("fallback", "x", "y", "closed", 700, 1, 2, 3, 4, 5, UsageDetails(server_tools=(("web_search", 2),))),
    ),
    Attribution("ana", "acme", "search", "pro"), UsageDetails(cache_write_1h_tokens=3, service_tier="flex"),
)  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger [1].db"


def hold(path, *calls):
    ledger = SqliteLedger(path)
    for call in calls:
        ledger.reserve(call, [LINE], Amounts(1000, 0, 1), Amounts(1000, 0, 1), at=0.0, lease_seconds=1e9)
    ledger.close()


def settlements(*calls):
    return [Unwritten("settle", call, 5.0, CHARGE) for call in calls]


def state(path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        balance = ledger.balance("all", "total")
        return sorted(entry.call for entry in ledger.entries()), balance.posted.usd, balance.pending.usd


def files(path):
    return sorted(each for each in path.parent.iterdir() if "unwritten" in each.name)


def test_what_is_read_is_what_was_left(path):
    given = [
        Unwritten("settle", "a", 1.5, CHARGE),
        Unwritten("record", "b", 2.0, Charge(None, parts=())),
        Unwritten("void", "c", 3.0),
    ]
    leave(path, given)
    found = []
    replay(path, found.append)
    assert found == given
    assert files(path) == []


def test_only_its_owner_may_read_the_file(path):
    place = leave(path, settlements("a"))
    assert files(path) == [place]
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_the_next_opener_enters_what_was_left_and_nobody_after_it(path):
    hold(path, "a", "b", "c")
    leave(path, [*settlements("a"), Unwritten("void", "b", 5.0), Unwritten("record", "d", 5.0, CHARGE)])
    for _ in range(2):
        assert state(path) == (["a", "d"], 700, 1000)
    assert files(path) == []
    with contextlib.closing(SqliteLedger(path)) as ledger:
        first, _ = ledger.entries()
    assert (first.kind, first.at, first.charge) == ("settled", 5.0, CHARGE)


def test_of_many_openers_at_once_each_call_is_entered_once(path):
    calls = [str(number) for number in range(20)]
    hold(path, *calls)
    for call in calls:
        leave(path, settlements(call))
    together = threading.Barrier(8)

    def open_it():
        together.wait(30)
        SqliteLedger(path).close()

    in_threads(lambda _: open_it(), range(8))
    assert state(path) == (sorted(calls), 20 * 700, 0)
    assert files(path) == []


def test_an_opener_that_dies_in_the_middle_leaves_the_rest_to_the_next(path):
    hold(path, "a", "b", "c")
    leave(path, settlements("a", "b", "c"))
    entered = []

    def write_one_and_die(one):
        if entered:
            raise SystemExit
        entered.append(one)

    with pytest.raises(SystemExit):
        replay(path, write_one_and_die)
    assert len(files(path)) == 1
    assert state(path) == (["a", "b", "c"], 2100, 0)


def test_what_the_ledger_does_not_take_this_time_either_is_left(path):
    def refuse(_):
        raise LedgerError("locked")

    leave(path, settlements("a"))
    replay(path, refuse)
    found = []
    replay(path, found.append)
    assert found == settlements("a")


@pytest.mark.parametrize("text", ["", "{}", '{"version": 2, "unwritten": []}', '{"version": 1, "unwritten": [{}]}'])
def test_a_file_that_cannot_be_read_stays_and_is_told_of(path, text, caplog):
    leave(path, settlements("a")).write_text(text)
    SqliteLedger(path).close()
    assert "cannot be read" in caplog.text
    assert len(files(path)) == 1


def test_another_ledgers_file_is_left_alone(path):
    other = path.with_name("ledger 1.db")
    leave(other, settlements("a"))
    replay(path, lambda _: pytest.fail("it was the other's"))
    assert len(files(path)) == 1


def test_what_was_locked_is_entered_when_it_is_free_again(path, monkeypatch):
    monkeypatch.setattr(gathering, "_PAUSES", (0.001, 0.001))
    tries, entered, done = [], [], threading.Event()

    def write(one):
        tries.append(one)
        if len(tries) < 4:
            raise LedgerError("locked")
        entered.append(one)
        if one.call == "b":
            done.set()

    backlog = Backlog(path, write)
    backlog._gathering._seconds = 0.0
    for one in settlements("a", "b"):
        backlog.add(one)
    assert done.wait(30)
    assert entered == settlements("a", "b")
    assert writer.disk.flush(30)
    backlog.close()
    assert files(path) == []


def test_closing_leaves_what_cannot_be_entered(path, caplog):
    def refuse(_):
        raise LedgerError("locked")

    backlog = Backlog(path, refuse)
    for one in settlements("a", "b"):
        backlog.add(one)
    backlog.close()
    found = []
    replay(path, found.append)
    assert found == settlements("a", "b")
    assert "2 calls" in caplog.text


EXITING = """
import sys
from inferkit import Budget, Client, Price
from inferkit.testing import FakeProvider

llm = Client(
    providers={"fake": FakeProvider(["a", "b", "c"])},
    models={"fast": "fake:m"},
    prices={"fake:m": Price(input="1", output="1")},
    budget=Budget(usd="1", per="total", name="all"),
    ledger=sys.argv[1],
    cache=False,
)
streams = [llm.stream("a secret prompt", user="ana") for _ in range(8)]
for stream in streams:
    next(stream)
print(*[stream.reply.id for stream in streams], flush=True)
sys.stdin.readline()
"""


def test_a_process_that_exits_while_the_ledger_is_locked_leaves_what_its_calls_cost(path):
    command = [sys.executable, "-c", EXITING, str(path)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    calls = sorted(process.stdout.readline().split())
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        _, errors = process.communicate("\n", timeout=30)  # a wait for each of the calls would take 80 seconds
        other.execute("ROLLBACK")
    assert process.returncode == 0
    assert "8 calls" in errors
    (place,) = files(path)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert "secret" not in place.read_text()
    entered, posted, pending = state(path)
    assert entered == calls
    assert posted > 0
    assert pending == 0
    assert state(path) == (entered, posted, pending)


def test_what_an_older_version_left_is_entered_too(path):
    place = leave(path, [Unwritten("record", "a", 2.0, Charge(7, parts=(Part("primary", "x", "y", "closed", 7),)))])
    content = json.loads(place.read_text())
    for one in content["unwritten"]:
        del one["charge"]["details"]
        for part in one["charge"]["parts"]:
            del part["details"]
    place.write_text(json.dumps(content))
    assert state(path)[0] == ["a"]
