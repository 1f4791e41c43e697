"""Ctrl-C in a command: one line that says what became of it, and the exit status that shells know it by."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

__all__ = ["INTERRUPTED", "Commands", "Interrupted"]

INTERRUPTED = 130  # as shells say it of a program that SIGINT ended


class Interrupted(KeyboardInterrupt):
    """An interrupt of which there is something to say, in a few words."""


class Commands(TyperGroup):
    """The commands, each of which an interrupt ends with one line."""

    def invoke(self, ctx: Any) -> Any:
        """Run one."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            said = str(interrupt) if isinstance(interrupt, Interrupted) else ""
            typer.echo(f"interrupted; {said}" if said else "interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None
