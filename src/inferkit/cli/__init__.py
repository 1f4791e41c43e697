"""The command line: one file a command, put together in `app`."""

from __future__ import annotations

from inferkit.cli.app import app, main

__all__ = ["app", "main"]
