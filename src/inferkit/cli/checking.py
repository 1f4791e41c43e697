"""What `inferkit doctor` finds of everything but ledgers: each thing that was looked at, and what to do about it."""

from __future__ import annotations

import os
import re
import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING

from inferkit.cli.models.naming import bytes_of
from inferkit.cli.reaching import reach
from inferkit.client.configuration.environment import unknown_variables
from inferkit.core.errors import ConfigurationError, ConfigurationFileError, InferkitError
from inferkit.ledger.sqlite.finding import Finding
from inferkit.telemetry.environment import asked_exporters, is_switched_off

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from inferkit.cli.candidates import ConfiguredModel
    from inferkit.cli.reaching import Reached
    from inferkit.client.configuration.configuration import Configuration
    from inferkit.telemetry.environment import AskedExporter

__all__ = ["check_cache", "check_clock", "check_configuration", "check_models", "check_place", "check_traces"]

_OFF_BY, _FAR_OFF_BY = 5.0, 60.0  # seconds
_COLLECTOR = "http://localhost:4318"
_PLACE = re.compile(r"(?P<file>.*?):(?P<line>\d+):(?P<column>\d+): (?P<said>.*)", re.DOTALL)
_READ_BY_OTHERS = 0o077
_LITTLE_ROOM = 2**20  # bytes, in which a few hundred calls could be entered


def check_configuration(found: Configuration | None, error: InferkitError | None) -> Iterator[Finding]:
    """Say where each setting comes from, or what is wrong."""
    if found is not None:
        if not found.sources:
            yield Finding("ok", "settings", "nothing is configured, and the defaults hold")
        for name, source in sorted(found.sources.items()):
            yield Finding("ok", name, f"from {source}")
        try:
            found.settings()
        except InferkitError as wrong:
            error = wrong
    if error is not None:
        yield from _mistakes(error)
    for name, meant in unknown_variables().items():
        yield Finding("open", name, "nothing reads it", f"did you mean {meant}?" if meant else "take it away")


def _mistakes(error: InferkitError) -> Iterator[Finding]:
    if not isinstance(error, ConfigurationFileError):
        yield Finding("wrong", "settings", str(error), "correct it")
        return
    for line in str(error).split("\n"):
        place = _PLACE.fullmatch(line)
        if place is None:
            yield Finding("wrong", error.file, line)
        else:
            where = f"{place['file']}:{place['line']}:{place['column']}"
            yield Finding("wrong", where, place["said"], "correct the file")


def check_models(models: Sequence[ConfiguredModel], reached: Mapping[str, Reached]) -> Iterator[Finding]:
    """Say of each model whether it can be called, as far as that is known without calling it."""
    for each in models:
        about = each.name if each.names == [each.name] else f"{each.name} ({', '.join(each.names)})"
        if each.problem is not None:
            yield Finding("wrong", about, each.problem)
        server = reached.get(each.address or "")
        if server is None:
            if each.problem is None:
                yield Finding("ok", about, _key(each) if each.address is not None else "it can run here")
        elif server.status is None:
            remedy = "start it, or correct base_url" if _is_here(each.address) else "see to the network, or a proxy"
            yield Finding("wrong", about, f"{each.address} does not answer: {server.error}", remedy)
        elif each.problem is None:
            yield Finding("ok", about, f"{_key(each)}; {each.address} answers in {server.seconds:.2f} s")
        if each.price is None and not each.is_local and each.problem is None:
            remedy = f'state one, where budgets count money: [prices."{each.name}"] with input and output'
            yield Finding("open", about, "its price is not known", remedy)


def _key(each: ConfiguredModel) -> str:
    variable = (each.key_variable or "").replace("|", " or ")
    return {
        "there": f"its key is there ({variable})" if variable else "its key is there",
        "not needed": "it needs no key",
        "elsewhere": "its key is found by the library of its cloud, at the first call",
        "missing": f"its key is missing ({variable})",
    }[each.key]


def _is_here(address: str | None) -> bool:
    return address is not None and any(f"//{host}" in address for host in ("localhost", "127.", "[::1]"))


