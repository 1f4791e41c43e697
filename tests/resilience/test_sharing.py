"""What processes tell each other of models: in memory here, as the background does it, without its waiting."""

from __future__ import annotations

import gc
import os
import sqlite3
import weakref

import pytest

from inferkit import BreakerRules, Client, Health, OpenAIChat, Target, Unavailable
from inferkit.ledger.notices import MOST_NOTICES, Notice
from inferkit.ledger.sqlite.ledger import SqliteLedger
from inferkit.resilience import sharing
from inferkit.resilience.sharing import Sharing
from inferkit.resilience.told_health import ToldHealth
from inferkit.runtime import clock, writer
from inferkit.testing import FakeProvider

NAME = "p:m"
RULES = BreakerRules(failures=1, cooldown=10.0)


class Served(FakeProvider):
    """Stands for one server that all processes call."""

    is_shared = True


class Process:
    """What one process knows: its health, and its exchange over a ledger."""

    def __init__(self, ledger, *, breaker=RULES, fingerprint="p"):
        self.health = Health(breaker=breaker, retries=None)
        self.sharing = Sharing(ledger.accounts)
        self.told = ToldHealth(self.health, lambda: None)  # it is run by hand
        self.sharing.speak_of([self.told])
        self.sharing.look()
        self.sharing.meet(Target("p", "m", Served(name=fingerprint)))

    def fail(self, **facts):
        trouble = self.health.troubled.get(NAME)
        era = 0 if trouble is None else trouble.admit(clock.now(), again=False).era
        self.health.failed(NAME, Unavailable("down", provider="p", **facts), era, clock.now())

    def work(self):
        era = self.health.troubled[NAME].admit(clock.now(), again=False).era
        self.health.worked(NAME, era, clock.now())

    @property
    def circuit(self):
        return self.stands.circuit

    @property
    def stands(self):
        return self.health.of(NAME, clock.now())


def exchange(*processes):
    for each in processes:
        each.sharing.run()


class Clocks:
    def __init__(self, patch):
        self.at, self.wall = 1000.0, 1_800_000_000.0
        patch.setattr(clock, "now", lambda: self.at)
        patch.setattr(clock, "time", lambda: self.wall)

    def pass_by(self, seconds):
        self.at += seconds
        self.wall += seconds


@pytest.fixture
def clocks(monkeypatch):
    with monkeypatch.context() as patch:
        yield Clocks(patch)


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


@pytest.fixture
def start(ledger, clocks):
    made = []

    def start(**settings):
        made.append(Process(ledger, **settings))
        return made[-1]

    yield start
    for each in made:
        each.sharing.close()


def rows(ledger):
    return [tuple(row) for row in ledger.accounts.database.read("SELECT kind, teller, facts FROM notices")]


def test_a_circuit_that_opened_closes_everywhere_when_one_probe_works(start, clocks):
    first, second = start(), start()
    first.fail()
    exchange(first, second)
    assert (first.circuit, second.circuit) == ("open", "open")
    assert (first.stands.told, second.stands.told) == ((), ("circuit",))
    clocks.pass_by(10.0)
    exchange(first, second)
    assert (first.circuit, second.circuit) == ("half_open", "open"), "who found out asks first"
    first.work()
    exchange(first, second)
    assert (first.circuit, second.circuit, second.stands.told) == ("closed", "closed", ())


def test_a_probe_that_fails_keeps_it_open_everywhere_and_for_longer(start, clocks):
    first, second = start(), start()
    first.fail()
    exchange(first, second)
    clocks.pass_by(10.0)
    first.fail()
    exchange(first, second)
    assert first.stands.seconds_left == 20.0
    assert 20.0 < second.stands.seconds_left <= 22.0


def test_another_asks_where_nobody_says_what_came_of_the_probe(start, clocks):
    first, second = start(), start()
    first.fail()
    exchange(first, second)
    clocks.pass_by(12.0)
    assert second.circuit == "half_open"
    second.work()
    exchange(second, first)
    assert first.circuit == "closed"


def test_what_was_told_is_known_to_whoever_comes_later_while_it_is_worth_something(start, clocks):
    first = start()
    first.fail()
    exchange(first)
    assert start().circuit == "open"
    clocks.pass_by(13.0)
    assert start().circuit == "closed"


def test_another_server_or_key_learns_nothing_of_it(start):
    first, other = start(), start(fingerprint="p with another key")
    first.fail()
    exchange(first, other)
    assert other.circuit == "closed"


def test_a_health_without_breakers_opens_none_and_keeps_to_what_was_asked_for(start):
    first, second = start(), start(breaker=None)
    first.fail(retry_after=5.0)
    exchange(first, second)
    assert (second.circuit, second.stands.paused, second.stands.told) == ("closed", True, ("pause",))


