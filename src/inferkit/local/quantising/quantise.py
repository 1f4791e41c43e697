"""Makes smaller files of a model, each whole and tried before it gets its name."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from inferkit.core.errors import ConfigurationError, LocalModelError, ModelFileError
from inferkit.local.engines import choice
from inferkit.local.engines.machine import usable_cores
from inferkit.local.gguf.container import read_container
from inferkit.local.jobs import run_job
from inferkit.local.quantising.file import layout
from inferkit.local.quantising.kernels import SIXTEEN_BITS, check_packings
from inferkit.local.quantising.recipes import assign, recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from inferkit.local.gguf.container import Container
    from inferkit.local.gguf.model_file import ModelFile
    from inferkit.local.jobs import Report
    from inferkit.local.quantising.file import Layout
    from inferkit.local.quantising.recipes import Recipe

__all__ = ["Progress", "Quantised", "quantise", "target_name"]

Progress: TypeAlias = "Callable[[str, int, int], None]"
"""Is told which kind is made, how many bytes of the source are done, and of how many."""

_SIXTEEN_BITS_NAME = re.compile(r"[-._](?:bf16|f16|fp16|f32|fp32)$", re.IGNORECASE)
_TRIAL = {"prompt": 8, "generate": 4, "repeats": 0}
_TRIAL_CONTEXT = 32


@dataclass(frozen=True, slots=True)
class Quantised:
    """A file that was made, with the kind that it is. Sizes are in bytes; `model` says what runs it."""

    kind: str
    path: Path
    size: int
    source_size: int
    model: ModelFile


def quantise(
    source: Path,
    kinds: Sequence[str],
    *,
    folder: Path | None = None,
    force: bool = False,
    requantise: bool = False,
    threads: int | None = None,
    progress: Progress,
) -> list[Quantised]:
    """Write a file of each kind beside the source, or in `folder`. A file that is there already stays, unless `force`.

    The source is in 16 or 32 bits; with `requantise` it may be packed already, which loses twice. A file gets its name
    when the preflight found it sound and it was loaded and computed with. Raises `ConfigurationError`,
    `ModelFileError`, `EngineUnavailable`, or `JobDied`.
    """
    recipes = [recipe(kind) for kind in dict.fromkeys(kinds)]
    if not recipes:
        raise ConfigurationError("say what to make of it: q8_0, q4_0")
    container = read_container(source)
    model = choice.choose(source, container)
    if container.quantisation not in SIXTEEN_BITS and not requantise:
        raise ModelFileError(
            f"{source} is packed as {container.quantisation} already, and packing it again loses twice; take the file "
            "in 16 bits, or say --requantise"
        )
    place = source.parent if folder is None else folder
    plans = [_plan(container, kind, place / target_name(source, kind.name)) for kind in recipes]
    _check(source, place, plans, container, force=force)
    threads = threads or usable_cores()
    made: list[Quantised] = []
    for kind, target, plan in plans:
        with _partial(target) as partial:
            job = {"source": str(source.absolute()), "target": str(partial), "kind": kind.name, "threads": threads}
            run_job("inferkit.local.quantising", job, _reports(progress, kind.name, container))
            _try(partial, model, threads)
            _name(partial, target, force=force)
        made.append(Quantised(kind.name, target, plan.size, container.file_size, choice.inspect(target)))
    return made


def _reports(progress: Progress, kind: str, container: Container) -> Report:
    total = sum(tensor.nbytes for tensor in container.tensors.values())
    return lambda said: progress(kind, said["done"], total)


_Plan: TypeAlias = "tuple[Recipe, Path, Layout]"


def target_name(source: Path, kind: str) -> str:
    """Give the name of a file of a kind: `model-f16.gguf` becomes `model-q4_0.gguf`."""
    return f"{_SIXTEEN_BITS_NAME.sub('', source.stem)}-{kind}.gguf"


def _plan(container: Container, kind: Recipe, target: Path) -> _Plan:
    packings = assign(container, kind)
    changed = [tensor for tensor in container.tensors.values() if packings[tensor.name] != tensor.type.name]
    check_packings(
        frozenset(packings[tensor.name] for tensor in changed),
        unpacked=frozenset(tensor.type.name for tensor in changed),
    )
    return kind, target, layout(container, packings, kind.number)


def _check(source: Path, place: Path, plans: Sequence[_Plan], container: Container, *, force: bool) -> None:
    """Refuse what could only fail later, before anything is written."""
    if not place.is_dir():
        raise ConfigurationError(f"there is no folder {place}; make it first, or name another")
    for _, target, _ in plans:
        if target.exists() and target.samefile(source):
            raise ConfigurationError(f"{target} is the source itself; name another folder")
        if target.exists() and not force:
            raise ConfigurationError(f"{target} is there already; say --force to replace it, or name another folder")
    needed, free = sum(plan.size for _, _, plan in plans), shutil.disk_usage(place).free
    if needed > free:
        raise ConfigurationError(
            f"{needed / 1e6:,.0f} MB are needed in {place} for {len(plans)} of {container.file_size / 1e6:,.0f} MB "
            f"made smaller, and {free / 1e6:,.0f} MB are free; name another folder, or make fewer kinds"
        )


@contextlib.contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """Give a new file beside the target, with a name of its own, and remove it where it did not become the target."""
    descriptor, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=".partial.gguf", dir=target.parent)
    os.close(descriptor)
    partial = Path(name)
    partial.chmod(0o666 & ~_umask())
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _umask() -> int:
    """Give the rights that new files of this process lack."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _try(partial: Path, source: ModelFile, threads: int) -> None:
    """Load a file and compute with it, in another process. Raises `ModelFileError` where that fails."""
    context = min(_TRIAL_CONTEXT, source.context_length)
    job = {"path": str(partial), "context": context, "batch": context, "threads": threads, "speed": _TRIAL}
    try:
        run_job("inferkit.local.measuring", job, lambda _: None)
    except LocalModelError as error:
        raise ModelFileError(f"what was made of {source.path} cannot be run, and was removed: {error}") from error


def _name(partial: Path, target: Path, *, force: bool) -> None:
    """Give a file its name, at once, and never another's."""
    if force:
        partial.replace(target)
        return
    try:
        os.link(partial, target)
    except FileExistsError:
        raise ConfigurationError(f"{target} has come meanwhile; say --force to replace it") from None
    except OSError:  # a disk without links
        partial.rename(target)
    else:
        partial.unlink()