def check_clock(reached: Mapping[str, Reached]) -> Iterator[Finding]:
    """Compare this machine's clock with those of the servers that told theirs: the closest of them is believed."""
    known = {address: each.ahead for address, each in reached.items() if each.ahead is not None}
    if not known:
        yield Finding("ok", "time", "not compared: no server was asked, or none tells the time")
        return
    address = min(known, key=lambda address: abs(known[address]))
    ahead = known[address]
    off = f"{abs(ahead):.0f} seconds {'ahead of' if ahead > 0 else 'behind'} {address}"
    if abs(ahead) <= _OFF_BY:
        yield Finding("ok", "time", f"within {_OFF_BY:g} seconds of {address}")
        return
    remedy = "have it set by NTP: budgets begin and end by it, and signed requests are refused"
    yield Finding("wrong" if abs(ahead) > _FAR_OFF_BY else "open", "time", off, remedy)


def check_place(path: Path, remedy: str) -> Iterator[Finding]:
    """Look whether what is at `path`, or is to be, can be written. `remedy` is what to do where it cannot."""
    folder = next(each for each in path.absolute().parents if os.access(each, os.F_OK))
    if os.access(path, os.F_OK) and not os.access(path, os.W_OK):
        yield Finding("wrong", "place", "this program may read it alone", remedy)
    elif not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield Finding("wrong", "place", f"this program may not write to {folder}", remedy)
    elif (left := shutil.disk_usage(folder).free) < _LITTLE_ROOM:
        yield Finding("wrong", "place", f"{bytes_of(left)} are left on its disk", f"make room, or {remedy}")


def check_cache(found: Configuration) -> Iterator[Finding]:
    """Look at the folder of cached replies."""
    folder = found.cache
    if folder is None:
        yield Finding("ok", "folder", f"no replies are kept on disk, as {found.sources['cache']} says")
        return
    if not folder.exists():
        none = Finding("ok", "folder", "there is none yet; the first reply that is kept makes it")
        yield from [*check_place(folder, "name another one as home")] or [none]
        return
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("wrong", "folder", "this program may not write there", "name another one as home")
        return
    size = sum(_size(folder / name) for name in os.listdir(folder))  # noqa: PTH208 - names are enough
    yield Finding("ok", "folder", f"{bytes_of(size)} of replies")
    if os.name == "posix" and folder.stat().st_mode & _READ_BY_OTHERS and (folder / "cache.db").exists():
        yield Finding("open", "folder", "others may read it, and replies are in it as they are", f"chmod go= {folder}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def check_traces(*, offline: bool) -> Iterator[Finding]:
    """Say where spans go, as far as the environment says it; the application may send them elsewhere."""
    if is_switched_off():
        yield Finding("ok", "exporter", "none: OTEL_SDK_DISABLED switches OpenTelemetry off")
        return
    asked = asked_exporters()
    if not asked:
        installed = all(find_spec(f"opentelemetry.exporter{each}") is not None for each in ("", ".otlp"))
        if installed and not offline and reach([_COLLECTOR])[_COLLECTOR].status is not None:
            remedy = "inferkit.telemetry.export_to_jaeger() sends spans there"
            yield Finding("ok", "exporter", f"a collector answers at {_COLLECTOR}", remedy)
        else:
            said = "none is set up by the environment; spans go where the application sends them"
            yield Finding("ok", "exporter", said)
    for each in asked:
        yield from _check_exporter(each, offline=offline)


def _check_exporter(asked: AskedExporter, *, offline: bool) -> Iterator[Finding]:
    try:
        asked.make().shutdown()
    except ConfigurationError as error:
        said, _, remedy = str(error).partition(": ")
        yield Finding("wrong", "exporter", said, remedy)
    if asked.endpoint is None:
        return
    if offline:
        yield Finding("ok", "exporter", f"{asked.variable} names a collector")
        return
    answer = reach([asked.endpoint])[asked.endpoint]
    if answer.status is None:
        said = f"the collector that {asked.variable} names does not answer: {answer.error}"
        yield Finding("wrong", "exporter", said, "start it")
    else:
        yield Finding("ok", "exporter", f"the collector that {asked.variable} names answers in {answer.seconds:.2f} s")
