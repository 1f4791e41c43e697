from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "tools")
