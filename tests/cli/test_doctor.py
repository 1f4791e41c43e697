"""`inferkit doctor`, as a person uses it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from inferkit import SqliteLedger
from inferkit.ledger.journal import Charge


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
        assert done.stdout.startswith(f"the ledger {path}\n")
        assert "ok    file: it is whole" in done.stdout
        assert "ok    balances: what was entered and the balances agree (1 in all)" in done.stdout
        assert "->" not in done.stdout


def test_one_that_is_not_is_an_exit_code_and_something_to_do(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    path.touch()
    done = doctor("--ledger", path)
    assert done.returncode == 1
    assert "wrong file: the ledger" in done.stdout
    assert "restore it from a backup" in done.stdout
    assert "Traceback" not in done.stderr
    assert path.read_bytes() == b""
