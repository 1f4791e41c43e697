"""Where the ledger and the cache are kept, whatever the folder is called and wherever the process goes."""

from __future__ import annotations

from inferkit import Client, SqliteLedger
from inferkit.testing import FakeProvider


def ask(home):
    settings = {"providers": {"fake": FakeProvider("Hello!")}, "models": {"fast": "fake:m"}, "home": home}
    with Client(**settings) as llm:
        return llm.complete("hi").cache


def test_a_home_with_a_tilde_is_in_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INFERKIT_HOME", "~/kept")
    assert ask(None) == "miss"
    assert ask("~/kept") == "hit"
    assert (tmp_path / "user/kept/ledger.sqlite3").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["user"]


def test_a_ledger_with_a_tilde_is_in_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    SqliteLedger("~/spent.db").close()
    assert (tmp_path / "spent.db").is_file()


def test_a_relative_home_stays_where_it_was_when_the_client_was_made(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with Client(providers={"fake": FakeProvider("Hello!")}, models={"fast": "fake:m"}, home="kept") as llm:
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert [llm.complete("hi").cache, llm.complete("hi").cache] == ["miss", "hit"]
    assert (tmp_path / "kept/replies/cache.db").is_file()
    assert (tmp_path / "kept/ledger.sqlite3").is_file()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_home_of_any_name_works(tmp_path):
    for name in ("two words", "größe 漢 😀", "a?b#c%20"):
        assert [ask(tmp_path / name), ask(tmp_path / name)] == ["miss", "hit"]
