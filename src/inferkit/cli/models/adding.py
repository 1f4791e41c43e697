"""What `inferkit models add` and `inferkit models remove` do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from inferkit.cli.models.inspecting import figures_table
from inferkit.cli.models.naming import bytes_of
from inferkit.core.errors import LocalModelError, ModelFileError
from inferkit.economics.formatting import printable
from inferkit.local.hub.cache import RepoCache, find, remove
from inferkit.local.hub.download import fetch
from inferkit.local.hub.name import FORM, HubName, is_hub_name
from inferkit.local.hub.remote import Hub
from inferkit.local.inspection import inspect_file

if TYPE_CHECKING:
    from rich.progress import TaskID

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


def add_model(text: str) -> bool:
    """Fetch a model, and say what it is; without a file in its name, show which there are, and give False."""
    name = _hub_name(text)
    if not name.file:
        _show_files(name)
        return False
    if not name.file.endswith(".gguf"):
        raise ModelFileError(f"{name} is no GGUF file; see which there are: inferkit models add hf:{name.repo}")
    with Bars() as bars:
        fetched = fetch(name, bars)
    if name.revision != fetched.name.revision:
        typer.echo(f"{name.revision or 'main'} is now commit {fetched.name.revision}")
    kind = "sha256" if len(fetched.checksum) == _SHA256 else "Git's sha1"
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


def remove_model(text: str, *, confirmed: bool) -> None:
    """Remove a model from the cache. Raises `ModelFileError` for what is not there, or not from Hugging Face."""
    name = _hub_name(text)
    path = find(name)
    if not confirmed:
        typer.confirm(f"Remove {path}? Other tools that use the cache lose it, too.", abort=True)
    freed = remove(name)
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


def _show_files(name: HubName) -> None:
    with Hub() as hub:
        files = hub.models(name)
    if not files:
        raise ModelFileError(f"{name} holds no GGUF file; look for a repository of the same model that does")
    table = figures_table("inferkit models add ...", "size")
    for file, size in files:
        table.add_row(printable(str(HubName(name.repo, file, name.revision))), bytes_of(size))
    Console(highlight=False, markup=False).print(table)
