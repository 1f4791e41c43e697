"""What `inferkit models list` shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text

from inferkit.cli.models.inspecting import figures_table
from inferkit.cli.models.naming import bytes_of, many
from inferkit.core.errors import ConfigurationError
from inferkit.economics.formatting import printable
from inferkit.local.shelf import models_here

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferkit.local.shelf import Shelved

__all__ = ["shelved_facts", "show_models"]

_COMMIT = re.compile(r"@([0-9a-f]{10})[0-9a-f]{30}$")


def show_models(folders: Sequence[str], *, as_json: bool) -> None:
    """Show which models are here. Raises `ConfigurationError` for a folder that is not there."""
    places = [Path(folder).expanduser() for folder in folders]
    absent = next((place for place in places if not place.exists()), None)
    if absent is not None:
        raise ConfigurationError(f"there is no folder {absent}; name one that holds GGUF files")
    found = list(models_here(*places))
    if as_json:
        typer.echo(json.dumps([shelved_facts(one) for one in found], indent=2, ensure_ascii=False))
        return
    table = figures_table("Model", "parameters", "kind", "size", "engine")
    for one in found:
        what = one.inspection
        numbers = ("-", "-") if what is None else (many(what.parameters), what.file_type or what.quantisation)
        engine = "none" if what is None or what.engine is None else what.engine
        table.add_row(Text(printable(_COMMIT.sub(r"@\1", one.name))), *numbers, bytes_of(one.size), engine)
    out = Console(highlight=False)
    out.print(table)
    for one in found:
        if one.problem is not None:
            out.print(Text(printable(f"\n{one.name}: {one.problem}")))


def shelved_facts(one: Shelved) -> dict[str, Any]:
    """Give a model that is here in the form of JSON."""
    what = one.inspection
    return {
        "name": one.name,
        "path": str(one.path),
        "size": one.size,
        "architecture": None if what is None else what.architecture,
        "parameters": None if what is None else what.parameters,
        "quantisation": None if what is None else what.quantisation,
        "engine": None if what is None else what.engine,
        "problem": one.problem,
    }
