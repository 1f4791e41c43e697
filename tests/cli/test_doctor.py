"""`inferkit doctor`, as a person uses it."""

from __future__ import annotations

import contextlib
import email.utils
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from command import command
from inferkit import SqliteLedger
from inferkit.ledger.journal import Charge
from otlp import Receiver
from wire import Wire, reply

__all__ = ["command"]


def doctor(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "inferkit", "doctor", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_a_sound_ledger_is_said_to_be_sound(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.record("call", Charge(5), at=0)
    for done in (doctor("--ledger", path), doctor(INFERKIT_HOME=str(tmp_path))):
        assert done.returncode == 0, done.stderr
        assert f"the ledger {path}\n" in done.stdout
        assert "ok    file: it is whole" in done.stdout
        assert "ok    balances: what was entered and the balances agree (1 in all)" in done.stdout
        assert "->" not in done.stdout.split(f"the ledger {path}")[1].split("\nthe cache")[0]


def test_one_that_is_not_is_an_exit_code_and_something_to_do(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    path.touch()
    done = doctor("--ledger", path)
    assert done.returncode == 1
    assert "wrong file: the ledger" in done.stdout
    assert "restore it from a backup" in done.stdout
    assert "Traceback" not in done.stderr
    assert path.read_bytes() == b""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_in_a_terminal_what_is_found_fits_it(command, here, monkeypatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    (here / "inferkit.toml").write_text('models.fast = "nobody:with-a-name-that-is-long"\n')
    piped = command("doctor", "--offline")
    assert max(map(len, piped.out.splitlines())) > 80
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = command("doctor", "--offline")
    found = [line for line in shown.out.splitlines() if line.startswith(" ")]
    assert max(len(line) for line in found if "/" not in line) <= 80
    assert shown.out.split() == piped.out.split()


def write(here, url, more="", env='api_key_env = "WORK_API_KEY"'):
    (here / "inferkit.toml").write_text(
        f'{more}\n[models]\nfast = "work:small"\n[providers.work]\nbase_url = "{url}"\n{env}\n'
    )


def dated(seconds):
    return [reply({}, 404, date=email.utils.formatdate(time.time() + seconds, usegmt=True))]


def test_everything_in_order_is_said_of_everything(command, here, monkeypatch):
    monkeypatch.setenv("WORK_API_KEY", "sk-very-secret")
    with Wire(lambda _: dated(0)) as server:
        write(here, server.url, 'ledger = "spent.db"')
        ran = command("doctor")
        said = command("doctor", "--json")
    assert ran.code == 0, ran.out
    assert ran.said(f"the configuration {here / 'inferkit.toml'}", "ok ledger: from inferkit.toml:1")
    assert ran.said(f"ok work:small (fast): its key is there (WORK_API_KEY); {server.url} answers")
    assert ran.said("open work:small (fast): its price is not known", '[prices."work:small"]')
    assert ran.said(f"ok time: within 5 seconds of {server.url}")
    assert ran.said(f"the ledger {here / 'spent.db'}", "open file: there is none yet; the first call makes it")
    assert ran.said(f"the cache {here / 'home/replies'}", "traces and metrics")
    assert said.json["sound"] is True
    assert {finding["section"].split(" /")[0] for finding in said.json["findings"]} == {
        "the configuration", "the models", "the clock", "the ledger", "the cache", "traces and metrics",
    }  # fmt: skip
    assert "secret" not in ran.out + said.out
    assert not (here / "spent.db").exists()
    assert not (here / "home").exists()


@pytest.mark.parametrize(("seconds", "level"), [(-30, "open"), (3600, "wrong")])
def test_a_clock_that_is_off_is_found(command, here, seconds, level):
    with Wire(lambda _: dated(seconds)) as server:
        write(here, server.url, env="")
        ran = command("doctor")
    assert ran.code == (level == "wrong")
    off = re.search(rf"{level}\s+time: (\d+) seconds (ahead of|behind) {server.url}", ran.out)
    assert abs(int(off[1]) - abs(seconds)) <= 20, "which the machine may take for it"
    assert off[2] == ("behind" if seconds > 0 else "ahead of")
    assert ran.said("have it set by NTP")


def test_a_key_that_is_missing_and_a_server_that_is_not_there_are_found(command, here):
    write(here, "http://127.0.0.1:9/v1")
    ran = command("doctor")
    assert ran.code == 1
    assert ran.said("wrong work:small (fast): it needs a key: set the environment variable WORK_API_KEY")
    assert ran.said("http://127.0.0.1:9/v1 does not answer", "start it, or correct base_url")
    offline = command("doctor", "--offline")
    assert offline.code == 1
    assert "does not answer" not in offline.out


def test_mistakes_in_the_configuration_are_findings_each_in_its_place(command, here):
    write(here, "ftp://x", 'timeout = 0\nledger = "spent.db"')
    ran = command("doctor", "--offline")
    assert ran.code == 1
    path = here / "inferkit.toml"
    assert ran.said(f"wrong {path}:1:11: timeout is a number of seconds greater than 0")
    assert ran.said(f"wrong {path}:6:1: base_url= must begin with http")
    assert ran.said("not looked at, since the configuration has mistakes", f"the ledger {here / 'spent.db'}")
    write(here, "http://127.0.0.1:9/v1", "cache = 3\nledger = 4")
    assert command("doctor", "--offline").said(f"{path}:1:9: cache is", f"{path}:2:10: ledger is", "traces and metrics")
    (here / "inferkit.toml").write_text("legder = 1\n")
    ran = command("doctor", "--offline")
    assert ran.code == 1
    assert ran.said(f"wrong {path}:1:1: there is no setting legder (did you mean ledger?)")


def test_variables_that_nothing_reads_are_found(command, here, monkeypatch):
    monkeypatch.setenv("INFERKIT_TIMOUT", "3")
    ran = command("doctor", "--offline")
    assert ran.code == 0
    assert ran.said("open INFERKIT_TIMOUT: nothing reads it -> did you mean INFERKIT_TIMEOUT?")


def test_a_collector_that_is_not_there_is_found(command, here, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    ran = command("doctor")
    assert ran.code == 1
    assert ran.said("wrong exporter: the collector that OTEL_EXPORTER_OTLP_ENDPOINT names does not answer")
    with Receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.address)
        assert command("doctor").said("ok exporter: the collector that OTEL_EXPORTER_OTLP_ENDPOINT names answers")


def test_a_cache_that_others_may_read_is_found(command, here):
    folder = here / "home/replies"
    folder.mkdir(parents=True)
    (folder / "cache.db").write_bytes(b"x" * 2048)
    folder.chmod(0o755)
    ran = command("doctor", "--offline")
    assert ran.said("ok folder: 2 KiB of replies", "open folder: others may read it", "chmod go=")
    folder.chmod(0o700)
    assert not command("doctor", "--offline").said("others may read it")


def test_a_place_where_nothing_can_be_written_is_found_before_the_first_call_finds_it(command, here, monkeypatch):
    (here / "taken").write_text("a file, where a folder is wanted")
    monkeypatch.setenv("INFERKIT_HOME", str(here / "taken" / "home"))
    ran = command("doctor", "--offline")
    assert ran.code == 1
    place = f"wrong place: this program may not write to {here / 'taken'}"
    assert ran.said(f"the ledger {here / 'taken/home/ledger.sqlite3'}", place, "INFERKIT_HOME")
    assert ran.said(f"the cache {here / 'taken/home/replies'}", place)
    assert "the first call makes it" not in ran.out


@pytest.mark.parametrize("there", [True, False])
def test_a_disk_that_is_full_is_found(command, here, monkeypatch, there):
    monkeypatch.setenv("INFERKIT_HOME", str(here))
    if there:
        SqliteLedger(here / "ledger.sqlite3").close()
    usage = shutil.disk_usage(here)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4096))
    ran = command("doctor", "--offline")
    assert ran.code == 1
    assert ran.said(f"the ledger {here / 'ledger.sqlite3'}", "wrong place: 4 KiB are left on its disk", "make room")
