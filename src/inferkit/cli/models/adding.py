"""What `inferkit models add` and `inferkit models remove` do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from inferkit.cli.models.inspecting import figures_table
from inferkit.cli.models.listing import shelved_facts
from inferkit.cli.models.naming import bytes_of
from inferkit.core.errors import LocalModelError, ModelFileError
from inferkit.economics.formatting import printable
from inferkit.local.hub.cache import RepoCache, find, remove
from inferkit.local.hub.download import fetch
from inferkit.local.hub.name import FORM, HubName, is_hub_name
from inferkit.local.hub.remote import Hub
from inferkit.local.inspection import inspect_file
from inferkit.local.shelf import look_at

if TYPE_CHECKING:
    from rich.progress import TaskID

    from inferkit.local.hub.download import Fetched

__all__ = ["Bars", "add_model", "remove_model"]

_WORDS = {"wait": "waiting for another process", "fetch": "fetching", "verify": "verifying"}
_SHA256 = 64


class Bars:
    """Shows how far each part of a piece of work is, on the error stream of a terminal; elsewhere nothing."""

    def __init__(self, *, of_bytes: bool = True) -> None:
        console = Console(stderr=True)
        units = (DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn()) if of_bytes else ()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            *(units or (TextColumn("{task.completed}/{task.total}"),)),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that so much of something is done."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(_WORDS.get(what, what), total=total or None)
        self._progress.update(self._tasks[what], completed=done, total=total or None)


def add_model(text: str, *, as_json: bool) -> bool:
    """Fetch a model, and say what it is; without a file in its name, show which there are, and give False."""
    name = _hub_name(text)
    if not name.file:
        _show_files(name, as_json=as_json)
        return False
    if not name.file.endswith(".gguf"):
        raise ModelFileError(f"{name} is no GGUF file; see which there are: inferkit models add hf:{name.repo}")
    with Bars() as bars:
        fetched = fetch(name, bars)
    if as_json:
        _write(_facts(name, fetched))
        return True
    if name.revision != fetched.name.revision:
        typer.echo(f"{name.revision or 'main'} is now commit {fetched.name.revision}")
    kind = "sha256" if _is_sha256(fetched) else "Git's sha1"
    came = f"{bytes_of(fetched.fetched)} came" if fetched.fetched else "nothing to fetch"
    typer.echo(f"{came}; all {bytes_of(fetched.size)} are verified, {kind} {fetched.checksum}")
    try:
        found = inspect_file(fetched.path)
    except LocalModelError as error:
        typer.echo(f"it cannot be used: {error}")
    else:
        typer.echo(f"{found.architecture}, {found.quantisation}; engine: {found.engine or f'none: {found.problem}'}")
    typer.echo(f'in your application: models={{"...": "local:{fetched.name}"}}')
    return True


def remove_model(text: str, *, confirmed: bool, as_json: bool) -> None:
    """Remove a model from the cache. Raises `ModelFileError` for what is not there, or not from Hugging Face."""
    name = _hub_name(text)
    path = find(name)
    if not confirmed:
        typer.confirm(f"Remove {path}? Other tools that use the cache lose it, too.", abort=True, err=as_json)
    freed = remove(name)
    if as_json:
        _write({"name": f"local:{name}", "path": str(path), "freed": freed})
        return
    kept = "" if freed else "; its bytes stay, since another commit has the same"
    typer.echo(f"removed {name} from {RepoCache(name.repo).folder}: {bytes_of(freed)} are free again{kept}")


def _hub_name(text: str) -> HubName:
    text = text.removeprefix("local:")
    if is_hub_name(text):
        return HubName.parse(text)
    raise ModelFileError(
        f"{text} is not from Hugging Face; there a model is named {FORM}. A file needs no adding, its path is its "
        "name; a package is installed and removed with pip"
    )


def _facts(asked: HubName, fetched: Fetched) -> dict[str, Any]:
    """Say of a model what `list` says of it, and how it came."""
    return shelved_facts(look_at(f"local:{fetched.name}", fetched.path)) | {
        "revision": asked.revision or "main",
        "commit": fetched.name.revision,
        "fetched": fetched.fetched,
        "checksum": f"{'sha256' if _is_sha256(fetched) else 'git-sha1'}:{fetched.checksum}",
    }


def _is_sha256(fetched: Fetched) -> bool:
    return len(fetched.checksum) == _SHA256


def _write(facts: Any) -> None:
    typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))


def _show_files(name: HubName, *, as_json: bool) -> None:
    with Hub() as hub:
        files = hub.models(name)
    if not files:
        raise ModelFileError(f"{name} holds no GGUF file; look for a repository of the same model that does")
    named = [(str(HubName(name.repo, file, name.revision)), size) for file, size in files]
    if as_json:
        _write([{"name": file, "size": size} for file, size in named])
        return
    table = figures_table("inferkit models add ...", "size")
    for file, size in named:
        table.add_row(printable(file), bytes_of(size))
    Console(highlight=False, markup=False).print(table)
