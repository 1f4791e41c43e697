"""Models from a hub: pinned, verified, resumed, in the cache that other tools share, and never without being asked."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

import tiny_gguf
from hub import COMMIT, OTHER, LoopbackHub, hub, offline_cache
from inferkit import Client, Local
from inferkit.core.errors import ModelFileError
from inferkit.local.errors import DownloadFailed
from inferkit.local.hub.cache import RepoCache, cached_files, find, remove
from inferkit.local.hub.download import fetch
from inferkit.local.hub.name import HubName
from inferkit.local.hub.remote import Hub

__all__ = ["hub", "offline_cache"]

REPO = "owner/tiny-GGUF"
NAME = HubName(REPO, "tiny.gguf")
PINNED = NAME.at(COMMIT)


@pytest.fixture(scope="module")
def model():
    return tiny_gguf.scripted(["▁a", "b", "c"]).to_bytes()


@pytest.fixture
def no_pause(monkeypatch):
    """Have tries follow one another at once; gives the seconds that would have passed."""
    waits = []
    monkeypatch.setattr("inferkit.runtime.clock.sleep", waits.append)
    return waits


def quietly(*_):
    pass


def partials(folder):
    return sorted(folder.rglob("*.incomplete"))


def test_a_branch_becomes_a_commit_and_its_file_is_verified_and_found(hub, model, offline_cache):
    digest = hub.add(REPO, "tiny.gguf", model)
    seen = []
    fetched = fetch(NAME, lambda *step: seen.append(step))
    assert fetched.name == PINNED
    assert fetched.checksum == digest == hashlib.sha256(fetched.path.read_bytes()).hexdigest()
    assert fetched.fetched == fetched.size == len(model)
    assert {what for what, _, _ in seen} == {"fetch", "verify"}
    assert seen[-1] == ("verify", len(model), len(model))
    assert find(PINNED) == find(NAME.at(COMMIT[:7])) == fetched.path
    assert fetched.path.name == "tiny.gguf", "a model is called by its name, and not by its checksum"
    assert fetched.path.is_relative_to(offline_cache)
    assert not partials(offline_cache)


def test_tools_of_hugging_face_find_it_and_what_they_fetched_is_found(hub, model, offline_cache):
    hub.add(REPO, "sub/tiny.gguf", model)
    fetched = fetch(HubName(REPO, "sub/tiny.gguf"), quietly)
    from huggingface_hub import hf_hub_download, scan_cache_dir

    theirs = {"cache_dir": offline_cache, "local_files_only": True}
    for revision in ("main", COMMIT):
        assert Path(hf_hub_download(REPO, "sub/tiny.gguf", revision=revision, **theirs)) == fetched.path
    (repo,) = scan_cache_dir(offline_cache).repos
    assert (repo.repo_id, repo.size_on_disk) == (REPO, len(model))
    assert [(each.commit_hash, set(each.refs)) for each in repo.revisions] == [(COMMIT, {"main"})]

    hub.add(REPO, "other.gguf", model + b"\0")
    path = hf_hub_download(REPO, "other.gguf", revision="main", cache_dir=offline_cache, endpoint=hub.url)
    assert find(HubName(REPO, "other.gguf", COMMIT)) == Path(path)
    assert {str(each.name) for each in cached_files()} == {f"hf:{REPO}/{file}@{COMMIT}" for file in SUB_AND_OTHER}


SUB_AND_OTHER = ("sub/tiny.gguf", "other.gguf")


def test_a_call_runs_what_was_fetched_and_asks_no_hub(hub, model):
    hub.add(REPO, "tiny.gguf", model)
    fetch(NAME, quietly)
    asked = len(hub.asked)
    name = f"local:{PINNED}"
    with Client(models={"m": name}, ledger=False, cache=False) as llm:
        assert llm.complete("m", "a", max_output_tokens=3).text
        (info,) = llm.models["m"]
    assert (info.name, info.model, info.engine) == (name, "tiny", "ctransformers")
    assert len(hub.asked) == asked


def test_a_call_never_fetches_and_names_the_command_that_does(hub, model):
    hub.add(REPO, "tiny.gguf", model)
    with pytest.raises(ModelFileError, match=f"not on this machine; to fetch it, run: inferkit models add {PINNED}"):
        Local(str(PINNED))
    with Client(models={"m": [f"local:{PINNED}", "local"]}, ledger=False, cache=False) as llm:
        assert llm.complete("m", "Where is order 48213?", max_output_tokens=2).text, "the next candidate is asked"
        (problem,) = llm.check()
    assert problem.problem.endswith(f"inferkit models add {PINNED}")
    assert hub.asked == hub.sent == []


def test_a_name_without_a_commit_is_told_the_one_that_is_here(hub, model):
    hub.add(REPO, "tiny.gguf", model)
    with pytest.raises(ModelFileError, match=f"pinned to no commit, and not on this machine.*models add {NAME}"):
        Local(str(NAME))
    fetch(NAME, quietly)
    for name in (NAME, NAME.at("main")):
        with pytest.raises(ModelFileError, match=f"on this machine main is {PINNED}"):
            Local(str(name))
    with pytest.raises(ModelFileError, match=f"not on this machine.*models add {NAME}@dev"):
        Local(f"{NAME}@dev")


def test_digits_that_stand_for_two_commits_are_not_enough(hub, model):
    hub.add(REPO, "tiny.gguf", model, commit="abcdef0" + "1" * 33, branch="one")
    hub.add(REPO, "tiny.gguf", model, commit="abcdef0" + "2" * 33, branch="two")
    fetch(NAME.at("one"), quietly)
    fetch(NAME.at("two"), quietly)
    with pytest.raises(ModelFileError, match="stands for 2 commits on this machine; write more"):
        find(NAME.at("abcdef0"))
    assert find(NAME.at("abcdef02")).is_file()


def test_a_connection_that_is_cut_goes_on_where_it_was(hub, model, no_pause):
    hub.add(REPO, "tiny.gguf", model)
    hub.cuts = [1000, 5000]
    fetched = fetch(NAME, quietly)
    assert fetched.path.read_bytes() == model
    assert fetched.fetched == len(model), "no byte came twice"
    assert [each.headers.get("range") for each in hub.sent] == [None, "bytes=1000-", "bytes=6000-"]
    assert no_pause == [], "what gets on is not made to wait"


def test_a_hub_that_gives_up_is_an_error_and_the_next_command_goes_on(hub, model, no_pause, offline_cache):
    hub.add(REPO, "tiny.gguf", model)
    hub.cuts = [1234, *[0] * 5]
    with pytest.raises(DownloadFailed, match=r"cut again and again, at 1,234 of [\d,]+ bytes; they were kept"):
        fetch(NAME, quietly)
    assert no_pause == [1, 2, 4, 8]
    assert [each.stat().st_size for each in partials(offline_cache)] == [1234]
    with pytest.raises(ModelFileError, match="not on this machine"):
        find(PINNED)
    fetched = fetch(NAME, quietly)
    assert hub.sent[-1].headers["range"] == "bytes=1234-"
    assert fetched.fetched == len(model) - 1234
    assert fetched.path.read_bytes() == model


def test_a_store_that_knows_no_ranges_sends_it_anew(hub, model):
    hub.add(REPO, "tiny.gguf", model)
    hub.cuts, hub.knows_ranges = [1000], False
    assert fetch(NAME, quietly).path.read_bytes() == model


def test_another_file_than_the_hub_says_is_refused_and_not_kept(hub, model, offline_cache):
    digest = hub.add(REPO, "tiny.gguf", model)
    hub.tamper(digest, model[:-1] + b"\xff")
    with pytest.raises(DownloadFailed, match="not what the hub says it is .* nothing of it was kept"):
        fetch(NAME, quietly)
    assert not any(each.is_file() for each in offline_cache.rglob("blobs/*"))
    with pytest.raises(ModelFileError, match="not on this machine"):
        find(PINNED)
    hub.tamper(digest, model + b"more")
    with pytest.raises(DownloadFailed, match="more came than"):
        fetch(NAME, quietly)


def test_what_lay_there_and_is_not_its_beginning_is_fetched_anew(hub, model):
    digest = hub.add(REPO, "tiny.gguf", model)
    for left in (b"x" * 100, b"x" * len(model), b"x" * (len(model) + 5)):
        partial = RepoCache(REPO).blob(digest + ".incomplete")
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(left)
        assert fetch(NAME, quietly).path.read_bytes() == model
        remove(PINNED)


def test_what_is_here_is_verified_without_asking_anybody(hub, model):
    hub.add(REPO, "tiny.gguf", model)
    fetch(NAME, quietly)
    asked = len(hub.asked)
    again = fetch(PINNED, quietly)
    assert (again.fetched, again.name, len(hub.asked)) == (0, PINNED, asked)
    find(PINNED).resolve().write_bytes(model[:-9] + b"bit flips")
    assert fetch(PINNED, quietly).fetched == len(model), "a file that has changed is fetched anew"
    assert find(PINNED).read_bytes() == model


def test_a_branch_that_moved_on_brings_the_new_file_and_keeps_the_old(hub, model):
    hub.add(REPO, "tiny.gguf", model)
    fetch(NAME, quietly)
    hub.add(REPO, "tiny.gguf", model + b"\0" * 32, commit=OTHER)
    assert fetch(NAME, quietly).name == NAME.at(OTHER)
    assert find(PINNED).read_bytes() == model
    assert RepoCache(REPO).commit_of("main") == OTHER


def test_bytes_that_another_commit_has_are_not_fetched_twice_and_not_removed(hub, model):
    hub.add(REPO, "tiny.gguf", model)
    hub.add(REPO, "tiny.gguf", model, commit=OTHER, branch="other")
    fetch(NAME, quietly)
    assert fetch(NAME.at("other"), quietly).fetched == 0
    assert remove(PINNED) == 0
    assert find(NAME.at(OTHER)).read_bytes() == model
    assert remove(NAME.at(OTHER)) == len(model)
    assert not RepoCache(REPO).folder.exists()
    with pytest.raises(ModelFileError, match="not on this machine"):
        remove(PINNED)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (HubName(REPO, "tiny.gguf", "no-such-branch"), "has no revision no-such-branch; look at its branches"),
        (HubName(REPO, "absent.gguf"), f"has no file absent.gguf in main; see which there are: .*add hf:{REPO}"),
        (HubName("owner/absent", "a.gguf"), "there is no repository owner/absent, or it is private.*set HF_TOKEN"),
        (HubName("owner/gated", "a.gguf"), "asks for consent first; give it on http://127.*owner/gated"),
    ],
)
def test_what_the_hub_has_not_or_gives_not_to_everybody_is_said(hub, model, name, message):
    hub.add(REPO, "tiny.gguf", model)
    hub.add("owner/gated", "a.gguf", model)
    hub.gated.add("owner/gated")
    with pytest.raises(DownloadFailed, match=message):
        fetch(name, quietly)


def test_long_lists_are_read_to_their_end_and_on_no_other_server(hub, model, monkeypatch):
    for number in range(7):
        hub.add(REPO, f"{number}.gguf", model[: 100 - number])
    hub.page = 3
    with Hub() as asked:
        assert asked.models(NAME) == [(f"{number}.gguf", 100 - number) for number in reversed(range(7))]
    with LoopbackHub().running() as elsewhere:
        hub.next_server = elsewhere.url
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        with Hub() as asked:
            assert len(asked.models(NAME)) == 3
        assert elsewhere.asked == []


@pytest.mark.parametrize("place", ["environment", "file"])
def test_a_token_goes_to_the_hub_and_to_nobody_else(hub, model, offline_cache, monkeypatch, place):
    hub.add(REPO, "tiny.gguf", model)
    hub.gated.add(REPO)
    if place == "environment":
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
    else:
        offline_cache.parent.mkdir(parents=True)
        (offline_cache.parent / "token").write_text("hf_secret\n")
    fetch(NAME, quietly)
    assert {each.headers["authorization"] for each in hub.asked} == {"Bearer hf_secret"}
    assert not any("authorization" in each.headers for each in hub.sent)


def test_a_disk_with_too_little_room_is_said_before_a_byte_comes(hub, model):
    hub.add(REPO, "tiny.gguf", model)
    hub.claimed_size = 10**18
    with pytest.raises(DownloadFailed, match=r"needs 1,000,000,000,000 MB more in .*set HF_HUB_CACHE to another disk"):
        fetch(NAME, quietly)
    assert hub.sent == []


def test_a_disk_that_gets_full_in_the_middle_is_said(hub, model):
    digest = hub.add(REPO, "tiny.gguf", model)
    partial = RepoCache(REPO).blob(digest + ".incomplete")
    partial.parent.mkdir(parents=True)
    partial.symlink_to("/dev/full")
    with pytest.raises(DownloadFailed, match="the disk is full; what came was kept"):
        fetch(NAME, quietly)


def test_a_cache_that_may_not_be_written_is_said(hub, model, tmp_path, monkeypatch):
    hub.add(REPO, "tiny.gguf", model)
    (tmp_path / "a file").touch()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "a file" / "hub"))
    with pytest.raises(DownloadFailed, match="cannot be written .*set HF_HUB_CACHE to a folder of yours"):
        fetch(NAME, quietly)


def test_an_offline_machine_is_told_so(hub, model, monkeypatch):
    hub.add(REPO, "tiny.gguf", model)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadFailed, match="HF_HUB_OFFLINE says not to ask the network; unset it"):
        fetch(NAME, quietly)
    assert hub.asked == []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadFailed, match=r"127.0.0.1:9 cannot be reached \(ConnectError\); is this machine online"):
        fetch(NAME, quietly)


def test_a_server_that_is_no_hub_is_told_apart(offline_cache, monkeypatch):
    from wire import Wire, reply

    with Wire(lambda _: [reply(b"")]) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        with pytest.raises(DownloadFailed, match="the server names no commit or size; look whether http"):
            fetch(NAME, quietly)


def test_two_that_fetch_the_same_fetch_it_once(hub, model):
    import fcntl

    digest = hub.add(REPO, "tiny.gguf", model)
    lock = RepoCache(REPO).lock(digest)
    lock.parent.mkdir(parents=True)
    waiting = threading.Event()
    found = []
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        second = threading.Thread(
            target=lambda: found.append(fetch(NAME, lambda what, *_: waiting.set() if what == "wait" else None))
        )
        second.start()
        assert waiting.wait(30)
        assert hub.sent == []
    second.join(30)
    assert found[0].path.read_bytes() == model
