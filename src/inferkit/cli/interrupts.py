"""Ctrl-C in a command: one line that says what became of it, and the exit status that shells know it by."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

__all__ = ["INTERRUPTED", "Commands", "Interrupted", "drop_half_made"]

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


def drop_half_made(interrupt: KeyboardInterrupt) -> None:
    """Let go of what an interrupt found in the making, here and now, and say nothing of what cannot be closed.

    Such a thing complains on the terminal when it goes: a reply of http.client's does, for example.
    """
    complain, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        traceback.clear_frames(interrupt.__traceback__)
    finally:
        sys.unraisablehook = complain
