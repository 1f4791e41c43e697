"""The journal's entries as rows."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from inferkit.ledger.journal import Attribution, Charge, Entry, Part

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = ["COLUMNS", "NO_ACCOUNTS", "accounts_of", "as_entry", "page"]

NO_ACCOUNTS = "[]"
COLUMNS = (
    "call, kind, at, calls, usd, provider, model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, "
    "reasoning_tokens, attempts, estimated, outcome, finish_reason, asked, degraded, prompt_cache_saved, "
    "routing_saved, parts, user, tenant, feature, plan, accounts"
)
_FIRST, _CHARGE = 5, 16  # how many columns lead to calls, and to routing_saved
_FLAGS = tuple(Charge._fields.index(name) for name in ("estimated", "degraded"))


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


@functools.lru_cache(maxsize=1024)
def accounts_of(text: str) -> tuple[tuple[str, str], ...]:
    """Read that back."""
    return tuple((account, window) for account, window in json.loads(text))
