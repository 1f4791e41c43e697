"""Ctrl-C in a command: the status that shells know, one line, and nothing that is half done."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3

import pytest

from cli.shop import PROMPT, Provider, open_for_business, shop
from command import command
from inferkit import SqliteLedger
from inferkit.caching import bytes_disk
from inferkit.caching.choice import Chosen
from inferkit.caching.notices import Notices
from inferkit.cli import calling
from wire import Wire

__all__ = ["command"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    home = tmp_path_factory.mktemp("shop")
    open_for_business(home)
    with Wire(Provider()) as wire, shop(wire, home) as llm:
        for number in range(3):
            llm.complete("smart", f"{PROMPT} {number}", user="ana", cache_tags=["docs-v1"])
    return home


@pytest.fixture
def home(made, tmp_path):
    return shutil.copytree(made, tmp_path / "copy")


def pressed(monkeypatch, owner, name, *, after):
    """Have Ctrl-C pressed the first time that a function is called: before it does anything, or after that."""
    original = getattr(owner, name)

    def function(*args, **kwargs):
        monkeypatch.setattr(owner, name, original)
        result = original(*args, **kwargs) if after else None
        signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(owner, name, function)


def ended(ran):
    """Say in which line it ended, and that it is one, with the status of an interrupt."""
    assert (ran.code, ran.out) == (130, "")
    assert ran.err.count("\n") == 1
    return ran.err.strip()


def test_a_search_ends_with_a_line(command, home, monkeypatch):
    @contextlib.contextmanager
    def interrupted(_):
        yield lambda done, of: signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(calling, "progress", interrupted)
    for options in ((), ("--json",)):
        assert ended(command("calls", "--ledger", home / "ledger.sqlite3", *options)) == "interrupted"


@pytest.mark.parametrize("after", [False, True])
def test_a_top_up_is_whole_or_none_and_the_line_says_where_to_see_it(command, home, monkeypatch, after):
    path = home / "ledger.sqlite3"
    pressed(monkeypatch, SqliteLedger, "top_up", after=after)
    said = ended(command("budgets", "top-up", "everything", "5", "--ledger", path))
    assert said == "interrupted; `inferkit budgets --name everything` shows whether it was added"
    with contextlib.closing(SqliteLedger(path)) as ledger:
        assert [credit.amounts.usd for credit in ledger.credits()] == [5 * 10**9] * after
        ledger.check()


def test_a_cache_that_is_half_cleared_says_so_and_so_it_does_to_those_who_have_it_in_memory(command, home, monkeypatch):
    folder = home / "replies"
    elsewhere = Notices(folder)
    elsewhere.read()
    monkeypatch.setattr(bytes_disk, "_ROWS_TO_CLEAR", 3)
    pressed(monkeypatch, bytes_disk.BytesStore, "remove_some", after=True)
    said = ended(command("cache", "clear", "--all", "--cache", folder))
    assert said == "interrupted; 5 replies are left, of 8"
    assert command("cache", "--cache", folder, "--json").json["entries"] == 5
    assert list(elsewhere.read()) == [Chosen()]
    with contextlib.closing(sqlite3.connect(folder / "cache.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert command("cache", "clear", "--all", "--cache", folder).said("5 replies cleared, 0 left")
