"""The commands of `inferkit models`, with their options. What each does stands in a module beside this one."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["commands"]

commands = typer.Typer(help="Local models: find them, look into them, make them smaller.", no_args_is_help=True)

_Model = Annotated[
    str, typer.Argument(help="A GGUF file, local:PACKAGE for the one in an installed package, or local.")
]
_Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]


@commands.callback()
def _root() -> None:
    """Give the name that stands before a command."""


@commands.command()
def inspect(
    model: _Model,
    *,
    engine: Annotated[str | None, typer.Option(help="Ask for this engine, and not for the one that fits.")] = None,
    json: _Json = False,
) -> None:
    """Say what a model file is, which engine runs it, and what it needs. Reads its head, and no weights.

    The exit status is 1 where no engine here runs it.
    """
    from inferkit.cli.models.inspecting import show_inspection

    if not show_inspection(model, engine=engine, as_json=json):
        raise typer.Exit(1)
