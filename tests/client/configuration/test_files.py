"""Which file says how clients are set up, and what is said where there is something wrong with it."""

from __future__ import annotations

import os

import pytest

from inferkit import ConfigurationError, ConfigurationFileError
from inferkit.client.configuration.configuration import read_configuration
from inferkit.client.configuration.files import find_file


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def test_the_nearest_file_that_says_something_is_taken(tmp_path, monkeypatch):
    write(tmp_path / "pyproject.toml", "[tool.inferkit]\ntimeout = 1")
    write(tmp_path / "a/pyproject.toml", '[project]\ndependencies = ["inferkit"]')
    inner = write(tmp_path / "a/b/inferkit.toml", "timeout = 2")
    (tmp_path / "a/b/c").mkdir()
    for folder, taken in (("a/b/c", inner), ("a/b", inner), ("a", tmp_path / "pyproject.toml")):
        monkeypatch.chdir(tmp_path / folder)
        assert find_file().path == taken


def test_a_file_of_its_own_goes_before_a_project_beside_it(tmp_path):
    write(tmp_path / "pyproject.toml", "[tool.inferkit]\ntimeout = 1")
    own = write(tmp_path / "inferkit.toml", "timeout = 2")
    assert find_file().path == own


def test_a_path_goes_before_the_environment_and_that_before_what_is_near(tmp_path, monkeypatch):
    write(tmp_path / "inferkit.toml", "timeout = 1")
    named = write(tmp_path / "etc/named.toml", "timeout = 2")
    given = write(tmp_path / "etc/pyproject.toml", "[tool.inferkit]\ntimeout = 3")
    monkeypatch.setenv("INFERKIT_CONFIG", "etc/named.toml")
    assert find_file().path == named
    assert find_file("etc/../etc/pyproject.toml").path == given
    assert find_file(given).table == {"timeout": 3}


def test_where_nothing_is_found_nothing_is_set_up(tmp_path):
    found = read_configuration()
    assert (found.file, found.sources) == (None, {"home": "INFERKIT_HOME"})
    assert found.ledger == tmp_path / "home/ledger.sqlite3"


@pytest.mark.parametrize("named", ["gone.toml", "folder", "pyproject.toml", "latin.toml"])
def test_a_file_that_was_named_has_to_be_one(tmp_path, monkeypatch, named):
    (tmp_path / "folder").mkdir()
    write(tmp_path / "pyproject.toml", "[tool.other]")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    monkeypatch.setenv("INFERKIT_CONFIG", named)
    with pytest.raises(ConfigurationError, match=f"{named}, which INFERKIT_CONFIG names, ") as raised:
        find_file()
    assert not isinstance(raised.value, ConfigurationFileError)


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("a = 1\nb = \n", 2, 5, "Invalid value"),
        ("a = 1\na = 2\n", 2, 6, "Cannot overwrite a value"),
        ("a = [1,\n", 2, 1, "Invalid value"),
        ("\n\n[tool\n", 3, 6, "Expected ']' at the end of a table declaration"),
    ],
)
def test_what_is_no_toml_is_shown_where_it_is_wrong(tmp_path, text, line, column, said):
    path = write(tmp_path / "inferkit.toml", text)
    with pytest.raises(ConfigurationFileError) as raised:
        find_file()
    error = raised.value
    assert (error.file, error.line, error.column) == (str(path), line, column)
    assert f"{path}:{line}:{column}: this is not TOML: {said}" in str(error)


def test_an_editor_may_begin_a_file_with_a_mark(tmp_path):
    (tmp_path / "inferkit.toml").write_bytes("\ufefftimeout = 1\r\n".encode())
    assert find_file().table == {"timeout": 1}


def test_a_file_that_anybody_may_have_left_there_is_not_taken_unasked(tmp_path, monkeypatch):
    path = write(tmp_path / "open/inferkit.toml", "timeout = 1")
    path.parent.chmod(0o1777)
    (tmp_path / "open/mine").mkdir()
    monkeypatch.chdir(tmp_path / "open/mine")
    assert find_file().path == path
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    if path.stat().st_uid == 0:  # root's files are everybody's to trust
        os.chown(path, 4712, -1)
    with pytest.raises(ConfigurationError, match="is another user's, in a folder where everybody may write"):
        find_file()
    assert find_file(path).path == path


def test_what_does_not_exist_is_named_with_its_place_and_what_may_be_meant(tmp_path):
    path = write(tmp_path / "pyproject.toml", '[project]\nname = "shop"\n\n[tool.inferkit]\n  max_retrys = 1\n')
    with pytest.raises(ConfigurationFileError, match="there is no setting max_retrys") as raised:
        read_configuration()
    assert str(raised.value).startswith(f"{path}:5:3: there is no setting max_retrys (did you mean max_retries?)")


def test_everything_that_is_wrong_is_said_at_once_from_top_to_end(tmp_path):
    path = write(tmp_path / "inferkit.toml", "[endpoints.x]\n[caches]\n[telemetry]\n")
    with pytest.raises(ConfigurationFileError) as raised:
        read_configuration()
    first, second, third = str(raised.value).split("\n")
    assert first.startswith(f"{path}:1:1: there is no setting endpoints (did you mean providers?)")
    assert second.startswith(f"{path}:2:1: there is no setting caches (did you mean cache?)")
    assert third.startswith(f"{path}:3:1: telemetry is not for a file")


def test_paths_are_from_the_files_own_folder_on(tmp_path, monkeypatch):
    monkeypatch.delenv("INFERKIT_HOME")
    path = write(tmp_path / "etc/inferkit.toml", 'home = "../data"\nledger = "spent.db"\n')
    found = read_configuration(path)
    assert found.ledger == tmp_path / "etc/spent.db"
    assert found.cache == tmp_path / "data/replies"
    assert found.sources == {"home": "inferkit.toml:1", "ledger": "inferkit.toml:2"}


def test_the_environment_goes_before_the_file(tmp_path, monkeypatch):
    path = write(tmp_path / "inferkit.toml", 'home = "data"\nledger = "spent.db"\ncache = true\n')
    monkeypatch.setenv("INFERKIT_LEDGER", "other.db")
    monkeypatch.setenv("INFERKIT_CACHE", "off")
    found = read_configuration(path)
    assert (found.ledger, found.cache) == (tmp_path / "other.db", None)
    assert found.sources == {name: f"INFERKIT_{name.upper()}" for name in ("home", "ledger", "cache")}
    monkeypatch.setenv("INFERKIT_LEDGER", "no")
    assert read_configuration(path).ledger is None


def test_a_variable_that_makes_no_sense_says_what_it_takes(monkeypatch):
    monkeypatch.setenv("INFERKIT_TIMEOUT", "soon")
    with pytest.raises(ConfigurationError, match="INFERKIT_TIMEOUT is a number of seconds greater than 0"):
        read_configuration()
