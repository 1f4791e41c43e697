"""`inferkit cache`, as an operator uses it, on a cache that real calls filled."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from cli.shop import PROMPT, Provider, open_for_business, shop
from command import command
from inferkit import SqliteLedger
from inferkit.caching import bytes_disk, clearing
from inferkit.cli import cached
from wire import Wire

__all__ = ["command"]

WORKER = Path(__file__).with_name("top_up_worker.py")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    home = tmp_path_factory.mktemp("shop")
    open_for_business(home)
    with Wire(Provider()) as wire, shop(wire, home) as llm:
        for number in range(3):
            llm.complete("smart", f"{PROMPT} {number}", user="ana", cache_tags=["docs-v1", f"page-{number}"])
    return home


@pytest.fixture
def home(made, tmp_path):
    """It holds five replies of the small model and four of the large one, three of which have tags."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


@pytest.fixture
def cache(command, home):
    return lambda *arguments: command("cache", *arguments, "--cache", home / "replies")


def test_it_says_how_much_is_kept_of_which_models_and_how_old_it_is(cache, home):
    found = cache("--json", "--ledger", home / "ledger.sqlite3").json
    assert found["entries"] == sum(each["entries"] for each in found["models"])
    assert {each["name"]: each["entries"] for each in found["models"]} == {"openai:small": 4, "openai:large": 4}
    assert {each["name"]: each["entries"] for each in found["tags"]} == {
        "docs-v1": 3, "page-0": 1, "page-1": 1, "page-2": 1,
    }  # fmt: skip
    assert found["size"] == sum(each["size"] for each in found["models"]) > 0
    assert found["oldest"] < found["newest"]
    assert found["size_limit"] == 512 * 2**20
    shown = cache("--ledger", home / "ledger.sqlite3")
    assert shown.said("replies 8", "about 512 MiB may be kept", "age the oldest", "openai:small 4", "docs-v1 3")
    assert max(map(len, shown.out.splitlines())) <= 80


def test_how_often_it_answered_is_what_the_ledger_counted(cache, home):
    answers = cache("--json", "--ledger", home / "ledger.sqlite3").json["answers"]
    assert (answers["sent"], answers["hits"], answers["coalesced"]) == (10, 1, 0)
    assert (answers["ratio"], answers["saved_usd"]) == (pytest.approx(1 / 11), "0.0015")
    assert cache("--ledger", home / "ledger.sqlite3").said(
        "9.1% of 11 calls since", "1 from the cache", "$0.0015 saved"
    )
    empty = home / "empty.sqlite3"
    SqliteLedger(empty).close()
    assert cache("--ledger", empty).said("answers no calls since")
    assert cache().said("answers not known: there is no ledger that counts them")
    assert cache("--ledger", home / "none").said("there is no ledger at")


@pytest.mark.parametrize(
    ("asked", "said", "left"),
    [
        (("--all",), "8 replies cleared, 0 left", 0),
        (("--model", "large"), "4 replies of large cleared, 4 left", 4),
        (("--model", "openai:*"), "8 replies of openai:* cleared, 0 left", 0),
        (("--tag", "docs-v1"), '3 replies with the tag "docs-v1" cleared, 5 left', 5),
        (
            ("--tag", "page-1", "--model", "openai:large"),
            'of openai:large and with the tag "page-1" cleared, 7 left',
            7,
        ),
        (("--model", "larg"), "0 replies of larg cleared, 8 left the models in this cache are: openai:", 8),
        (("--tag", "docs"), "the tags in this cache are: docs-v1, page-", 8),
    ],
)
def test_replies_are_cleared_by_model_and_tag_and_the_rest_is_kept(cache, asked, said, left):
    done = cache("clear", *asked)
    assert (done.code, done.said(said)) == (0, True), done
    assert cache("--json").json["entries"] == left


def test_how_far_it_is_is_told_while_much_is_cleared(cache, monkeypatch):
    told = []

    @contextlib.contextmanager
    def noting(_):
        yield lambda *far: told.append(far)

    monkeypatch.setattr(cached, "progress", noting)
    monkeypatch.setattr(bytes_disk, "_ROWS_TO_CLEAR", 3)
    assert cache("clear", "--all").code == 0
    assert told == [(3, 8), (6, 8), (8, 8)]


def test_what_was_cleared_is_asked_for_again(tmp_path, command):
    def asked(wire):
        with shop(wire, tmp_path) as llm:
            return llm.complete("fast", PROMPT, user="ana", max_output_tokens=100).cache

    with Wire(Provider()) as wire:
        assert [asked(wire), asked(wire)] == ["miss", "hit"]
        done = command("cache", "clear", "--model", "small", "--cache", tmp_path / "replies", "--json")
        assert (done.json["cleared"], done.json["left"]) == (1, 0)
        assert asked(wire) == "miss"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("clear",), "say which replies are to be forgotten: --model, --tag, both, or --all"),
        (("clear", "--all", "--model", "m"), "say which replies are to be forgotten"),
        (("clear", "--model", ""), "model is a text that is not empty"),
        (("--since", "ever"), "an instant is written"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_cleared(cache, asked, message):
    done = cache(*asked)
    assert (done.code, done.said(message)) == (1, True), done
    assert cache("--json").json["entries"] == 8


def test_a_cache_that_is_not_there_damaged_or_locked_is_said(command, home, monkeypatch):
    for more in ((), ("clear", "--all")):
        gone = command("cache", *more, "--cache", home / "none")
        assert (gone.code, gone.said("CacheError: there is no cache at", "--cache")) == (1, True)
        assert not (home / "none").exists()
    (home / "bad").mkdir()
    (home / "bad" / "cache.db").write_text("These are no rows." * 99)
    for more in ((), ("clear", "--all")):
        assert command("cache", *more, "--cache", home / "bad").said("is damaged, or is none", "delete the folder")
    monkeypatch.setattr(clearing, "_PATIENCE", 0.1)
    with contextlib.closing(sqlite3.connect(home / "replies" / "cache.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert command("cache", "--cache", home / "replies").said("replies 8")
        refused = command("cache", "clear", "--all", "--cache", home / "replies")
        assert (refused.code, refused.said("was locked by another process")) == (1, True)


def test_a_full_disk_is_said_and_the_cache_stays_whole(home):
    folder = home / "replies"
    done = subprocess.run(
        [sys.executable, str(WORKER), "100", "cache", "clear", "--all", "--cache", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = " ".join(done.stderr.split())
    assert done.returncode == 1, said
    assert re.search("CacheError: (there is no room left for|the cache at)", said)
    assert "Traceback" not in said
    with contextlib.closing(sqlite3.connect(folder / "cache.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
