"""What a ledger could not take: kept and tried again, and at the exit left in a file beside it, for its next opener.

Entering a call twice changes nothing, since a call's id is charged once. So a file goes away only when all of it is in
the ledger, and of two that come for it, or one that is killed meanwhile, nothing is lost and nothing is doubled.
"""

from __future__ import annotations

import glob
import json
import logging
import os
import secrets
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from inferkit.core.errors import LedgerError
from inferkit.core.usage import NO_DETAILS, UsageDetails
from inferkit.ledger.journal import Attribution, Charge, Part
from inferkit.runtime.forks import renew_after_fork
from inferkit.runtime.gathering import Gathering

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["Backlog", "Unwritten", "leave", "replay"]

_log = logging.getLogger("inferkit")
_FIRST_PAUSE = 1.0
_VERSION = 1


class Unwritten(NamedTuple):
    """What was to be entered for a call at an instant: settled, recorded (without a budget) or voided."""

    step: Literal["settle", "record", "void"]
    call: str
    at: float
    charge: Charge | None = None


class Backlog:
    """Enters with `write`, which raises `LedgerError`, what the ledger at `path` could not take, as soon as it can."""

    def __init__(self, path: Path, write: Callable[[Unwritten], object]) -> None:
        self._path = path
        self._write = write
        self._gathering = Gathering(
            self._write_what_waits, name=f"the ledger {path}", seconds=_FIRST_PAUSE, keep=self._leave
        )
        self.renew()
        renew_after_fork(self)

    def add(self, one: Unwritten) -> None:
        """Enter it later. Does not wait."""
        self._waiting[one.call] = one
        self._gathering.more()

    def close(self) -> None:
        """Enter what waits now, or leave it beside the ledger."""
        if self._waiting:
            self._gathering.close()

    def renew(self) -> None:
        """Leave what waits to the parent, in a forked child."""
        self._waiting: dict[str, Unwritten] = {}

    def _write_what_waits(self) -> None:
        for one in list(self._waiting.values()):
            self._write(one)
            self._done(one)

    def _leave(self) -> None:
        waiting = list(self._waiting.values())
        if waiting:
            place = leave(self._path, waiting)
            for one in waiting:
                self._done(one)
            _log.warning(
                "the ledger %s could not take what %d calls cost; it is in %s, and is entered when the ledger is "
                "opened next",
                self._path, len(waiting), place.name,
            )  # fmt: skip

    def _done(self, one: Unwritten) -> None:
        if self._waiting.get(one.call) is one:
            del self._waiting[one.call]


def leave(path: Path, waiting: Iterable[Unwritten]) -> Path:
    """Leave this beside the ledger at `path`, in a file that only its owner may read, and that is whole or not there.

    Raises `OSError`.
    """
    text = json.dumps({"version": _VERSION, "unwritten": [_as_json(one) for one in waiting]})
    place = _place(path)
    draft = place.with_name(f".{place.name}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:  # noqa: PTH123
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(place)
    return place


def replay(path: Path, write: Callable[[Unwritten], object]) -> None:
    """Enter with `write` what processes that are gone left beside the ledger at `path`. What goes wrong is logged."""
    for found in sorted(path.parent.glob(f"{glob.escape(path.name)}.unwritten-*")):
        place = _place(path)
        try:
            found.rename(place)  # so that of those who come at the same time one does the work
        except FileNotFoundError:
            continue
        except OSError as error:
            _log.error("%s, which belongs into the ledger, cannot be moved: %s", found, error.strerror)
            continue
        try:
            for one in _read(place):
                write(one)
            place.unlink(missing_ok=True)
        except FileNotFoundError:  # another opener took it for one that its process had died over
            continue
        except LedgerError as error:
            _log.error("%s is entered in the ledger when it is opened next: %s", place, error)
        except (ValueError, TypeError, KeyError, OSError) as error:
            _log.error("%s, which belongs into the ledger, cannot be read (%s)", place, type(error).__name__)


def _place(path: Path) -> Path:
    return path.with_name(f"{path.name}.unwritten-{os.getpid()}-{secrets.token_hex(4)}")


def _as_json(one: Unwritten) -> dict[str, Any]:
    values: dict[str, Any] = one._asdict()
    if one.charge is not None:
        values["charge"] = {
            **one.charge._asdict(),
            "details": one.charge.details.as_json(),
            "parts": [{**part._asdict(), "details": part.details.as_json()} for part in one.charge.parts],
            "attribution": one.charge.attribution._asdict(),
        }
    return values


def _read(place: Path) -> list[Unwritten]:
    content = json.loads(place.read_text("ascii"))
    if content["version"] != _VERSION:
        raise ValueError(content["version"])
    return [_from_json(**values) for values in content["unwritten"]]


def _from_json(charge: dict[str, Any] | None, **values: Any) -> Unwritten:
    if charge is None:
        return Unwritten(**values)
    parts = tuple(Part(**_with_details(part)) for part in charge.pop("parts"))
    attribution = Attribution(**charge.pop("attribution"))
    return Unwritten(**values, charge=Charge(**_with_details(charge), parts=parts, attribution=attribution))


def _with_details(values: dict[str, Any]) -> dict[str, Any]:
    """Read the details, which older versions did not write."""
    details = values.get("details")
    return {**values, "details": UsageDetails.from_json(details) if details else NO_DETAILS}
