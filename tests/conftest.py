from __future__ import annotations

import pytest

from worlds import WORLDS, World


@pytest.fixture(params=WORLDS)
def world(request):
    """One of the four ways to run the stack."""
    return World(request.param)


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    """No test touches the user's own cache, ledger or keys."""
    monkeypatch.setenv("INFERKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
