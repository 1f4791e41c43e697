"""Prompts that outlive their process: the same words as from a cold start, and no engine sees what is damaged."""

from __future__ import annotations

import os
import random
import stat
from itertools import pairwise
from pathlib import Path

import pytest

import tiny_gguf
from inferkit.local import Local
from inferkit.local.engines.prefix_files import PrefixFiles
from inferkit.local.engines.prefixes import Prefix
from inferkit.runtime.direct import drive
from inferkit.testing import make_request
from local_calls import worker_pid

ONE = Prefix([1, 2, 3], bytearray(b"one" * 100))
TWO = Prefix([1, 2, 4, 70_000], bytearray(b"two" * 100))


@pytest.fixture
def files(tmp_path):
    """Make a view of one folder, for a kind of engine."""
    return lambda kind="a", limit=10_000: PrefixFiles(tmp_path / "prefixes", limit, [kind])


@pytest.fixture
def saved(files, tmp_path):
    assert files().save([ONE]) == 1
    (path,) = (tmp_path / "prefixes").iterdir()
    return path


def test_what_was_saved_comes_back_the_newest_last(files):
    assert files().load(10_000) == []
    assert files().save([ONE, TWO]) == 2
    assert files().load(10_000) == [ONE, TWO]
    assert files("b").load(10_000) == [], "another model, engine or machine has its own"
    assert files().load(300) == [TWO], "as far as it fits"


def test_only_its_user_may_read_it(saved):
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert stat.S_IMODE(saved.parent.stat().st_mode) == 0o700


def test_the_oldest_make_room_of_whatever_kind(files, saved):
    os.utime(saved, (1, 1))
    assert files("b", limit=800).save([TWO, ONE]) == 2
    assert not saved.exists()
    assert files("b").load(10_000) == [TWO, ONE]
    assert files(limit=100).save([ONE]) == 0, "one that is larger than all that there may be"


def test_one_that_is_saved_again_is_the_newest(files, saved):
    files().save([TWO])
    os.utime(saved, (1, 1))
    files().save([ONE])
    assert files().load(10_000) == [TWO, ONE]


def test_a_file_that_is_damaged_anywhere_is_removed(files, saved):
    whole = saved.read_bytes()
    chance = random.Random(3)
    places = {*range(0, 90, 3), *(chance.randrange(len(whole)) for _ in range(30)), len(whole) - 1}
    for place in sorted(places):
        raw = bytearray(whole)
        raw[place] ^= 1 << chance.randrange(8)
        saved.write_bytes(raw)
        assert files().load(10_000) == [], place
        assert not saved.exists()
    for length in (0, 5, 60, 86, 90, len(whole) - 1):
        saved.write_bytes(whole[:length])
        assert files().load(10_000) == []
        assert not saved.exists()
    saved.write_bytes(whole + b"x")
    assert files().load(10_000) == []


def test_what_is_not_the_users_own_is_removed_unread(files, saved, tmp_path, monkeypatch):
    whole = saved.read_bytes()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(whole)
    saved.unlink()
    saved.symlink_to(elsewhere)
    assert files().load(10_000) == []
    assert not saved.is_symlink()
    assert elsewhere.read_bytes() == whole
    saved.write_bytes(whole)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert files().load(10_000) == []
    assert not saved.exists()


def test_a_file_under_another_kinds_name_is_removed(files, saved, tmp_path):
    whole = saved.read_bytes()
    files("b").save([ONE])
    (other,) = set(saved.parent.iterdir()) - {saved}
    other.write_bytes(whole)
    assert files("b").load(10_000) == []
    assert not other.exists()
    assert files().load(10_000) == [ONE]


def test_other_peoples_files_in_the_folder_are_left_alone(files, saved):
    other = saved.with_name("notes.txt")
    other.write_bytes(b"x" * 9_999)
    os.utime(other, (1, 1))
    files(limit=500).save([TWO])
    assert other.exists()


