"""Replies are forgotten by model, by tag, or all: in memory, on disk, and in every process that shares the disk."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading

import anyio
import pytest

from caching.replies import REPLY
from inferkit import AsyncClient, Cache, CacheError, Client, ConfigurationError
from inferkit.caching import clearing, disk, notices
from inferkit.caching.choice import Chosen, label_of
from inferkit.caching.disk import DiskTier
from inferkit.caching.entry import CachedReply
from inferkit.caching.memory import MemoryTier
from inferkit.caching.stored import decode, encode
from inferkit.caching.survey import survey
from inferkit.layers import cache as cache_layer
from inferkit.runtime import clock
from inferkit.runtime.direct import DirectRuntime, drive
from inferkit.testing import FakeProvider

RUNTIME = DirectRuntime()
ENTRIES = [
    CachedReply(REPLY, stored_at=1.0, provider="openai", model="gpt-5", tags=("docs",)),
    CachedReply(REPLY, stored_at=1.0, provider="openai", model="gpt-5-mini", tags=("docs", "faq")),
    CachedReply(REPLY, stored_at=1.0, provider="azure", model="gpt-5", tags=("faq",)),
    CachedReply(REPLY, stored_at=1.0, provider="ollama", model="qwen:7b"),
]
CHOICES = [
    ({}, [0, 1, 2, 3]),
    ({"model": "gpt-5"}, [0, 2]),
    ({"model": "openai:gpt-5"}, [0]),
    ({"model": "openai:*"}, [0, 1]),
    ({"model": "open:*"}, []),
    ({"model": "qwen:7b"}, [3]),
    ({"model": "ollama:qwen:7b"}, [3]),
    ({"model": "7b"}, []),
    ({"model": "gpt"}, []),
    ({"tag": "docs"}, [0, 1]),
    ({"tag": "doc"}, []),
    ({"tag": "gpt-5"}, []),
    ({"tag": "faq", "model": "gpt-5"}, [2]),
    ({"tag": "%"}, []),
]


def key(number):
    return number.to_bytes(32, "big")


def kept(tier, count=4):
    return [number for number in range(count) if drive(tier.get(RUNTIME, key(number))) is not None]


def fill(tier):
    for number, entry in enumerate(ENTRIES):
        drive(tier.put(RUNTIME, key(number), entry, ttl=None))
    return tier


@pytest.fixture(params=["memory", "disk", "waiting"])
def tier(request, tmp_path, monkeypatch):
    """A tier with replies; "waiting" are those that were not written to the disk yet."""
    if request.param == "memory":
        yield fill(MemoryTier())
        return
    monkeypatch.setattr(disk, "_GATHER_SECONDS", 3600.0)
    tier = fill(DiskTier(tmp_path / "cache"))
    if request.param == "disk":
        tier.flush()
    yield tier
    tier.close()


@pytest.mark.parametrize(("asked", "meant"), CHOICES)
def test_those_that_are_meant_are_forgotten_and_counted_and_no_others(tier, asked, meant):
    assert [number for number, entry in enumerate(ENTRIES) if Chosen(**asked).fits(entry)] == meant
    assert tier.clear(**asked) == len(meant)
    assert kept(tier) == [number for number in range(len(ENTRIES)) if number not in meant]
    assert tier.clear(**asked) == 0
    drive(tier.put(RUNTIME, key(0), ENTRIES[0], ttl=None))
    assert 0 in kept(tier)


@pytest.mark.parametrize("asked", [{"model": ""}, {"tag": " "}, {"tag": 5}])
def test_a_choice_that_makes_no_sense_is_refused(tier, asked):
    with pytest.raises(ConfigurationError, match="is a text that is not empty, or None for all"):
        tier.clear(**asked)
    assert len(kept(tier)) == len(ENTRIES)


def test_more_than_are_removed_at_once_are_all_removed(tmp_path):
    tier = DiskTier(tmp_path)
    for number in range(300):
        drive(tier.put(RUNTIME, key(number), ENTRIES[number % 2], ttl=None))
    assert tier.clear(model="gpt-5-mini") == 150
    assert tier.clear() == 150
    tier.close()


def test_tags_come_back_from_the_disk_and_old_entries_have_none():
    for entry in ENTRIES:
        assert decode(encode(entry, key(1)), key(1)) == entry
    assert len(json.loads(encode(ENTRIES[3], key(1))[32:])) == 4  # as older versions wrote it


def test_what_an_older_version_wrote_is_found_by_reading_it(tmp_path):
    tier = fill(DiskTier(tmp_path))
    tier.close()
    with sqlite3.connect(tmp_path / "cache.db") as connection:
        connection.execute("UPDATE Cache SET tag = NULL")
        connection.execute("UPDATE Cache SET value = x'00' WHERE key = ?", (key(3),))
    connection.close()
    assert survey(tmp_path, clock.time()).unlabelled == 4
    assert tier.clear(model="openai:*") == 3  # and what is damaged
    assert kept(tier) == [2]
    tier.close()


def test_nothing_of_what_was_cleared_is_left_in_the_files(tmp_path):
    tier = fill(DiskTier(tmp_path))
    tier.flush()
    assert any(b"inferkit-cache" in file.read_bytes() for file in tmp_path.iterdir())
    tier.clear()
    tier.close()
    assert not any(b"inferkit-cache" in file.read_bytes() for file in tmp_path.iterdir())


def test_a_cache_that_is_not_there_is_not_made(tmp_path):
    tier = DiskTier(tmp_path / "none")
    assert tier.clear() == 0
    assert not (tmp_path / "none").exists()


def client(home, **settings):
    providers = {"f": FakeProvider("one"), "g": FakeProvider("two")}
    return Client(providers=providers, models={"a": "f:m", "b": "g:m"}, home=home, ledger=False, **settings)


def test_a_client_forgets_what_it_is_told_to(tmp_path):
    with client(tmp_path) as llm:
        llm.complete("a", "hi", cache_tags="docs")
        llm.complete("b", "hi", cache_tags=["docs", "faq"])
        assert llm.complete("a", "hi", cache_tags="others").cache == "hit"  # a tag is no part of the question
        assert llm.cache.clear(tag="faq") == 1
        assert [llm.complete(name, "hi").cache for name in ("a", "b")] == ["hit", "miss"]
        assert llm.cache.clear(model="f:*") == 1
        assert [llm.complete(name, "hi").cache for name in ("a", "b")] == ["miss", "hit"]
        assert llm.cache.clear() == 2
        assert "MemoryTier(0 of" in repr(llm.cache)
    with (
        client(tmp_path, cache=False) as llm,
        pytest.raises(ConfigurationError, match="has no cache; leave cache=False"),
    ):
        llm.cache  # noqa: B018 - asking is what raises


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_client_on_an_event_loop_clears_without_stopping_it(backend, tmp_path):
    async def main():
        providers = {"f": FakeProvider("one")}
        async with AsyncClient(providers=providers, models={"a": "f:m"}, home=tmp_path, ledger=False) as llm:
            await llm.complete("a", "hi")
            return await llm.cache.aclear(), (await llm.complete("a", "hi")).cache

    assert anyio.run(main, backend=backend) == (1, "miss")


@pytest.mark.parametrize("tags", ["", "two\nlines", [""], [5], 5])
def test_tags_are_lines_of_text(tmp_path, tags):
    with client(tmp_path) as llm, pytest.raises(ConfigurationError, match="cache_tags is a text of one line"):
        llm.complete("a", "hi", cache_tags=tags)


def test_a_tier_that_cannot_forget_is_named_before_anything_is_forgotten():
    class Mine:
        name = "mine"

        async def get(self, runtime, key, /):
            return None

        async def put(self, runtime, key, entry, /, *, ttl):
            pass

    memory = fill(MemoryTier())
    with pytest.raises(ConfigurationError, match=r"Mine has no method clear\(\*, model, tag\)"):
        Cache(memory, Mine()).clear()
    assert len(memory) == len(ENTRIES)


@pytest.fixture
def listening(monkeypatch):
    """Have caches listen at each look-up."""
    monkeypatch.setattr(cache_layer, "_LISTEN_SECONDS", 0.0)


def test_another_process_forgets_what_it_has_in_memory(tmp_path, listening):
    tier = DiskTier(tmp_path / "replies")
    with client(tmp_path, cache=Cache(MemoryTier(), tier)) as llm:
        for name in ("a", "b"):
            llm.complete(name, "hi")
        tier.flush()
        command = [
            sys.executable,
            "-m",
            "inferkit",
            "cache",
            "clear",
            "--model",
            "f:m",
            "--cache",
            tmp_path / "replies",
        ]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60)
        assert done.stdout == "1 reply of f:m cleared, 1 left\n", done.stderr
        assert [llm.complete(name, "hi").cache for name in ("a", "b")] == ["miss", "hit"]


def test_what_cannot_be_told_counts_as_everything(tmp_path, monkeypatch):
    heard = notices.Notices(tmp_path)
    assert heard.read() == ()
    notices.note(tmp_path, Chosen("m"))
    notices.note(tmp_path, Chosen(None, "t"))
    assert heard.read() == [Chosen("m"), Chosen(None, "t")]
    assert heard.read() == ()
    monkeypatch.setattr(notices, "_MOST_BYTES", 10)
    notices.note(tmp_path, Chosen("n"))  # it has grown, and begins anew
    assert heard.read() == [Chosen("n")]
    (tmp_path / "cleared").write_text("no line of ours\n")
    assert heard.read() == [Chosen()]
    (tmp_path / "cleared").unlink()
    assert heard.read() == [Chosen()]


def test_a_tier_whose_news_fail_is_passed_by(listening, caplog):
    class Broken(MemoryTier):
        def news(self):
            raise OSError("no news")

    tiers = fill(MemoryTier()), Broken()
    with client(None, cache=Cache(*tiers)) as llm:
        assert llm.complete("a", "hi").cache == "miss"
    assert "could not hear what others have cleared" in caplog.text


def test_a_cache_that_another_keeps_locked_is_waited_for_and_then_named(tmp_path, monkeypatch):
    tier = fill(DiskTier(tmp_path))
    tier.flush()
    with sqlite3.connect(tmp_path / "cache.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(clearing, "_PATIENCE", 0.1)
        with pytest.raises(CacheError, match="was locked by another process"):
            tier.clear()
        other.execute("ROLLBACK")
    other.close()
    assert tier.clear() == len(ENTRIES)
    tier.close()


def test_calls_go_on_while_much_is_cleared(tmp_path):
    tier = DiskTier(tmp_path)
    for number in range(500):
        drive(tier.put(RUNTIME, key(number), ENTRIES[0], ttl=None))
    tier.flush()
    written = []

    def write():
        number = 1000
        while thread.is_alive():
            drive(tier.put(RUNTIME, key(number), ENTRIES[1], ttl=None))
            assert drive(tier.get(RUNTIME, key(number))) is not None
            written.append(number)
            number += 1

    thread = threading.Thread(target=lambda: tier.clear(model="openai:gpt-5"))
    thread.start()
    write()
    thread.join()
    tier.flush()
    assert kept(tier, 500) == []
    assert all(drive(tier.get(RUNTIME, key(number))) is not None for number in written)
    tier.close()


def test_labels_are_lines(tmp_path):
    assert label_of(ENTRIES[1]) == "openai:gpt-5-mini\ndocs\nfaq\n"
