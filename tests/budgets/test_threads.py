"""A budgeted function pays for the threads that it starts, and for nobody else's."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import anyio
import anyio.to_thread
import pytest
import trio

from inferkit import Budget, BudgetExceeded, Client, budgeted
from inferkit.budgets.context import current_scopes
from inferkit.testing import FakeProvider
from worlds import on_a_loop

FREE = Budget(usd="5.00", name="free")


def accounts():
    return [scope.account for scope in current_scopes()]


@budgeted(FREE, key="user")
def paid_by(user, do, *args):
    return do(*args)


def in_thread(do):
    found = []
    thread = threading.Thread(target=lambda: found.append(do()))
    thread.start()
    thread.join(10)
    return found[0]


def run_script(script):
    """Run a script in a process of its own, where no scope was entered before."""
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=unmeasured)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.split()


def test_a_thread_is_paid_for_by_whoever_starts_it():
    assert paid_by("ana", in_thread, accounts) == ["free:ana"]
    assert paid_by("ana", in_thread, lambda: in_thread(accounts)) == ["free:ana"]
    assert in_thread(accounts) == []
    assert accounts() == []


def test_a_thread_goes_on_being_paid_for_when_the_function_has_returned():
    found = []
    go_on = threading.Event()

    def wait():
        go_on.wait(10)
        found.append(accounts())

    def begin():
        thread = threading.Thread(target=wait)
        thread.start()
        return thread

    thread = paid_by("ana", begin)
    go_on.set()
    thread.join(10)
    assert found == [["free:ana"]]


def test_a_thread_made_in_a_function_and_started_outside_is_paid_for_by_nobody():
    found = []
    thread = paid_by("ana", lambda: threading.Thread(target=lambda: found.append(accounts())))
    thread.start()
    thread.join(10)
    assert found == [[]]


class Worker(threading.Thread):
    def __init__(self):
        super().__init__()
        self.found = None

    def run(self):
        self.found = accounts()


def test_a_subclass_with_a_run_of_its_own_is_paid_for():
    thread = Worker()
    paid_by("ana", thread.start)
    thread.join(10)
    assert thread.found == ["free:ana"]


def test_a_run_that_was_put_on_a_thread_is_what_runs():
    found = []
    thread = threading.Thread()
    thread.run = run = lambda: found.append(accounts())
    paid_by("ana", thread.start)
    thread.join(10)
    assert found == [["free:ana"]]
    assert thread.run is run


def test_a_timer_is_paid_for_by_whoever_starts_it():
    found = []
    timer = threading.Timer(0, lambda: found.append(accounts()))
    paid_by("ana", timer.start)
    timer.join(10)
    assert found == [["free:ana"]]


def test_a_pools_task_is_paid_for_by_whoever_submits_it_and_by_nobody_else():
    at_start = []
    with ThreadPoolExecutor(1, initializer=lambda: at_start.append(accounts())) as pool:

        def submitted(do):
            return pool.submit(do).result(10)

        assert paid_by("ana", submitted, accounts) == ["free:ana"]  # the only worker is started for this
        assert paid_by("bob", submitted, accounts) == ["free:bob"]
        assert submitted(accounts) == []
        assert paid_by("ana", lambda: list(pool.map(lambda _: accounts(), range(3)))) == [["free:ana"]] * 3
        assert submitted(accounts) == []
    assert at_start == [[]]


def test_a_pools_task_gets_its_arguments_and_gives_its_result():
    def function(*args, **kwargs):
        return args, kwargs

    def fail():
        raise KeyError("x")

    with ThreadPoolExecutor(1) as pool:
        given = paid_by("ana", lambda: pool.submit(function, 1, fn=2, scopes=3, pool=4).result(10))
        assert given == ((1,), {"fn": 2, "scopes": 3, "pool": 4})
        with pytest.raises(KeyError, match="x"):
            paid_by("ana", lambda: pool.submit(fail).result(10))
        assert pool.submit(accounts).result(10) == []
    with pytest.raises(RuntimeError, match="after shutdown"):
        paid_by("ana", pool.submit, accounts)
    with pytest.raises(TypeError, match="fn"):
        paid_by("ana", pool.submit)
    assert accounts() == []


@pytest.mark.skipif(sys.version_info < (3, 14), reason="needs pools of interpreters")
def test_a_pool_of_interpreters_gets_its_tasks_as_they_are():
    from concurrent.futures import InterpreterPoolExecutor

    with InterpreterPoolExecutor(1) as pool:
        assert paid_by("ana", lambda: pool.submit(len, "abc").result(10)) == 3


def test_a_thread_from_asyncio_is_paid_for_by_whoever_sends_work_there():
    @budgeted(FREE, key="user")
    async def work(user):
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, accounts), await asyncio.to_thread(accounts)

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        both = await work("ana"), await work("bob")
        return *both, await loop.run_in_executor(None, accounts)

    assert asyncio.run(main()) == ((["free:ana"],) * 2, (["free:bob"],) * 2, [])


@on_a_loop
def test_a_thread_from_anyio_is_paid_for_by_whoever_sends_work_there(run):
    @budgeted(FREE, key="user")
    async def work(user):
        return await anyio.to_thread.run_sync(accounts)

    async def main(_):
        return await work("ana"), await work("bob"), await anyio.to_thread.run_sync(accounts)

    assert run(main) == (["free:ana"], ["free:bob"], [])


def test_a_thread_from_trio_is_paid_for_by_whoever_sends_work_there():
    @budgeted(FREE, key="user")
    async def work(user):
        return await trio.to_thread.run_sync(accounts)

    async def main():
        return await work("ana"), await work("bob"), await trio.to_thread.run_sync(accounts)

    assert trio.run(main) == (["free:ana"], ["free:bob"], [])


def test_a_generators_threads_are_paid_for_by_it_and_its_readers_are_not():
    @budgeted(FREE, key="user")
    def steps(user):
        while True:
            yield in_thread(accounts)

    reading = steps("ana")
    assert next(reading) == ["free:ana"]
    assert in_thread(accounts) == []
    assert next(reading) == ["free:ana"]


def test_a_budget_holds_over_all_threads_of_a_function(tmp_path):
    most = Budget(calls=3, name="three")

    def ask(_):
        try:
            return llm.complete("Hi").text
        except BudgetExceeded:
            return "refused"

    @budgeted(most)
    def fan_out():
        with ThreadPoolExecutor(8) as pool:
            return sorted(pool.map(ask, range(8)))

    provider = FakeProvider("Hello!")
    with Client(providers={"f": provider}, models={"a": "f:m"}, cache=False, ledger=tmp_path / "ledger.db") as llm:
        assert fan_out() == ["Hello!"] * 3 + ["refused"] * 5
        assert most.usage(ledger=llm.ledger).calls == 3
        assert ask(0) == "Hello!"
        assert most.usage(ledger=llm.ledger).calls == 3
    assert len(provider.requests) == 4


def test_nothing_else_of_the_context_is_carried():
    mine = ContextVar("mine", default="default")
    inherits = bool(getattr(sys.flags, "thread_inherit_context", False))  # Python 3.14 can be told to

    def both():
        mine.set("set")
        with ThreadPoolExecutor(1) as pool:
            return in_thread(mine.get), pool.submit(mine.get).result(10)

    assert paid_by("ana", both) == (("set", "set") if inherits else ("default", "default"))


class Thing:
    pass


def test_a_finished_thread_keeps_nothing_alive():
    def finished():
        thing = Thing()
        thing.thread = threading.Thread(target=lambda thing: None, args=(thing,))
        paid_by("ana", thing.thread.start)
        thing.thread.join(10)
        return weakref.ref(thing), weakref.ref(thing.thread)

    gc.collect()
    gc.disable()
    try:
        assert [each() for each in finished()] == [None, None]
    finally:
        gc.enable()


def test_a_thread_that_cannot_start_says_so_and_is_left_as_it_was():
    found = []
    thread = threading.Thread(target=lambda: found.append(accounts()))
    size = threading.stack_size(1 << 46)  # more than any machine has
    try:
        with pytest.raises(RuntimeError, match="start"):
            paid_by("ana", thread.start)
    finally:
        threading.stack_size(size)
    thread.run()
    assert found == [[]]


def test_a_thread_starts_only_once():
    thread = threading.Thread()
    paid_by("ana", thread.start)
    thread.join(10)
    with pytest.raises(RuntimeError, match="once"):
        paid_by("ana", thread.start)


def test_what_is_left_to_the_librarys_own_thread_is_on_nobodys_budget():
    assert run_script(PRELUDE + REAPER) == ["[]"]


REAPER = """
from inferkit.runtime import writer

