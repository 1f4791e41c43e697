"""Under durability="full", threads that write at the same time share one wait for the disk, and nothing else."""

import os
import signal
import sqlite3
import threading
import time

import pytest

from inferkit.core.errors import LedgerError
from inferkit.ledger.amounts import Amounts, Grant, Line
from inferkit.ledger.journal import Charge
from inferkit.ledger.sqlite.failures import LedgerBusy
from inferkit.ledger.sqlite.group_commit import GroupCommit, GroupedDatabase
from inferkit.ledger.sqlite.ledger import SqliteLedger
from worlds import in_threads

W = "month:2026-11-01"
TABLES = (
    "CREATE TABLE names (name TEXT UNIQUE)",
    "CREATE TABLE debts (name TEXT REFERENCES names (name) DEFERRABLE INITIALLY DEFERRED)",
)


def insert(name, table="names"):
    return lambda cursor: cursor.execute(f"INSERT INTO {table} VALUES (?)", (name,)).rowcount


class Crowd:
    """Threads of which the first stays in the middle of its step until all others wait behind it."""

    def __init__(self, group, write):
        self.group = group
        self.write = write
        self.inside, self.gate = threading.Event(), threading.Event()
        self.outcomes = {}

    def blocking(self, step):
        def blocked(cursor):
            result = step(cursor)
            self.inside.set()
            assert self.gate.wait(20), "nobody opened the gate"
            return result

        return blocked

    def _work(self, name, step):
        try:
            self.outcomes[name] = self.write(step)
        except BaseException as error:
            self.outcomes[name] = error

    def start(self, name, step):
        thread = threading.Thread(target=self._work, args=(name, step))
        thread.start()
        return thread

    def run(self, first, others, *, before_opening=lambda: None):
        """Run steps by name, `first` (its name and step) ahead of all; give what each returned or raised.

        The first of the others leads them.
        """
        threads = [self.start(first[0], self.blocking(first[1]))]
        assert self.inside.wait(20)
        for number, (name, step) in enumerate(others.items(), start=1):
            threads.append(self.start(name, step))
            self.until_waiting(number)
        before_opening()
        self.gate.set()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive(), "a thread hangs"
        return self.outcomes

    def until_waiting(self, number):
        end = time.monotonic() + 20
        while len(self.group._queue) < number:  # nothing outside tells that a thread waits
            assert time.monotonic() < end, "the steps never came"


@pytest.fixture
def database(connections, tmp_path):
    database = GroupedDatabase(tmp_path / "names.db", TABLES)
    yield database
    database.close()


@pytest.fixture
def statements(connections, database):
    """What SQLite is told from here on."""
    told = []
    connections[-1].set_trace_callback(told.append)
    return told


def crowd(database):
    return Crowd(database._group, database.write)


def names(database):
    return sorted(name for (name,) in database.read("SELECT name FROM names"))


def test_full_durability_waits_for_the_disk_at_every_commit(tmp_path):
    for durability, level in (("full", 2), ("normal", 1)):
        ledger = SqliteLedger(tmp_path / "ledger.db", durability=durability)
        assert ledger.accounts.database.read("PRAGMA synchronous") == [(level,)]
        ledger.close()


def test_steps_that_came_while_another_was_being_written_share_one_commit(database, statements):
    others = {f"n{number}": insert(f"n{number}") for number in range(15)}
    outcomes = crowd(database).run(("first", insert("first")), others)
    assert outcomes == dict.fromkeys(["first", *others], 1)
    assert statements.count("COMMIT") == 2
    assert names(database) == sorted(["first", *others])


def test_a_step_that_comes_alone_pays_for_no_savepoint(database, statements):
    database.write(insert("a"))
    assert statements == ["BEGIN IMMEDIATE", "INSERT INTO names VALUES ('a')", "COMMIT"]


def test_many_threads_need_fewer_commits_than_steps(database, statements):
    together = threading.Barrier(16)

    def work(number):
        together.wait(20)
        for turn in range(20):
            database.write(insert(f"{number}-{turn}"))

    in_threads(work, range(16))
    assert len(names(database)) == 320
    assert statements.count("COMMIT") < 320


