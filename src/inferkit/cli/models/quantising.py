"""What `inferkit models quantise` does and shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text

from inferkit.cli.models.adding import Bars
from inferkit.cli.models.inspecting import figures_table
from inferkit.cli.models.naming import bytes_of, file_of
from inferkit.economics.formatting import printable
from inferkit.local.quantising.quantise import quantise

if TYPE_CHECKING:
    from inferkit.local.quantising.quantise import Quantised

__all__ = ["quantise_model"]


def quantise_model(
    name: str, kinds: str, *, folder: str | None, force: bool, requantise: bool, threads: int | None, as_json: bool
) -> None:
    """Make the files, and show them."""
    source = file_of(name)
    wanted = [kind.strip() for kind in kinds.split(",") if kind.strip()]
    with Bars() as bars:
        made = quantise(
            source,
            wanted,
            folder=None if folder is None else Path(folder).expanduser(),
            force=force,
            requantise=requantise,
            threads=threads,
            progress=bars,
        )
    if as_json:
        typer.echo(json.dumps([_facts(one) for one in made], indent=2, ensure_ascii=False))
        return
    out = Console(highlight=False)
    out.print(Text(f"in {printable(str(made[0].path.parent))}", style="dim", overflow="fold"))
    table = figures_table("File", "size", "of the source", "engine")
    for one in made:
        share = f"{100 * one.size / one.source_size:.0f} %"
        table.add_row(Text(printable(one.path.name)), bytes_of(one.size), share, one.model.engine)
    out.print(table)
    out.print(Text("\nWhat that costs: inferkit models bench FILE... --against SOURCE --text FILE", style="dim"))


def _facts(one: Quantised) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "path": str(one.path),
        "size": one.size,
        "source_size": one.source_size,
        "engine": one.model.engine,
    }
