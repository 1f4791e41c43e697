"""A file beside the ledger for what a process could not enter in it: it outlives the process, however that ends.

The room for it is set aside while there is some, since a disk that is full for the ledger is full for it too. Its
process holds a lock on it, which goes with the process: what is not locked is for whoever comes by first. Entering a
call twice changes nothing, so a file goes away only when all of it is in the ledger.

The file is lines of JSON, up to the first zero byte. A line without an end was never kept.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import json
import logging
import os
import secrets
import sys
import threading
from typing import IO, TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError, LedgerError
from inferkit.core.usage import NO_DETAILS, UsageDetails
from inferkit.ledger.journal import Attribution, Charge, Part
from inferkit.ledger.unwritten import Unwritten
from inferkit.runtime.dropped import when_dropped
from inferkit.runtime.forks import renew_after_fork
from inferkit.runtime.posix import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

__all__ = ["Left", "Spill", "check_locks", "left_beside", "replay"]

_log = logging.getLogger("inferkit")
_ROOM = 64 * 1024  # bytes: some eighty calls
_VERSION = 1
_to_disk = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class Left(list[Unwritten]):
    """What a file holds. `in_use` says that its process lives, `unreadable` are the lines that mean nothing."""

    def __init__(self, place: Path, *, in_use: bool, unreadable: Iterable[bytes]) -> None:
        super().__init__()
        self.place = place
        self.in_use = in_use
        self.unreadable = list(unreadable)


class Spill:
    """The file of this process beside the ledger at `path`, which only its owner may read. Safe in any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._end = 0
        self._closes_when_dropped: object = None
        self._lock = threading.RLock()
        renew_after_fork(self)

    def prepare(self) -> None:
        """Make the file, and set room aside in it, if that can be done."""
        with self._lock, contextlib.suppress(OSError):
            self._opened()

    def keep(self, one: Unwritten) -> bool:
        """Write it down; False where that cannot be done. Does not wait for the disk."""
        line = _line(one)
        with self._lock:
            try:
                if os.pwrite(self._opened().fileno(), line, self._end) != len(line):
                    return False  # a line without an end does not count
            except OSError as error:
                _log.debug("nothing could be left beside the ledger %s: %s", self._path, error)
                return False
            self._end += len(line)
            return True

    def clear(self) -> None:
        """Take everything out again; the room stays."""
        with self._lock:
            if self._end and self._file is not None:
                number = self._file.fileno()
                if self._end > _ROOM:
                    os.ftruncate(number, _ROOM)
                os.pwrite(number, bytes(min(self._end, _ROOM)), 0)
            self._end = 0

    def sync(self) -> None:
        """Wait until what was written down is on the disk. Raises `OSError`."""
        with self._lock:
            if self._end and self._file is not None:
                _to_disk(self._file.fileno())

    def close(self) -> Path | None:
        """Give the file up. It stays, and is the answer, if there is something in it."""
        with self._lock:
            file, self._file, end = self._file, None, self._end
            self._end = 0
            if file is None:
                return None
            _give_up(file, self._place)
            self._closes_when_dropped = None
            return self._place if end else None

    def renew(self) -> None:
        """Leave the file to the parent, in a forked child."""
        self._lock = threading.RLock()
        self._end = 0
        if self._file is not None:
            self._file.close()  # or the parent's lock would outlive the parent
            self._file = None

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            file, self._place = _create(self._path)
            self._closes_when_dropped = when_dropped(functools.partial(_give_up, file, self._place))
            self._file = file
            with contextlib.suppress(OSError, AttributeError):  # no room, or macOS, which cannot set any aside
                os.posix_fallocate(file.fileno(), 0, _ROOM)
        return self._file


def check_locks() -> None:
    """Raise `ConfigurationError` where files cannot be locked as the files beside a ledger are."""
    if fcntl is None:
        raise ConfigurationError(
            f"the ledger's file needs the file locks of POSIX, which {sys.platform} does not have; pass ledger=False, "
            "which leaves budgets and plans out, or Ledger(store) with a store of your own"
        )