def test_a_step_that_fails_undoes_itself_alone(database):
    def two_and_then_fail(cursor):
        insert("half")(cursor)
        raise LedgerError("no")

    steps = {"twin": insert("first"), "good": insert("good"), "half": two_and_then_fail, "last": insert("last")}
    outcomes = crowd(database).run(("first", insert("first")), steps)
    assert (outcomes["first"], outcomes["good"], outcomes["last"]) == (1, 1, 1)
    assert isinstance(outcomes["twin"], LedgerError)
    assert "UNIQUE" in str(outcomes["twin"])
    assert str(outcomes["half"]) == "no"
    assert names(database) == ["first", "good", "last"]


def test_a_step_that_fails_alone_raises_what_it_raised(database):
    class Mine(Exception):
        pass

    def fail(cursor):
        insert("half")(cursor)
        raise Mine

    with pytest.raises(Mine):
        database.write(fail)
    with pytest.raises(LedgerError, match="UNIQUE"):
        database.write(lambda cursor: [insert("a")(cursor), insert("a")(cursor)])
    assert names(database) == []


def test_a_commit_that_fails_fails_for_all_that_share_it(connections, database):
    connections[-1].execute("PRAGMA foreign_keys=ON")  # a debt of nobody makes the commit itself fail
    steps = {"debt": insert("nobody", "debts"), "good": insert("good")}
    outcomes = crowd(database).run(("first", insert("first")), steps)
    assert outcomes["first"] == 1
    failures = [outcomes["good"], outcomes["debt"]]
    assert all(isinstance(failure, LedgerError) and "FOREIGN KEY" in str(failure) for failure in failures)
    assert failures[0] is not failures[1], "each thread may add to its own"
    assert names(database) == ["first"]
    assert database.write(insert("good")) == 1


def once(action):
    """Give a function that acts when it is called for the first time."""
    calls = []

    def act():
        calls.append(0)
        if len(calls) == 1:
            action()

    return act


def raise_(error):
    raise error


def test_an_interrupted_leader_takes_nobodys_step_with_it(database):
    """Ctrl-C comes to a thread that runs the steps of others."""
    interrupt = once(lambda: raise_(KeyboardInterrupt()))
    others = {"leader": insert("leader"), "a": lambda cursor: [interrupt(), insert("a")(cursor)][1], "b": insert("b")}
    outcomes = crowd(database).run(("first", insert("first")), others)
    assert isinstance(outcomes.pop("leader"), KeyboardInterrupt)
    assert outcomes == {"first": 1, "a": 1, "b": 1}
    assert names(database) == ["a", "b", "first"]


def test_a_step_that_failed_in_a_transaction_that_came_to_nothing_starts_anew(database):
    fail, interrupt = once(lambda: raise_(LedgerError("not yet"))), once(lambda: raise_(KeyboardInterrupt()))
    others = {
        "leader": insert("leader"),
        "a": lambda cursor: [fail(), insert("a")(cursor)][1],
        "b": lambda cursor: [interrupt(), insert("b")(cursor)][1],
    }
    outcomes = crowd(database).run(("first", insert("first")), others)
    assert isinstance(outcomes.pop("leader"), KeyboardInterrupt)
    assert outcomes == {"first": 1, "a": 1, "b": 1}


class Interrupting:
    """A cursor in whose hands Ctrl-C arrives right before, or right after, what the transaction ends with."""

    def __init__(self, cursor, *, after):
        self._cursor = cursor
        self._after = after
        self.connection = cursor.connection

    def execute(self, statement, *parameters):
        if statement != "COMMIT":
            return self._cursor.execute(statement, *parameters)
        if self._after:
            self._cursor.execute(statement)
        raise KeyboardInterrupt