def test_a_folder_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    files = PrefixFiles(tmp_path, 10_000, [])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(OSError, match="No space left"):
        files.save([ONE])
    assert list(tmp_path.iterdir()) == []


class TestModels:
    @pytest.fixture
    def path(self, tmp_path):
        return tiny_gguf.tiny(context=2048).write(tmp_path / "m.gguf")

    @pytest.fixture
    def made(self, path, engine):
        locals_ = []

        def make(**settings):
            locals_.append(Local(path, engine=engine, **settings))
            return locals_[-1]

        yield make
        for local in locals_:
            local.close()

    RULES = "hello the lo in he an th er " * 12

    @staticmethod
    def said(local, text, **options):
        response = drive(local(make_request(text).replace(max_output_tokens=12, **options)))
        chunks = drive(response.read())
        return "".join(chunk.text for chunk in chunks), chunks[-1].usage.cache_read_tokens

    def test_words_are_the_same_cold_warm_and_restored(self, made):
        chance = random.Random(8)
        questions = ["".join(chance.choice("abcdefg ") for _ in range(chance.randint(1, 30))) for _ in range(8)]
        cold = []
        for question in questions:
            local = made(prefix_memory=0)
            cold.append(self.said(local, self.RULES + question))
            local.close()
        first = made(prefix_disk=1 << 24)
        warm = [self.said(first, self.RULES + question) for question in questions]
        first.close()
        second = made(prefix_disk=1 << 24)
        restored = [self.said(second, self.RULES + question) for question in questions]
        assert [text for text, _ in cold] == [text for text, _ in warm] == [text for text, _ in restored]
        assert {cached for _, cached in cold} == {0}
        assert min(cached for _, cached in restored) > 150

    def test_on_request_what_is_warm_is_saved_while_calls_go_on(self, made):
        local = made(prefix_disk=1 << 24)
        text, _ = self.said(local, self.RULES)
        assert local.save_prefixes() == 1
        assert self.said(local, self.RULES)[0] == text
        assert self.said(made(prefix_disk=1 << 24), self.RULES)[0] == text
        assert made().save_prefixes() == 0

    def test_what_was_damaged_on_the_disk_is_computed_anew(self, made, tmp_path):
        local = made(prefix_disk=1 << 24)
        text, _ = self.said(local, self.RULES)
        local.close()
        (file,) = (tmp_path / "home" / "prefixes").iterdir()
        raw = bytearray(file.read_bytes())
        raw[-5] ^= 1
        file.write_bytes(raw)
        assert self.said(made(prefix_disk=1 << 24), self.RULES) == (text, 0)
        assert not file.exists()

    def test_other_sizes_and_other_files_have_their_own(self, made, path):
        local = made(prefix_disk=1 << 24)
        self.said(local, self.RULES)
        local.close()
        assert self.said(made(prefix_disk=1 << 24, context_length=1024), self.RULES)[1] == 0
        os.utime(path, ns=(1, 1))
        assert self.said(made(prefix_disk=1 << 24), self.RULES)[1] == 0

    def test_without_being_asked_nothing_is_written(self, made, tmp_path):
        local = made()
        self.said(local, self.RULES)
        local.close()
        assert not (tmp_path / "home").exists()

    def test_a_worker_that_cannot_save_is_let_go_of_all_the_same(self, made, tmp_path, caplog):
        local = made(prefix_disk=1 << 24)
        self.said(local, self.RULES)
        (tmp_path / "home").write_text("in the way of a folder")
        pid = worker_pid()
        local.close()
        assert "could not be saved" in caplog.text
        assert not Path(f"/proc/{pid}").exists()


def test_names_tell_kinds_apart(files, tmp_path):
    for kind in "abc":
        files(kind).save([ONE])
    names = sorted(path.name for path in (tmp_path / "prefixes").iterdir())
    assert all(one[:16] != other[:16] for one, other in pairwise(names))