@budgeted(calls=5, name="b")
def drop():
    writer.endings.take(lambda: print(accounts()))  # starts the thread

drop()
assert writer.endings.flush()
"""

PRELUDE = """
import os, threading
from concurrent.futures import ThreadPoolExecutor

before = threading.Thread.start, ThreadPoolExecutor.submit
import inferkit
from inferkit import budgeted
from inferkit.budgets.context import current_scopes

def accounts():
    return [scope.account for scope in current_scopes()]

def in_thread(do):
    found = []
    thread = threading.Thread(target=lambda: found.append(do()))
    thread.start()
    thread.join(10)
    return found[0]

def in_timer(do):
    found = []
    timer = threading.Timer(0, lambda: found.append(do()))
    timer.start()
    timer.join(10)
    return found[0]

def in_pool(do):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(do).result(10)
"""


def test_threads_are_left_as_they_are_until_a_budget_is_first_used():
    run_script(PRELUDE + UNTOUCHED)


UNTOUCHED = """
@budgeted(calls=5, name="b")
def work():
    return in_thread(accounts), in_pool(accounts)

assert (threading.Thread.start, ThreadPoolExecutor.submit) == before
assert work() == (["b"], ["b"])
assert threading.Thread.start.__wrapped__ is before[0]
assert ThreadPoolExecutor.submit.__wrapped__ is before[1]
assert (in_thread(accounts), in_pool(accounts)) == ([], [])
"""


def test_carrying_scopes_into_threads_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("INFERKIT_CARRY_INTO_THREADS", "0")
    run_script(PRELUDE + SWITCHED_OFF)


SWITCHED_OFF = """
@budgeted(calls=5, name="b")
def work():
    return accounts(), in_thread(accounts), in_pool(accounts)

