"""What `inferkit doctor` looks at, one section after the other, and how it says what it found."""

from __future__ import annotations

import itertools
from contextlib import suppress
from textwrap import fill
from typing import TYPE_CHECKING, NamedTuple

import typer

from inferkit.cli.candidates import candidates
from inferkit.cli.checking import (
    check_cache,
    check_clock,
    check_configuration,
    check_models,
    check_place,
    check_traces,
)
from inferkit.cli.configured import configuration, configured_client, configured_ledger
from inferkit.cli.reaching import reach
from inferkit.cli.showing import out, progress, write_json
from inferkit.core.errors import InferkitError
from inferkit.economics.formatting import printable
from inferkit.ledger.spill import check_locks
from inferkit.ledger.sqlite.checkup import check_up
from inferkit.ledger.sqlite.finding import Finding
from inferkit.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from inferkit.client.configuration.configuration import Configuration

__all__ = ["examine"]

_INDENT = " " * 8  # as far as what is looked at


class Looked(NamedTuple):
    """What was looked at, and what was found; that may take a while, and is found as it is asked for."""

    title: str
    findings: Iterable[Finding]


def examine(*, ledger: str | None, offline: bool, as_json: bool) -> bool:
    """Do what the command does, and say whether nothing is wrong."""
    sound, said = True, []
    sections = _everything(offline=offline) if ledger is None else _ledger_at(ledger)
    for title, findings in sections:
        if not as_json:
            typer.echo(title)
        for finding in findings:
            sound = sound and finding.level != "wrong"
            if as_json:
                said.append({"section": title, **finding._asdict()})
            else:
                _show(finding)
    if as_json:
        write_json({"sound": sound, "findings": said})
    return sound


def _show(finding: Finding) -> None:
    _write(f"  {finding.level:<6}{finding.about}: {finding.found}", _INDENT)
    if finding.remedy:
        _write(f"{_INDENT}-> {finding.remedy}", f"{_INDENT}   ")


def _write(line: str, indent: str) -> None:
    """Write a line, in a terminal as several that fit it; where another program reads, it stays one."""
    line, console = printable(line), out()
    if console.is_terminal:
        line = fill(line, console.width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    typer.echo(line)


def _everything(*, offline: bool) -> Iterator[Looked]:
    try:
        found = configuration()
    except InferkitError as error:
        yield Looked("the configuration", check_configuration(None, error))
        found = None
    if found is not None:
        title = "the configuration" if found.file is None else f"the configuration {found.file.path}"
        yield Looked(title, check_configuration(found, None))
        yield from _models(offline=offline)
        yield from _ledger(found)
        with suppress(InferkitError):
            folder = found.cache
            yield Looked("the cache" if folder is None else f"the cache {folder}", check_cache(found))
    yield Looked("traces and metrics", check_traces(offline=offline))


def _models(*, offline: bool) -> Iterator[Looked]:
    try:
        with configured_client() as llm:
            models = candidates(llm)
    except InferkitError:  # it was said what is wrong with the configuration
        yield Looked("the models", [Finding("open", "models", "not looked at, since the configuration has mistakes")])
        return
    reached = {}
    if not offline:
        with progress("asking the servers") as step:
            reached = reach([each.address for each in models if each.address is not None], step)
    yield Looked("the models", check_models(models, reached))
    yield Looked("the clock", check_clock(reached))


def _ledger(found: Configuration) -> Iterator[Looked]:
    try:
        path = found.ledger
    except InferkitError:
        return
    if path is None:
        yield Looked("the ledger", [Finding("ok", "file", f"none is kept, as {found.sources['ledger']} says")])
    elif path.exists():
        ((title, findings),) = _ledger_at(str(path))
        yield Looked(title, itertools.chain(findings, check_place(path, _ELSEWHERE)))
    else:
        yield Looked(f"the ledger {path}", [*check_place(path, _ELSEWHERE)] or [_none_yet()])


_ELSEWHERE = "name another one: INFERKIT_HOME in the environment, home, or ledger"


def _none_yet() -> Finding:
    try:
        check_locks()
    except InferkitError as error:
        said, _, remedy = str(error).partition("; ")
        return Finding("wrong", "file", said, remedy)
    return Finding("open", "file", "there is none yet; the first call makes it")


def _ledger_at(path: str) -> Iterator[Looked]:
    place = configured_ledger(path)
    yield Looked(f"the ledger {place}", check_up(place, clock.time()))