def replay(path: Path, write: Callable[[Unwritten], object]) -> int:
    """Enter with `write` what processes that are gone left beside the ledger at `path`; give how many calls it was.

    What goes wrong is logged.
    """
    entered = 0
    for place in _places(path):
        try:
            with place.open("r+b", buffering=0) as file:
                if _take(file, place):
                    entered += _enter(file, place, write)
        except FileNotFoundError:
            continue
        except LedgerError as error:
            _log.error("%s is entered in the ledger when it is opened next: %s", place, error)
        except OSError as error:
            _log.error("%s, which belongs into the ledger, cannot be read: %s", place, error.strerror)
    return entered


def left_beside(path: Path) -> Iterator[Left]:
    """Look at what is left beside the ledger at `path`, and leave it. Raises `OSError`."""
    for place in _places(path):
        with contextlib.suppress(FileNotFoundError), place.open("rb", buffering=0) as file:
            free = _take(file, place, shared=True)
            found, unreadable = _read(file)
            left = Left(place, in_use=not free, unreadable=unreadable)
            left.extend(found)
            yield left


def _places(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{glob.escape(path.name)}.unwritten-*"))


def _create(path: Path) -> tuple[IO[bytes], Path]:
    while True:
        place = path.with_name(f"{path.name}.unwritten-{os.getpid()}-{secrets.token_hex(4)}")
        file = open(os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "r+b", buffering=0)  # noqa: PTH123, SIM115
        fcntl.flock(file, fcntl.LOCK_EX)
        if _is_at(file, place):  # it was not, if somebody took it for one that was left
            return file, place
        file.close()


def _take(file: IO[bytes], place: Path, *, shared: bool = False) -> bool:
    """Lock a file, unless its process lives or somebody else is at it."""
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return _is_at(file, place)


def _is_at(file: IO[bytes], place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), place.stat())
    except FileNotFoundError:
        return False


def _give_up(file: IO[bytes], place: Path) -> None:
    if file.closed:
        return
    try:
        if os.pread(file.fileno(), 1, 0) in (b"", b"\0") and _is_at(file, place):
            place.unlink(missing_ok=True)
        else:
            _to_disk(file.fileno())
    except OSError as error:
        _log.debug("%s: %s", place, error)
    finally:
        file.close()


def _enter(file: IO[bytes], place: Path, write: Callable[[Unwritten], object]) -> int:
    found, unreadable = _read(file)
    for one in found:
        write(one)
    if not unreadable:
        place.unlink(missing_ok=True)
        return len(found)
    _log.error("%s, which belongs into the ledger, cannot be read; move it away to hear no more of it", place)
    if found:  # what is in the ledger now must not be entered again when the ledger has forgotten it
        rest = b"".join(line + b"\n" for line in unreadable)
        os.pwrite(file.fileno(), rest, 0)
        os.ftruncate(file.fileno(), len(rest))
    return len(found)


def _read(file: IO[bytes]) -> tuple[list[Unwritten], list[bytes]]:
    """Give what a file holds, and the lines that mean nothing."""
    lines = file.read().split(b"\0", 1)[0].split(b"\n")[:-1]
    found, unreadable = [], []
    for line in lines:
        try:
            found.append(_from_line(line))
        except (ValueError, TypeError, KeyError, AttributeError):
            unreadable.append(line)
    return found, unreadable


def _line(one: Unwritten) -> bytes:
    values: dict[str, Any] = {"version": _VERSION, **one._asdict()}
    if one.charge is not None:
        values["charge"] = {
            **one.charge._asdict(),
            "details": one.charge.details.as_json(),
            "parts": [{**part._asdict(), "details": part.details.as_json()} for part in one.charge.parts],
            "attribution": one.charge.attribution._asdict(),
        }
    return json.dumps(values).encode("ascii") + b"\n"


def _from_line(line: bytes) -> Unwritten:
    values = json.loads(line)
    if values.pop("version") != _VERSION:
        raise ValueError(line)
    return _from_json(**values)


def _from_json(charge: dict[str, Any] | None, **values: Any) -> Unwritten:
    if charge is None:
        return Unwritten(**values)
    parts = tuple(Part(**_with_details(part)) for part in charge.pop("parts"))
    attribution = Attribution(**charge.pop("attribution"))
    return Unwritten(**values, charge=Charge(**_with_details(charge), parts=parts, attribution=attribution))


def _with_details(values: dict[str, Any]) -> dict[str, Any]:
    details = values.get("details")
    return {**values, "details": UsageDetails.from_json(details) if details else NO_DETAILS}
