"""The recipes that are neither servers nor workers: an agent, a graph, a notebook, a function on read-only ground."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import four_wires
from recipes.runs import RECIPES, SECONDS, booked, environment, run, shop
from wire import Wire

ANSWER = "It is on its way, and comes tomorrow."


def test_an_agent_calls_functions_within_its_budget(tmp_path):
    asked = [
        ("", ("find_order", {"number": "A-1"})),  # there is none
        ("", ("find_order", {"number": "A-20817"})),
        ("", ("refund", {"number": "A-20817", "dollars": 39.0})),
        ("Your money is on its way.",),
    ]

    def script(received):
        text, *calls = asked[len(wire.requests) - 1]
        return four_wires.answer("chat", received, text, *calls)

    with Wire(script) as wire:
        said = run(RECIPES / "agent.py", "Refund A-20817.", env=environment(wire, tmp_path)).splitlines()
        last = wire.requests[-1].json["messages"]
    assert said[0].startswith("1. ")
    assert "there is no order A-1" in said[0]
    assert said[2:4] == ["3. 39.0 dollars are on their way", "Your money is on its way."]
    assert said[4].startswith("4 rounds, 0.0")
    assert [each["role"] for each in last] == ["user", *["assistant", "tool"] * 3]
    assert {charge.attribution[:3] for charge in booked(tmp_path)} == {("ana", None, "agent")}


def test_a_graph_of_langgraph_pays_from_one_budget_for_all_its_nodes(tmp_path):
    pytest.importorskip("langgraph")
    answers = ["It is a complaint.", "We are sorry."]
    with Wire(lambda received: four_wires.answer("chat", received, answers[len(wire.requests) - 1])) as wire:
        env = environment(wire, tmp_path, PYTHONWARNINGS="default")
        said = run(RECIPES / "graph.py", "It arrived broken.", env=env).splitlines()
    assert said[0] == "complaint: We are sorry."
    assert said[1].startswith("2 calls, 0.0")
    assert [charge.attribution[:3] for charge in booked(tmp_path)] == [("ana", None, "sort"), ("ana", None, "desk")]


EVENT = json.dumps({"customer": "ana", "text": "Where is it?"})


def on_read_only_ground(home, env):
    """Run the function with a home that nobody can write to, not even root; give what it said, and its end."""
    command = [sys.executable, str(RECIPES / "lambda_handler.py"), EVENT]
    inside = 'mount -t tmpfs -o ro none "$HOME" && exec "$@"'
    home.mkdir()
    own_mounts = ["unshare", "--map-root-user", "--mount", "sh", "-c", inside, "sh"]
    env = env | {"HOME": str(home)}
    if subprocess.run([*own_mounts, "true"], env=env, capture_output=True).returncode:
        own_mounts, env = [], env | {"HOME": "/proc/no-home"}  # where no folder can be made either
    done = subprocess.run([*own_mounts, *command], env=env, capture_output=True, text=True, timeout=SECONDS)
    return done.stdout or done.stderr.splitlines()[-1]


def test_a_function_whose_home_is_read_only_says_what_to_do_or_runs_in_another_folder(tmp_path):
    with shop() as wire:
        env = environment(wire, "unused")
        del env["INFERKIT_HOME"]
        said = on_read_only_ground(tmp_path / "one", env)
        assert "LedgerError: the folder of the ledger" in said
        assert said.endswith("INFERKIT_HOME in the environment, Client(home=...) or Client(ledger=...)")
        assert not wire.requests
        said = on_read_only_ground(tmp_path / "two", env | {"INFERKIT_HOME": str(tmp_path / "tmp")})
    answer = json.loads(said)
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["answer"] == ANSWER
    assert [charge.attribution.user for charge in booked(tmp_path / "tmp")] == ["ana"]


def test_a_notebook_runs_from_top_to_bottom(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    assert nbclient
    with shop() as wire:
        env = environment(wire, tmp_path, PYTHONWARNINGS="default", IPYTHONDIR=str(tmp_path))
        command = ["-m", "jupyter", "execute", "--output", tmp_path / "ran.ipynb", RECIPES / "notebook.ipynb"]
        run(*command, env=env)
    ran = nbformat.read(tmp_path / "ran.ipynb", as_version=4)
    said = "".join(out.get("text", "") for cell in ran.cells for out in cell.get("outputs", []))
    assert ANSWER in said
    assert "over the budget" in said
    assert {charge.attribution.user for charge in booked(tmp_path)} == {"ana", "ben"}
