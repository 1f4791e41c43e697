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

from inferkit import Budget, Ledger, LedgerError, Price, SqliteLedger
from inferkit.core.usage import UsageDetails
from inferkit.ledger.amounts import Amounts, Balance, Line
from inferkit.ledger.backlog import Backlog
from inferkit.ledger.journal import Attribution, Charge, Part
from inferkit.ledger.spill import Spill, left_beside, replay
from inferkit.ledger.sqlite import accounts, leases
from inferkit.ledger.sqlite.ledger import SqliteStore
from inferkit.ledger.unwritten import Unwritten
from inferkit.runtime import gathering, writer
from inferkit.testing import FakeProvider
from worlds import closing, in_threads

LINE = Line("all", "total", usd=1_000_000)
CHARGE = Charge(
    700, "openai", "gpt", 1, 2, 3, 4, 5, 2, True, "closed", "stop", "fast", True, -6, 7, 0,
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


def leave(path, waiting):
    """Leave this as a process does that is gone."""
    spill = Spill(path)
    assert all(spill.keep(one) for one in waiting)
    return spill.close()


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


def test_what_a_system_lacks_for_files_beside_the_ledger_is_done_without(path, monkeypatch):
    """Nothing sets room aside on macOS. It says nothing of whether all the rest works there."""
    monkeypatch.delattr("os.posix_fallocate")
    spill = Spill(path)
    spill.prepare()
    (given,) = settlements("a")
    assert spill.keep(given)
    spill.sync()
    spill.close()
    found = []
    replay(path, found.append)
    assert found == [given]


def test_a_system_without_file_locks_has_no_ledger_in_a_file_and_calls_all_the_same(path):
    """As it is on Windows, where none of this was tried."""
    script = f"""
import sys
sys.modules["fcntl"] = None
from inferkit import Client, ConfigurationError, SqliteLedger
from inferkit.testing import FakeProvider
for make in (lambda: SqliteLedger({str(path)!r}), lambda: Client(ledger={str(path)!r}, cache=False)):
    try:
        make()
    except ConfigurationError as error:
        print(error)
with Client(providers={{"f": FakeProvider("Hello")}}, models={{"a": "f:m"}}, ledger=False, cache=False) as llm:
    print(llm.complete("a", "Hi").text)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    refused, again, answered = done.stdout.splitlines()
    assert refused == again
    assert refused.startswith("the ledger's file needs the file locks of POSIX")
    assert "pass ledger=False" in refused
    assert answered == "Hello"
    assert not path.exists()


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


def test_what_a_living_process_keeps_is_left_to_it(path):
    spill = Spill(path)
    spill.keep(*settlements("a"))
    replay(path, lambda _: pytest.fail("it was the other's"))
    (left,) = left_beside(path)
    assert (left.in_use, list(left)) == (True, settlements("a"))
    spill.close()
    (left,) = left_beside(path)
    assert (left.in_use, list(left)) == (False, settlements("a"))
    assert replay(path, lambda _: None) == 1
    assert files(path) == []


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


@pytest.mark.parametrize(
    "line", ["", "[]", "{}", '{"version": 2, "step": "void"}', '{"version": 1, "what": 1}', "\xff"]
)
def test_what_cannot_be_read_stays_and_is_told_of_and_the_rest_is_entered_once(path, line, caplog):
    hold(path, "a", "b")
    place = leave(path, settlements("a"))
    given = place.read_bytes().rstrip(b"\0")
    (other,) = settlements("b")
    Spill(path).keep(other)
    place.write_bytes(given + line.encode("latin-1") + b"\n" + given.replace(b'"a"', b'"b"'))
    assert state(path) == (["a", "b"], 1400, 0)
    assert "cannot be read" in caplog.text
    assert place.read_bytes() == line.encode("latin-1") + b"\n"


def test_a_line_that_was_being_written_at_the_end_does_not_count(path):
    place = leave(path, settlements("a", "b"))
    content = place.read_bytes().rstrip(b"\0")
    place.write_bytes(content[:-1])
    found = []
    replay(path, found.append)
    assert found == settlements("a")
    assert files(path) == []


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


HOLDING = """
import os, sys
from inferkit import Budget, Ledger, LedgerError, Price, SqliteLedger
from inferkit.ledger.amounts import Amounts, Balance, Line
from inferkit.ledger.journal import Charge
from inferkit.ledger.sqlite import accounts
from inferkit.ledger.unwritten import Unwritten
from inferkit.runtime import writer

accounts._OWED_SECONDS = 0.01
path, calls, limit = sys.argv[1], sys.argv[2].split(), int(sys.argv[3])
ledger = SqliteLedger(path)
for call in calls:
    ledger.reserve(call, [Line("all", "total", usd=10**9)], Amounts(8282), Amounts(8282), at=0.0, lease_seconds=60)
assert writer.disk.flush(30)
if limit:
    import resource
    for number in range(100):  # so that the log is larger than what is set aside
        ledger.record(f"other-{number}", Charge(1), at=0.0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
print("held", flush=True)
sys.stdin.readline()
for call in calls:
    try:
        ledger.settle(call, Charge(42), at=5.0)
    except LedgerError as error:
        ledger.accounts.write_later(Unwritten("settle", call, 5.0, Charge(42)))
        print(type(error).__name__, flush=True)
print("left", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def holding(path, *calls, limit=0):
    """A process whose calls hold something, and are settled when it is told to go on; it never ends by itself."""
    command = [sys.executable, "-c", HOLDING, str(path), " ".join(calls), str(limit)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def settle_in(process):
    process.stdin.write("\n")
    process.stdin.flush()
    return [line.strip() for line in iter(process.stdout.readline, "left\n")]


@contextlib.contextmanager
def locked(path):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def costs(path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        return [(entry.kind, entry.charge.usd, entry.charge.estimated) for entry in ledger.entries()]


def test_what_a_locked_ledger_did_not_take_outlives_a_kill(path):
    with holding(path, "a", "b") as process:
        with locked(path):
            assert settle_in(process) == ["LedgerBusy"] * 2
            process.kill()
            process.wait()
        assert len(files(path)) == 1
    assert costs(path) == [("settled", 42, False)] * 2
    assert files(path) == []


def test_what_a_full_disk_did_not_take_outlives_a_kill(path):
    with holding(path, "a", "b", limit=64 * 1024) as process:
        assert settle_in(process) == ["LedgerError"] * 2
        process.kill()
        process.wait()
    assert costs(path)[100:] == [("settled", 42, False)] * 2


def test_a_living_process_enters_what_a_dead_one_left_before_it_ends_leases(path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        with holding(path, "a") as process, locked(path):
            settle_in(process)
        assert ledger.sweep(1000.0) == 0
        assert [entry.charge.usd for entry in ledger.entries()] == [42]


def test_what_comes_after_the_lease_corrects_what_was_posted_then(path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        with holding(path, "a") as process:
            with locked(path):
                settle_in(process)
            assert ledger.accounts.database.write(lambda cursor: leases.sweep(cursor, 1000.0, 10)).ended in (0, 1)
        ledger.sweep(1000.0)
        assert sum(entry.charge.usd for entry in ledger.entries()) == 42
        assert ledger.balance("all", "total") == Balance(Amounts(42, 0, 1))


def test_a_process_that_closes_in_order_leaves_no_file(path):
    hold(path, "a")
    assert files(path) == []
    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.settle("a", Charge(1), at=1)
        ledger.reserve("b", [LINE], Amounts(1), Amounts(1), at=0.0, lease_seconds=60)
        assert writer.disk.flush(30)
        assert len(files(path)) == 1, "room is set aside while something may be owed"
        assert files(path)[0].stat().st_size == 64 * 1024
    assert files(path) == []


def test_whoever_comes_while_others_wait_does_not_wait_to_find_that_out(path, monkeypatch):
    monkeypatch.setattr(accounts, "_OWED_SECONDS", 0.05)
    hold(path, "a", "b", "c")
    with contextlib.closing(SqliteLedger(path)) as ledger:
        patience, write = [], ledger.accounts.database.write
        monkeypatch.setattr(
            ledger.accounts.database,
            "write",
            lambda *args, **options: (patience.append(options.get("patience")), write(*args, **options))[1],
        )
        with locked(path):
            for call in "abc":
                with pytest.raises(LedgerError, match="locked"):
                    ledger.settle(call, CHARGE, at=5.0)
                ledger.accounts.write_later(*settlements(call))
            assert patience[0] == 0.05
            assert patience[-1] == 0.0
    assert state(path) == (["a", "b", "c"], 2100, 0)


@pytest.mark.parametrize("error", [LedgerError("locked"), RuntimeError("a fault in the store")])
def test_a_call_whose_settlement_fails_ends_well_and_is_charged_what_it_cost(world, path, error, caplog):
    class Failing(SqliteStore):
        failures = 1

        async def settle(self, *args, **options):
            if self.failures:
                self.failures -= 1
                raise error
            return await super().settle(*args, **options)

    async def main(world):
        client = world.client(
            providers={"fake": FakeProvider("a secret")},
            models={"fast": "fake:m"},
            prices={"fake:m": Price(input="1", output="1")},
            budget=Budget(usd="1", per="total", name="all"),
            ledger=Ledger(store),
        )
        async with closing(client):
            return await client.complete("hello", max_output_tokens=50)

    store = Failing(path)
    assert world.run(main).text == "a secret"
    store.close()
    with contextlib.closing(SqliteLedger(path)) as ledger:
        (entry,) = ledger.entries()
        assert entry.charge.outcome == "completed"
        assert not entry.charge.estimated
        assert ledger.balance("all", "total").pending == Amounts()
    assert "secret" not in caplog.text


def without_details(value):
    if isinstance(value, dict):
        return {name: without_details(each) for name, each in value.items() if name != "details"}
    return [without_details(each) for each in value] if isinstance(value, list) else value


def test_what_an_older_version_left_is_entered_too(path):
    hold(path)
    spill = Spill(path)
    assert spill.keep(Unwritten("record", "a", 2.0, CHARGE))
    place = spill.close()
    lines = place.read_bytes().split(b"\0", 1)[0].splitlines()
    place.write_text("".join(f"{json.dumps(without_details(json.loads(line)))}\n" for line in lines))
    with contextlib.closing(SqliteLedger(path)) as ledger:
        (entry,) = ledger.entries()
    assert (entry.charge.usd, entry.charge.details, entry.charge.parts[1].usd) == (700, UsageDetails(), 700)
