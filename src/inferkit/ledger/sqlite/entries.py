"""The journal's entries as rows."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from inferkit.core.usage import NO_DETAILS, UsageDetails
from inferkit.ledger.journal import Attribution, Charge, Entry, Part
from inferkit.ledger.sqlite.soundness import NUMBER, PERHAPS_TEXT, TEXT, TIME, sound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "COLUMNS", "NO_ACCOUNTS", "accounts_json", "accounts_of", "as_entry", "cell_number", "page", "part_as_json",
]  # fmt: skip

NO_ACCOUNTS = "[]"
COLUMNS = (
    "call, kind, at, calls, usd, provider, model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, "
    "reasoning_tokens, attempts, estimated, outcome, finish_reason, asked, degraded, prompt_cache_saved, "
    "routing_saved, overrun, parts, user, tenant, feature, plan, accounts, details"
)
_FIRST, _CHARGE = 5, 17  # how many columns lead to calls, and to overrun
_FLAGS = tuple(Charge._fields.index(name) for name in ("estimated", "degraded"))


def page(conditions: Sequence[str]) -> str:
    """Give the query for so many entries that fulfil conditions and are later than an id."""
    where = " AND ".join([*conditions, "id > ?"])
    return f"SELECT id, {COLUMNS} FROM entries WHERE {where} ORDER BY id LIMIT ?"  # noqa: S608 - no value is in it


def _as_entry(row: Sequence[Any]) -> Entry:
    _, call, kind, at, calls = row[:_FIRST]
    *fields, parts = row[_FIRST : _FIRST + _CHARGE + 1]
    *attribution, accounts, details = row[_FIRST + _CHARGE + 1 :]
    for flag in _FLAGS:
        fields[flag] = bool(fields[flag])
    charge = Charge._make((*fields, _parts(parts), Attribution._make(attribution), _details(details)))
    return Entry(call, kind, at, calls, charge, accounts_of(accounts))


def _details(text: str | None) -> UsageDetails:
    return NO_DETAILS if text is None else UsageDetails.from_json(json.loads(text))


def part_as_json(part: Part) -> list[Any]:
    """Write an attempt; details that it does not have are left out, as all were once."""
    *fields, details = part
    return fields if details is NO_DETAILS else [*fields, details.as_json()]


def _parts(text: str | None) -> tuple[Part, ...]:
    return () if text is None else tuple([_part(fields) for fields in json.loads(text)])


def _part(fields: list[Any]) -> Part:
    if len(fields) == len(Part._fields):
        fields[-1] = UsageDetails.from_json(fields[-1])
    return Part(*fields)


def _types() -> Iterator[tuple[type, ...]]:
    """Give the types of a row's columns."""
    yield from (NUMBER, TEXT, TEXT, TIME, NUMBER)
    hints = get_type_hints(Charge)
    for name in Charge._fields[:-3]:
        yield tuple(int if each is bool else each for each in get_args(hints[name]) or (hints[name],))
    yield from [PERHAPS_TEXT] * (1 + len(Attribution._fields))
    yield from (TEXT, PERHAPS_TEXT)


as_entry = sound(_as_entry, *_types())
"""Read a row."""


@functools.lru_cache(maxsize=1024)
def accounts_of(text: str) -> tuple[tuple[str, str], ...]:
    """Read that back."""
    return tuple((account, window) for account, window in json.loads(text))


@functools.lru_cache(maxsize=1024)
def accounts_json(accounts: tuple[tuple[str, str], ...]) -> str:
    """Write them."""
    return json.dumps(accounts)


@functools.lru_cache(maxsize=4096)
def cell_number(*facts: object) -> int:
    """Give 64 bits of a hash: of ten million cells, two are the same with a chance of one in 400,000."""
    return int.from_bytes(hashlib.blake2b(repr(facts).encode(), digest_size=8).digest(), signed=True)