assert work() == (["b"], [], [])
with inferkit.budget(calls=5, name="block"):
    assert in_thread(accounts) == []
assert (threading.Thread.start, ThreadPoolExecutor.submit) == before
"""


def test_where_threads_inherit_contexts_only_pools_are_wrapped():
    run_script(PRELUDE + INHERITING)


INHERITING = """
import contextvars, sys, types

flags = types.SimpleNamespace(**{name: getattr(sys.flags, name) for name in dir(sys.flags) if name[0] != "_"})
flags.thread_inherit_context = 1
sys.flags = flags

class Inheriting(threading.Thread):  # what a thread is where contexts are inherited
    def start(self):
        self._inherited = contextvars.copy_context()
        super().start()

    def run(self):
        self._inherited.run(super().run)

threading.Thread = Inheriting
before = threading.Thread.start, ThreadPoolExecutor.submit

@budgeted(calls=5, name="b")
def work():
    with ThreadPoolExecutor(1) as pool:
        mine = pool.submit(accounts).result(10)
        yield in_thread(accounts), mine
        yield pool.submit(accounts).result(10)

steps = work()
assert next(steps) == (["b"], ["b"])
assert threading.Thread.start is before[0]
assert ThreadPoolExecutor.submit.__wrapped__ is before[1]
assert list(steps) == [["b"]]
with ThreadPoolExecutor(1) as pool:
    @budgeted(calls=5, name="c")
    def first():
        return pool.submit(accounts).result(10)
    assert (first(), pool.submit(accounts).result(10)) == (["c"], [])
"""


def test_a_first_use_by_many_threads_at_once_is_as_any_other():
    run_script(PRELUDE + AT_ONCE)


AT_ONCE = """
import sys
sys.setswitchinterval(1e-6)
barrier = threading.Barrier(16)
found = []

@budgeted(calls=5, key="user", name="b")
def work(user):
    return in_thread(accounts) + in_pool(accounts)

def first(user):
    barrier.wait(10)
    found.append((user, work(user)))

threads = [threading.Thread(target=first, args=(user,)) for user in "abcdefghijklmnop"]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(10)
assert sorted(found) == [(user, [f"b:{user}"] * 2) for user in "abcdefghijklmnop"]
assert threading.Thread.start.__wrapped__ is before[0]
assert ThreadPoolExecutor.submit.__wrapped__ is before[1]
"""


@pytest.mark.parametrize("order", ["before", "after"])
def test_libraries_that_wrap_threads_too_keep_working(order):
    installed, used = OTHERS, "work()\n"
    run_script(PRELUDE + WORK + (installed + used if order == "before" else used + installed) + TOGETHER)


WORK = """
@budgeted(calls=5, name="b")
def work():
    return in_thread(accounts), in_timer(accounts), in_pool(accounts)
"""

OTHERS = """
import functools
told = []

def noting(cls, name):  # wraps a method and leaves the rest alone, as OpenTelemetry's does
    wrapped = getattr(cls, name)

    @functools.wraps(wrapped)
    def note(self, *args, **kwargs):
        told.append((cls.__name__, name))
        return wrapped(self, *args, **kwargs)

    setattr(cls, name, note)

for cls, name in [(threading.Thread, "start"), (threading.Thread, "run"), (threading.Timer, "start"),
                  (threading.Timer, "run"), (ThreadPoolExecutor, "submit")]:
    noting(cls, name)

start = threading.Thread.start

def replacing(self):  # gives each thread another run, as Sentry's does
    inner = getattr(self.run, "__func__", self.run)

    def run(*args):
        told.append("ran")
        return inner(self, *args[1:])

    self.run = run
    return start(self)

threading.Thread.start = replacing
"""

TOGETHER = """
told.clear()
assert work() == (["b"], ["b"], ["b"])
assert {each for each in told if each != "ran"} == {
    ("Thread", "start"), ("Thread", "run"), ("Timer", "start"), ("Timer", "run"), ("ThreadPoolExecutor", "submit")}
assert told.count("ran") >= 2, told
assert (in_thread(accounts), in_timer(accounts), in_pool(accounts)) == ([], [], [])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("used", ["first used in the child", "used before"])
def test_a_forked_child_carries_budgets_into_its_threads(used):
    run_script(PRELUDE + WORK + ("work()\n" if used == "used before" else "") + FORK)


FORK = """
from inferkit.budgets import threads

held = threading.Event()
over = threading.Event()

def hold():  # what another thread may be in the middle of
    with threads._lock:
        held.set()
        over.wait(10)

holding = threading.Thread(target=hold)
holding.start()
held.wait(10)
child = os.fork()
if child == 0:
    os._exit(0 if work() == (["b"], ["b"], ["b"]) and in_thread(accounts) == [] else 1)
over.set()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