@pytest.mark.parametrize("after", [True, False])
def test_steps_are_run_once_also_where_the_leader_is_interrupted_at_its_commit(database, after):
    """The others are served, by the commit that was made or by one of their own; the leader's own step is in or out."""
    group = GroupCommit()
    commits = []

    def write(step, *, since, patience):
        def interrupted(cursor):
            commits.append(0)
            step(Interrupting(cursor, after=after) if len(commits) == 2 else cursor)

        super(GroupedDatabase, database).write(interrupted, since=since, patience=patience)

    others = {f"n{number}": insert(f"n{number}") for number in range(6)}
    outcomes = Crowd(group, lambda step: group.run(step, write)).run(("first", insert("first")), others)
    assert outcomes.pop("first") == 1
    assert isinstance(outcomes.pop("n0"), KeyboardInterrupt)
    assert outcomes == dict.fromkeys([f"n{number}" for number in range(1, 6)], 1)
    assert names(database) == sorted({"first", *outcomes} | ({"n0"} if after else set()))


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_whoever_is_interrupted_while_waiting_leaves_and_keeps_nobody_waiting(database):
    crowded = crowd(database)
    leader = crowded.start("first", crowded.blocking(insert("first")))
    assert crowded.inside.wait(20)

    def interrupt():
        crowded.until_waiting(1)
        os.kill(os.getpid(), signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    with pytest.raises(KeyboardInterrupt):  # in this thread, which Python runs signal handlers in
        database.write(insert("mine"))
    helper.join(20)
    later = crowded.start("later", insert("later"))
    crowded.until_waiting(1)
    crowded.gate.set()
    leader.join(20)
    later.join(20)
    assert crowded.outcomes == {"first": 1, "later": 1}
    assert names(database) == ["first", "later"]


def test_a_file_that_is_closed_meanwhile_is_opened_again_for_those_who_wait(database):
    others = {f"n{number}": insert(f"n{number}") for number in range(5)}
    crowded = crowd(database)
    closing = threading.Thread(target=database.close)
    outcomes = crowded.run(("first", insert("first")), others, before_opening=closing.start)
    closing.join(20)
    assert outcomes == dict.fromkeys(["first", *others], 1)
    assert names(database) == sorted(["first", *others])


def test_whoever_must_not_wait_is_told_that_another_thread_writes(database):
    crowded = crowd(database)
    leader = crowded.start("first", crowded.blocking(insert("first")))
    assert crowded.inside.wait(20)
    with pytest.raises(LedgerBusy, match="another thread"):
        database.write(insert("hasty"), wait=False)
    crowded.gate.set()
    leader.join(20)
    assert names(database) == ["first"]


def test_a_file_that_others_keep_locked_is_an_error_for_everybody_who_waits(tmp_path, monkeypatch):
    monkeypatch.setattr("inferkit.ledger.sqlite.database.PATIENCE", 0.05)
    database = GroupedDatabase(tmp_path / "names.db", TABLES)
    other = sqlite3.connect(tmp_path / "names.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    crowded = crowd(database)
    threads = [crowded.start(name, insert(name)) for name in "abcd"]
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "a thread hangs"
    assert all("locked by another process" in str(crowded.outcomes[name]) for name in "abcd")
    other.close()
    assert database.write(insert("later")) == 1
    assert names(database) == ["later"]
    database.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking with threads about is what is tested
def test_a_child_does_not_wait_for_the_threads_of_its_parent(database):
    crowded = crowd(database)
    children = []

    def fork():
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)  # a child that hangs is killed
            try:
                database.write(insert("child"))
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    # a fork waits for the transaction that runs, so it happens between this and the next
    forking = threading.Thread(target=fork)
    others = {f"n{number}": insert(f"n{number}") for number in range(5)}
    outcomes = crowded.run(("first", insert("first")), others, before_opening=forking.start)
    forking.join(30)
    assert children == [0]
    assert outcomes == dict.fromkeys(["first", *others], 1)
    assert names(database) == sorted(["first", "child", *others])


def test_a_process_forked_behind_pythons_back_does_not_wait_for_its_parents_threads(connections, database, monkeypatch):
    inherited = connections[-1]
    database._group._turn.acquire()  # as another thread of the parent
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert database.write(insert("child")) == 1
    inherited.close()


def test_64_threads_under_full_durability_spend_a_budget_to_the_last_call_and_no_further(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db", durability="full")
    granted = []

    def work(number):
        for turn in range(5):
            call, line = f"{number}-{turn}", Line("a", W, 100 * 10)
            if isinstance(ledger.reserve(call, [line], Amounts(10), Amounts(10), at=0, lease_seconds=60), Grant):
                granted.append(call)
                ledger.settle(call, Charge(10), at=0)

    in_threads(work, range(64))
    assert len(granted) == 100
    assert ledger.balance("a", W).posted.usd == 1000
    assert ledger.balance("a", W).pending.usd == 0
    assert sum(entry.charge.usd for entry in ledger.entries()) == 1000
    ledger.check()
    ledger.close()
