"""`inferkit simulate`: a scenario from a file, as a user runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from inferkit.cli.app import app
from inferkit.core.errors import ConfigurationError

SCENARIO = """
days = 1
[traffic]
calls = 30
[plans.pro]
price = 20
allowance = { usd = 5 }
[customers.pro]
count = 3
[models]
fast = ["acme:large", "bolt:small"]
[providers."acme:large"]
price = { input = 2, output = 8 }
[providers."bolt:small"]
price = { input = 0.1, output = 0.4 }
[[outages]]
provider = "acme"
at = 2026-01-01T12:00:00
minutes = 120
[policies.cheap]
routes = "cheapest"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "month.toml"
    path.write_text(SCENARIO, "utf-8")
    return str(path)


def run(*words):
    return CliRunner().invoke(app, ["simulate", *words], catch_exceptions=False)


def test_the_policies_of_the_file_are_played(file):
    ended = run(file)
    assert ended.exit_code == 0
    assert "month: 30 calls in 1 days from 2026-01-01" in ended.stdout
    assert "cheap: 30 calls ..." in ended.stderr


def test_policies_are_compared_as_json_with_pictures_in_a_file(file, tmp_path):
    words = ["--compare", "naive,cheap", "--json", "--calls", "20", "--seed", "5"]
    ended = run(file, *words, "--plots", str(tmp_path / "pictures"), "-o", str(tmp_path / "out.json"))
    assert ended.exit_code == 0
    data = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert (data["seed"], [each["total"]["calls"] for each in data["policies"]]) == (5, [20, 20])
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["events.svg", "totals.svg"]


def test_a_ledger_can_be_kept_and_reported_on(file, tmp_path):
    ledger = str(tmp_path / "month.db")
    assert run(file, "--compare", "plain", "--ledger", ledger).exit_code == 0
    report = CliRunner().invoke(app, ["report", "--ledger", ledger, "--month", "2026-01"], catch_exceptions=False)
    assert report.exit_code == 0
    assert "30" in report.stdout
    with pytest.raises(ConfigurationError, match="is there already"):
        run(file, "--compare", "plain", "--ledger", ledger)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--compare", "best"], 'there is no policy "best"; they are: naive, plain, cheap'),
        (["--compare", ","], "--compare names policies"),
        (["--compare", "naive,plain", "--ledger", "x.db"], "a ledger is kept of one policy"),
    ],
)
def test_what_makes_no_sense_is_refused(file, words, what):
    with pytest.raises(ConfigurationError, match=what):
        run(file, *words)


def test_ctrl_c_stops_it_with_a_line_and_the_code_of_an_interrupt(tmp_path):
    file = tmp_path / "long.toml"
    file.write_text(SCENARIO.replace("calls = 30", "calls = 500_000"), "utf-8")
    program = "from inferkit.cli import main; main()"
    command = [sys.executable, "-c", program, "simulate", str(file), "--ledger", str(tmp_path / "kept.db")]
    with subprocess.Popen([*command, "--compare", "plain"], stderr=subprocess.PIPE, text=True) as simulating:
        said = simulating.stderr.readline()
        assert said == "plain: 500,000 calls ...\n"
        simulating.send_signal(signal.SIGINT)
        _, said = simulating.communicate(timeout=60)
    assert simulating.returncode == 130
    assert said.startswith("stopped: the simulation is not over, and nothing of it is shown; ")
    assert "kept.db may hold a part of it: delete it before the next run\n" in said
    assert len(said.splitlines()) == 1