@pytest.mark.parametrize("step", [-7200.0, 7200.0])
def test_a_clock_that_is_set_harms_nobody_for_longer_than_a_cooldown(start, clocks, step):
    first, second = start(), start()
    first.fail()
    exchange(first, second)
    clocks.wall += step
    clocks.pass_by(70.0)
    first.work()
    exchange(first, second)
    assert (first.circuit, second.circuit) != ("open", "open")
    clocks.pass_by(1.0)
    first.fail()
    exchange(first, second)
    assert (first.circuit, second.circuit) == ("open", "open")
    assert second.stands.seconds_left <= 60.0, "as long as the longest cooldown"
    clocks.wall -= step
    clocks.pass_by(1.0)
    exchange(first, second)
    assert second.stands.seconds_left <= 60.0


def test_nonsense_in_the_ledger_is_passed_over(start, ledger, clocks):
    first = start()
    exchange(first)
    key = "no key at all"
    with_key = Process(ledger)
    with_key.fail()
    exchange(with_key)
    key = ledger.accounts.database.read("SELECT name FROM notices")[0][0]
    for number, facts in enumerate((
        "", "[]", "{", '{"changed": "soon"}', '{"changed": 1e999}', '{"changed": NaN}', '{"trips": []}',
        '{"changed": 1900000000.0, "opens": 1e300, "trips": 1e300, "error": "a prompt?"}', "\x00",
    )):  # fmt: skip
        notice = Notice(f"t{number}", "health", key, clocks.wall, clocks.wall + 60, facts)
        ledger.accounts.exchange([notice], teller="t", since=0, at=clocks.wall, patience=1.0)
    other = Notice("t", "weather", key, clocks.wall, clocks.wall + 60, "{}")
    ledger.accounts.exchange([other], teller="t", since=0, at=clocks.wall, patience=1.0)
    exchange(first)
    assert first.stands.seconds_left <= 60.0
    assert first.stands.last_error in (None, "Unavailable")
    with_key.sharing.close()


def test_a_ledger_that_takes_nothing_harms_no_call_and_is_told_later(start, ledger, clocks, monkeypatch):
    first, second = start(), start()
    other = sqlite3.connect(ledger.accounts.database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    first.fail()
    with monkeypatch.context() as patch:
        patch.setattr("inferkit.resilience.sharing._PATIENCE", 0.0)
        exchange(first)
    assert (first.circuit, rows(ledger)) == ("open", [])
    other.rollback()
    other.close()
    exchange(first, second)
    assert second.circuit == "open"


def test_notices_that_are_worth_nothing_are_dropped_and_there_are_never_too_many(ledger, clocks):
    board = ledger.accounts

    def put(number, until):
        notices = [Notice(f"t{each}", "health", "p", clocks.wall, until, "{}") for each in range(number)]
        board.exchange(notices, teller="t", since=0, at=clocks.wall, patience=1.0)

    put(100, clocks.wall + 10)
    clocks.pass_by(60)
    put(1, clocks.wall + 1e9)
    assert len(rows(ledger)) == 1
    clocks.pass_by(60)
    put(MOST_NOTICES + 100, clocks.wall + 1e9)
    assert len(rows(ledger)) == MOST_NOTICES


def test_a_closed_exchange_says_and_hears_nothing_more(start, ledger):
    first = start()
    first.sharing.close()
    first.fail()
    exchange(first)
    assert rows(ledger) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_tells_under_a_name_of_its_own_and_hears_its_parent(start, ledger):
    first = start()
    pid = os.fork()
    if not pid:
        try:
            first.fail()
            exchange(first)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    exchange(first)
    assert (first.circuit, first.stands.told) == ("open", ("circuit",))


def client(ledger, **settings):
    return Client(providers={"p": Served()}, models={"any": NAME}, ledger=ledger, cache=False, **settings)


def test_a_client_shares_unless_it_is_told_not_to_or_keeps_no_ledger(ledger):
    for settings, shares in (({}, True), ({"share": False}, False), ({"ledger": False}, False)):
        with client(**{"ledger": ledger, **settings}) as llm:
            llm.complete("any", "Hello?")
            assert (llm._engine._sharing is not None) == shares


def test_a_client_that_is_dropped_is_freed_though_its_exchange_was_to_run(ledger, monkeypatch):
    monkeypatch.setattr(sharing, "SECONDS", 3600.0)  # so that it does not run meanwhile
    llm = client(ledger)
    llm.complete("any", "Hello?")
    exchange = llm._engine._sharing
    exchange.run()
    assert writer.disk.flush(60)
    assert exchange._timer is not None
    dropped = weakref.ref(exchange)
    del llm, exchange
    assert writer.disk.flush(60)
    gc.collect()
    assert dropped() is None


def test_a_model_in_this_process_alone_is_nothing_to_tell_of(ledger):
    with Client(providers={"p": FakeProvider(Unavailable("down", provider="p"))}, ledger=ledger, cache=False,
                health=Health(breaker=BreakerRules(failures=1)), max_retries=0) as llm:  # fmt: skip
        with pytest.raises(Unavailable):
            llm.complete(NAME, "Hello?")
        assert llm.health()[NAME].circuit == "open"
    assert rows(ledger) == []
    assert OpenAIChat(base_url="http://127.0.0.1:1/v1", api_key="k").is_shared
