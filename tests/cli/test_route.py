"""`inferkit route`: fit a router to a file of outcomes, and be told where it is not to be used."""

from __future__ import annotations

import json
import random

import pytest
from typer.testing import CliRunner

from inferkit import Client, Price
from inferkit.cli.app import app
from inferkit.core.errors import ConfigurationError
from inferkit.routing import Learned
from inferkit.testing import FakeProvider


def rows(number, *, easy, hard, seed=1):
    chance = random.Random(seed)
    for place in range(number):
        is_hard = place % 2
        prompt = f"{'Prove that it converges' if is_hard else 'Reset my password'} {place}"
        yield {
            "prompt": prompt,
            "model": "small:m",
            "good": chance.random() < (hard if is_hard else easy),
            "usd": 0.001,
        }
        yield {"prompt": prompt, "model": "large:m", "good": chance.random() < 0.98, "usd": 0.01}


def written(tmp_path, lines):
    file = tmp_path / "outcomes.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in lines), "utf-8")
    return str(file)


def run(*words):
    return CliRunner().invoke(app, ["route", *words], catch_exceptions=False)


def test_a_router_is_fitted_shown_and_used(tmp_path):
    out = str(tmp_path / "router.json")
    ended = run("fit", written(tmp_path, rows(600, easy=1.0, hard=0.3)), "--out", out, "--loss", "0.05")
    assert ended.exit_code == 0
    assert "600 questions; of calls like these go 50% to small:m, 50% to large:m" in ended.stdout
    assert f"written to {out}" in ended.stdout
    assert "saves  45.00%" in run("show", out).stdout
    found = json.loads(run("show", out, "--json").stdout)
    assert (found["models"], found["cases"], round(found["saving"], 4)) == (["small:m", "large:m"], 600, 0.45)
    again = run("fit", written(tmp_path, rows(600, easy=1.0, hard=0.3)), "--out", out, "--loss", "0.05", "--json")
    assert json.loads(again.stdout) == {**found, "refusal": None, "written": out}
    assert Learned(out).router.models == ("small:m", "large:m")


def test_a_router_that_does_not_clear_its_gate_is_not_written(tmp_path):
    out = tmp_path / "router.json"
    ended = run("fit", written(tmp_path, rows(400, easy=0.6, hard=0.6)), "--out", str(out))
    assert ended.exit_code == 1
    assert "this router is not to be used" in ended.stderr
    assert not out.exists()


def test_outcomes_may_name_calls_whose_model_and_cost_are_in_the_ledger(tmp_path):
    lines = []
    with Client(
        providers={"small": FakeProvider("Yes."), "large": FakeProvider("Yes, of course.")},
        prices={"small:m": Price("1", "1"), "large:m": Price("20", "20")},
        cache=False,
        ledger=tmp_path / "ledger.db",
    ) as llm:
        for row in rows(150, easy=1.0, hard=0.0):
            reply = llm.complete(row["model"], row["prompt"])
            lines.append({"prompt": row["prompt"], "good": row["good"], "call": reply.id})
    file, ledger = written(tmp_path, lines), str(tmp_path / "ledger.db")
    ended = run("fit", file, "--out", str(tmp_path / "router.json"), "--loss", "0.2", "--ledger", ledger)
    assert ended.exit_code == 0, ended.stderr
    assert "150 questions" in ended.stdout
    with pytest.raises(ConfigurationError, match="name that, too"):
        run("fit", file, "--out", "x.json")
    with pytest.raises(ConfigurationError, match="there is no ledger"):
        run("fit", file, "--out", "x.json", "--ledger", str(tmp_path / "none.db"))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        run("fit", str(tmp_path / "none.jsonl"), "--out", "x.json")
