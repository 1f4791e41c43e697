"""`inferkit models`: what there is, what it is, where it comes from, how small and how fast it gets."""

from __future__ import annotations

from inferkit.cli.models.commands import commands

__all__ = ["commands"]
