"""What `inferkit models inspect` shows."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from inferkit.cli.models.naming import bytes_of, file_of, many
from inferkit.economics.formatting import printable
from inferkit.local.inspection import inspect_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferkit.local.inspection import Inspection, TemplateFacts

__all__ = ["facts_of", "figures_table", "show_inspection"]


def show_inspection(name: str, *, engine: str | None, as_json: bool) -> bool:
    """Show what a model file is; say whether an engine runs it. Raises `ModelFileError`."""
    found = inspect_file(file_of(name), engine)
    if as_json:
        typer.echo(json.dumps(facts_of(found), indent=2, ensure_ascii=False))
    else:
        _show(found, Console(highlight=False))
    return found.engine is not None


def facts_of(found: Inspection) -> dict[str, Any]:
    """Give an inspection in the form of JSON."""
    return asdict(found) | {"path": str(found.path), "bits_per_weight": round(found.bits_per_weight, 2)}


def _show(found: Inspection, out: Console) -> None:
    out.print(Text(printable(found.name), style="bold"))
    out.print(Text(printable(str(found.path)), style="dim", overflow="fold"))
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for what, said in _lines(found):
        grid.add_row(Text(what), Text(printable(said)))
    out.print(Padding(grid, (1, 0)))
    packings = figures_table("Weights", "tensors", "numbers", "size")
    for share in found.packings:
        packings.add_row(share.packing, f"{share.tensors:,}", many(share.parameters), bytes_of(share.size))
    out.print(packings)
    if found.memory:
        out.print()
        memory = figures_table("Context, in tokens", "takes at most", "with the weights")
        for need in found.memory:
            memory.add_row(f"{need.context_length:,}", bytes_of(need.context), bytes_of(need.total))
        out.print(memory)


def figures_table(first: str, *others: str) -> Table:
    """Make a table of figures, with words in its first column."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(first, overflow="fold")
    for other in others:
        table.add_column(other, justify="right", no_wrap=True)
    return table


def _lines(found: Inspection) -> Iterator[tuple[str, str]]:
    yield "architecture", f"{found.architecture or 'not said'}, {many(found.parameters)} parameters"
    called = "" if found.file_type in (None, found.quantisation) else f"{found.file_type}: "
    yield "quantisation", f"{called}{found.quantisation} mostly, {found.bits_per_weight:.1f} bits a number"
    yield "file", bytes_of(found.size)
    words = "" if found.vocabulary_size is None else f", {found.vocabulary_size:,} tokens"
    yield "tokeniser", f"{found.tokeniser or 'not said'}{words}"
    if found.context_length is not None:
        yield "trained for", f"{found.context_length:,} tokens of context"
    yield "engine", found.engine or f"none: {found.problem}"
    if found.template is not None:
        yield "chat template", _template(found.template)
    if found.template_problem is not None:
        yield "chat template", found.template_problem


def _template(facts: TemplateFacts) -> str:
    said = [facts.name if facts.length is None else f"{facts.name}, {facts.length:,} characters"]
    if facts.system is not None:
        said.append("takes system messages" if facts.system else "no system messages")
    said.append("takes tools" if facts.tools else "no tools")
    return "; ".join(said)
