from __future__ import annotations

from functools import partial

import pytest

from worlds import RUNTIMES, WORLDS, World, run_in


@pytest.fixture(params=RUNTIMES)
def run(request):
    """Run a coroutine function that takes a runtime, and give its result: on each of the runtimes."""
    return partial(run_in, request.param)


@pytest.fixture(params=WORLDS)
def world(request):
    """One of the four ways to run the stack."""
    return World(request.param)


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    """No test touches the user's own cache, ledger or keys."""
    monkeypatch.setenv("INFERKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
