"""Runs the command in this process, as a person would in a terminal that is 80 characters wide."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from inferkit.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Ran", "command"]


@dataclass
class Ran:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def said(self, *texts: str) -> bool:
        """Whether it said so, wherever a line ended."""
        whole = " ".join((self.out + " " + self.err).split())
        return all(text in whole for text in texts)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["inferkit", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
            raise SystemExit(0)
        code = ended.value.code
        out, err = capsys.readouterr()
        return Ran(code if isinstance(code, int) else 0, out, err)

    return run
