"""The options that stand before a command, where the commands find them."""

from __future__ import annotations

from types import SimpleNamespace

__all__ = ["ROOT"]

ROOT = SimpleNamespace(config=None)
"""Of the command that runs: `config` is the file that `inferkit --config` names."""
