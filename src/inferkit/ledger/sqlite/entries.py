"""The journal's entries as rows."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import TYPE_CHECKING, Any

from inferkit.ledger.journal import Attribution, Charge, Entry, EntryKind, Part

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from inferkit.ledger.amounts import Line

__all__ = ["COLUMNS", "NO_ACCOUNTS", "accounts_of", "accounts_text", "as_entry", "cell_of", "enter", "page"]

NO_ACCOUNTS = "[]"
COLUMNS = (
    "call, kind, at, calls, usd, provider, model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, "
    "reasoning_tokens, attempts, estimated, outcome, finish_reason, asked, degraded, prompt_cache_saved, "
    "routing_saved, parts, user, tenant, feature, plan, accounts"
)
_ENTER = f"INSERT INTO entries ({COLUMNS}, cell) VALUES ({', '.join('?' * 27)})"  # noqa: S608 - columns alone
_LARGE = 2**40  # a thousand dollars for one call
_FIRST, _CHARGE = 5, 16  # how many columns lead to calls, and to routing_saved
_FLAGS = tuple(Charge._fields.index(name) for name in ("estimated", "degraded"))


def enter(
    cursor: sqlite3.Cursor,
    call: str,
    kind: EntryKind,
    at: float,
    *,
    calls: int,
    charge: Charge,
    accounts: str = NO_ACCOUNTS,
) -> None:
    """Write an entry."""
    parts, attribution = charge[-2:]
    row = (
        call, kind, at, calls, *charge[:-2], json.dumps(parts) if parts else None, *attribution, accounts,
        cell_of(kind, charge),
    )  # fmt: skip
    cursor.execute(_ENTER, row)


def cell_of(kind: EntryKind, charge: Charge) -> int | None:
    """Give the number of what a call has in common with others, so that they are added up by one comparison each.

    None for one that a report has to look at by itself: of several attempts, whose lease ran out, or so large that
    eight million of its like could not be added up in 64 bits.
    """
    if kind != "settled" or charge.parts or not _within(charge):
        return None
    return _number(
        charge.attribution, charge.provider, charge.model, charge.outcome, charge.finish_reason, charge.usd is None,
        charge.estimated, charge.degraded, charge.prompt_cache_saved != 0, charge.routing_saved != 0,
    )  # fmt: skip


def _within(charge: Charge) -> bool:
    return (
        -_LARGE < (charge.usd or 0) < _LARGE
        and charge.input_tokens < _LARGE
        and charge.output_tokens < _LARGE
        and -_LARGE < charge.prompt_cache_saved < _LARGE
        and -_LARGE < charge.routing_saved < _LARGE
    )


@functools.lru_cache(maxsize=4096)
def _number(*facts: object) -> int:
    """Give 64 bits of a hash: of ten million cells, two are the same with a chance of one in 400,000."""
    return int.from_bytes(hashlib.blake2b(repr(facts).encode(), digest_size=8).digest(), signed=True)


def page(conditions: Sequence[str]) -> str:
    """Give the query for so many entries that fulfil conditions and are later than an id."""
    where = " AND ".join([*conditions, "id > ?"])
    return f"SELECT id, {COLUMNS} FROM entries WHERE {where} ORDER BY id LIMIT ?"  # noqa: S608 - no value is in it


def as_entry(row: Sequence[Any]) -> Entry:
    """Read a row."""
    _, call, kind, at, calls = row[:_FIRST]
    *fields, parts = row[_FIRST : _FIRST + _CHARGE + 1]
    *attribution, accounts = row[_FIRST + _CHARGE + 1 :]
    for flag in _FLAGS:
        fields[flag] = bool(fields[flag])
    charge = Charge._make((*fields, _parts(parts), Attribution._make(attribution)))
    return Entry(call, kind, at, calls, charge, accounts_of(accounts))


def _parts(text: str | None) -> tuple[Part, ...]:
    return () if text is None else tuple(Part(*fields) for fields in json.loads(text))


def accounts_text(lines: Sequence[Line]) -> str:
    """Write down which accounts and windows a call is charged to."""
    return _json(tuple([line[:2] for line in lines]))


@functools.lru_cache(maxsize=1024)
def _json(accounts: tuple[tuple[str, str], ...]) -> str:
    return json.dumps(accounts)


@functools.lru_cache(maxsize=1024)
def accounts_of(text: str) -> tuple[tuple[str, str], ...]:
    """Read that back."""
    return tuple((account, window) for account, window in json.loads(text))
