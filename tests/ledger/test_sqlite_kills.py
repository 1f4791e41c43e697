"""A process may die at any point of any step: the step is then done or not done, never half, and can be done again.

A step's process is killed before each of its SQL statements, and, by a limit on the size of files, in the middle of
what it writes to the ledger's log.
"""

import contextlib
import os
import shutil
import signal
import traceback

import pytest

from inferkit.ledger.amounts import Amounts, Grant, Line
from inferkit.ledger.backlog import Backlog
from inferkit.ledger.journal import Charge
from inferkit.ledger.sqlite.ledger import SqliteLedger

resource = pytest.importorskip("resource")
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of forks while some test's threads still run
    pytest.mark.usefixtures("now"),  # a sweep that takes long ends the holds in several transactions
]

W = "month:2026-11-01"
LINES = [Line("team", W, usd=1000), Line("alice", W, usd=1000)]
LAPSES, LATER = 10, 20  # when leases run out, and after that; in seconds
BYTES = 173  # between two torn writes: six or so a page, never at the same place in it
STEPS = {
    "reserve": lambda ledger: reserve(ledger, "new", 100),
    "extend": lambda ledger: ledger.extend("running", LINES, Amounts(50), at=1, lease_seconds=600),
    "extend after the lease": lambda ledger: ledger.extend("lapsed", LINES, Amounts(50), at=1, lease_seconds=600),
    "mark sent": lambda ledger: ledger.mark_sent("unsent"),
    "settle": lambda ledger: ledger.settle("running", Charge(70, output_tokens=7), at=1),
    "settle after the lease": lambda ledger: ledger.settle("lapsed", Charge(70, output_tokens=7), at=1),
    "void": lambda ledger: ledger.void("running", at=1),
    "record": lambda ledger: ledger.record("free", Charge(1), at=1),
    "sweep": lambda ledger: ledger.sweep(LATER),
    "top up": lambda ledger: ledger.top_up(LINES[0], Amounts(500), at=1),
}


def reserve(ledger, call, usd, *, at=0, lease=600, **options):
    wanted = Amounts(usd, usd, 1)
    return ledger.reserve(call, LINES, wanted, wanted, at=at, lease_seconds=lease, **options)


def in_child(action):
    """Run `action` in a process of its own, which closes nothing; give its exit code, or less than zero if killed."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def copies(tmp_path):
    """Give copies of a ledger with calls in all states, as a process that died has left it: all is in the log yet."""

    def fill():
        ledger = SqliteLedger(tmp_path / "ledger.db")
        reserve(ledger, "lapsed", 200, lease=0)
        ledger.sweep(0)
        reserve(ledger, "running", 200)
        reserve(ledger, "unsent", 200, lease=LAPSES, sent=False)
        reserve(ledger, "lapsing", 200, lease=LAPSES)
        os.kill(os.getpid(), signal.SIGKILL)  # with the ledger open: closing it would empty the log

    assert in_child(fill) == -signal.SIGKILL

    def copy(name):
        path = tmp_path / f"{name}.db"
        for ending in ("", "-wal"):
            shutil.copy(tmp_path / f"ledger.db{ending}", f"{path}{ending}")
        return path

    return copy


def state(ledger):
    ledger.check()
    tables = ("balances", "holds", "expired", "entries", "credits")
    return [ledger.accounts.database.read(f"SELECT * FROM {table}") for table in tables]


def before_and_after(connections, copies, step):
    """Give the state before and after a step, its statements, and how far the log is before and after."""
    path, statements = copies("whole"), []
    log = path.with_name(f"{path.name}-wal")
    with contextlib.closing(SqliteLedger(path)) as ledger:
        before, begin = state(ledger), log.stat().st_size
        connections[-1].set_trace_callback(statements.append)
        step(ledger)
        connections[-1].set_trace_callback(None)
        assert state(ledger) != before
        return before, state(ledger), statements, range(begin, log.stat().st_size)


def examine(path, step, expected, after):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        assert state(ledger) == expected
        if expected != after:
            step(ledger)
            assert state(ledger) == after


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_step_killed_before_any_of_its_statements_is_undone_and_can_be_done_again(connections, copies, step):
    before, after, statements, _ = before_and_after(connections, copies, step)
    assert len(statements) >= 3
    assert statements[-1] == "COMMIT"

    def run(path, statement):
        ledger = SqliteLedger(path)
        left = iter(range(statement, -1, -1))
        connections[-1].set_trace_callback(lambda _: next(left) or os.kill(os.getpid(), signal.SIGKILL))
        step(ledger)
        os.kill(os.getpid(), signal.SIGKILL)

    for statement in range(len(statements) + 1):
        path = copies(str(statement))
        assert in_child(lambda path=path, statement=statement: run(path, statement)) == -signal.SIGKILL
        examine(path, step, before if statement < len(statements) else after, after)


def test_a_reservation_killed_after_the_sweep_that_it_needed_can_be_made(connections, copies):
    path = copies("killed")

    def run():
        ledger = SqliteLedger(path)
        begun = iter([False, False, True])  # the refusal, the sweep, and what is granted after it
        connections[-1].set_trace_callback(
            lambda each: each.startswith("BEGIN") and next(begun) and os.kill(os.getpid(), signal.SIGKILL)
        )
        reserve(ledger, "new", 250, at=LATER)

    assert in_child(run) == -signal.SIGKILL
    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.check()
        assert ledger.balance("alice", W).pending.usd == 200
        assert isinstance(reserve(ledger, "new", 250, at=LATER), Grant)
        assert ledger.balance("alice", W).pending.usd == 450


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_step_killed_in_the_middle_of_a_write_is_undone_and_can_be_done_again(connections, copies, step, monkeypatch):
    monkeypatch.setattr(Backlog, "prepare", lambda _: None)  # whose file would be the one that is cut off
    before, after, _, log = before_and_after(connections, copies, step)

    def run(path, size):
        ledger = SqliteLedger(path)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # what does not fit is cut off, and the next write kills
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        step(ledger)
        os.kill(os.getpid(), signal.SIGKILL)  # before anything else is written at the exit

    assert len(log) > 3 * BYTES
    for size in [*log[::BYTES], log[-1]]:
        path = copies(str(size))
        assert in_child(lambda path=path, size=size: run(path, size)) == -signal.SIGXFSZ
        assert path.with_name(f"{path.name}-wal").stat().st_size == size
        examine(path, step, before, after)
    path = copies("all of it")
    assert in_child(lambda: run(path, log.stop)) == -signal.SIGKILL
    examine(path, step, after, after)
