"""`inferkit cache`."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["commands"]

commands = typer.Typer(help="What the cache on disk holds, and clearing it.", no_args_is_help=False)

_Cache = Annotated[str | None, typer.Option(help="The cache's folder (default: as configured).")]
_Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]


@commands.callback(invoke_without_command=True)
def cache(
    context: typer.Context,
    *,
    cache: _Cache = None,
    ledger: Annotated[str | None, typer.Option(help="The ledger's file (default: as configured).")] = None,
    since: Annotated[
        str | None, typer.Option(help="Count answers from a date or instant on, or so long ago: 2026-11-01, 12h, 7d.")
    ] = "30d",
    as_json: _Json = False,
) -> None:
    """Show how much the cache on disk holds, of which models, how old it is, and how often it answers.

    Nothing is written. `inferkit cache clear` forgets replies.
    """
    if context.invoked_subcommand is not None:
        return
    from inferkit.cli.cached import show_cache

    show_cache(cache=cache, ledger=ledger, since=since, as_json=as_json)


@commands.command()
def clear(
    *,
    model: Annotated[str | None, typer.Option(help="Those of this model: MODEL, PROVIDER:MODEL or PROVIDER:*.")] = None,
    tag: Annotated[str | None, typer.Option(help="Those with this tag, as calls gave it: cache_tags=.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    cache: _Cache = None,
    as_json: _Json = False,
) -> None:
    """Forget replies, beside the applications that run: they forget theirs within a second, with their next call."""
    from inferkit.cli.cached import clear_cache

    clear_cache(cache=cache, model=model, tag=tag, everything=everything, as_json=as_json)
