"""The command line, as a person uses it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from otlp import Receiver

COMMAND = [sys.executable, "-W", "error", "-m", "inferkit"]


def run(*arguments, **environment):
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "140", "TERM": "dumb", **environment},
    )


def test_the_demo_shows_a_stream_a_hit_a_refusal_the_costs_and_the_trace():
    done = run("demo")
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    first, again = (line for line in shown.splitlines() if '"order_id": "48213"' in line)
    assert first == again
    assert "cache miss" in shown
    assert "cache hit" in shown
    assert "BudgetExceeded: budget free-tier:ana of $0.00004 per month" in shown
    assert "What it cost" in shown
    assert re.search(r"Does the blue.* │ refused +│ +│ +│ +\$0 │", shown)
    assert "├── chat triage" in shown
    assert "inferkit.stream" in shown
    assert "error BudgetExceeded" in shown
    assert done.stderr == ""


def test_the_demo_shows_whole_costs_in_a_narrow_terminal():
    shown = run("demo", COLUMNS="80").stdout
    table = shown.split("What it cost")[1].split("The traces")[0]
    assert max(map(len, table.splitlines())) <= 80
    rows = [line for line in table.splitlines() if line.startswith("│") and line.endswith("│")]
    assert len(rows) == 5
    for row in rows:
        question, by, *amounts = [cell.strip() for cell in row.strip("│").split("│")]
        assert question
        assert by in {"triage-q8_0", "the cache", "refused"}
        assert all(re.fullmatch(r"\d*|\$0|\$0\.\d{8}", amount) for amount in amounts), row


def test_the_demo_is_there_for_programs_too():
    done = run("demo", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    first, again, *_, last = found["calls"]
    assert (first["cache"], again["cache"], again["cost"]) == ("miss", "hit", "0")
    assert again["saved"] == first["cost"]
    assert again["text"] == first["text"] != ""
    assert last["refused"]
    assert [span["name"] for span in found["trace"]].count("inferkit.call") == len(found["calls"])


def test_the_demo_leaves_the_users_own_ledger_and_cache_alone(tmp_path):
    assert run("demo", INFERKIT_HOME=str(tmp_path / "home")).returncode == 0
    assert not (tmp_path / "home").exists()


def test_a_model_file_that_is_not_there_is_one_clear_line(tmp_path):
    done = run("demo", "--model", str(tmp_path / "none.gguf"))
    assert done.returncode == 1
    assert "ModelFileError" in done.stderr
    assert "none.gguf" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_is_shown(arguments):
    done = run(*arguments)
    assert "demo" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_version_is_shown():
    done = run("--version")
    assert done.stdout.startswith("inferkit 0.")


def test_the_demo_sends_its_spans_and_says_so():
    with Receiver() as receiver:
        done = run("demo", "--jaeger", receiver.address)
    assert done.returncode == 0, done.stderr
    assert f"The spans were sent to {receiver.address}/v1/traces." in done.stdout
    assert {"inferkit.call", "inferkit.stream"} <= receiver.names()


def test_spans_that_nobody_takes_are_not_said_to_be_sent():
    done = run("demo", "--jaeger", "http://127.0.0.1:9")
    assert "The spans could not be sent" in done.stdout
    assert "were sent" not in done.stdout
    assert done.stderr == ""
