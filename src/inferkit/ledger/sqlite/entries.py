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
    "COLUMNS", "NO_ACCOUNTS", "WITHOUT_ACCOUNTS", "accounts_json", "accounts_of", "as_entry",
    "cell_number", "details_of", "page", "part_as_json",
]  # fmt: skip

NO_ACCOUNTS = "[]"
COLUMNS = (
    "call, kind, at, calls, usd, provider, model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, "
    "reasoning_tokens, attempts, estimated, outcome, finish_reason, asked, degraded, prompt_cache_saved, "
    "routing_saved, overrun, parts, user, tenant, feature, plan, accounts, details"
)
WITHOUT_ACCOUNTS = COLUMNS.replace(" accounts,", f" '{NO_ACCOUNTS}',")
"""For those who do not ask which accounts a call was charged to: a report of many calls."""


def page(conditions: Sequence[str], index: str = "") -> str:
    """Give the query for so many entries that fulfil conditions and are later than an id."""
    where = " AND ".join([*conditions, "id > ?"])
    return f"SELECT id, {COLUMNS} FROM entries {index} WHERE {where} ORDER BY id LIMIT ?"  # noqa: S608 - no value is in it


def _as_entry(row: Sequence[Any]) -> Entry:
    (
        _, call, kind, at, calls, usd, provider, model, input_tokens, output_tokens, cache_read, cache_write, reasoning,
        attempts, estimated, outcome, finish_reason, asked, degraded, prompt_cache_saved, routing_saved, overrun, parts,
        user, tenant, feature, plan, accounts, details,
    ) = row  # fmt: skip
    charge = Charge(
        usd, provider, model, input_tokens, output_tokens, cache_read, cache_write, reasoning, attempts,
        bool(estimated), outcome, finish_reason, asked, bool(degraded), prompt_cache_saved, routing_saved, overrun,
        () if parts is None else _parts(parts), Attribution(user, tenant, feature, plan),
        NO_DETAILS if details is None else details_of(details),
    )  # fmt: skip
    return Entry(call, kind, at, calls, charge, () if accounts == NO_ACCOUNTS else accounts_of(accounts))


def details_of(text: str) -> UsageDetails:
    """Read the details of a usage."""
    return UsageDetails.from_json(json.loads(text))


def part_as_json(part: Part) -> list[Any]:
    """Write an attempt; details that it does not have are left out, as all were once."""
    *fields, details = part
    return fields if details is NO_DETAILS else [*fields, details.as_json()]


def _parts(text: str) -> tuple[Part, ...]:
    return tuple([_part(fields) for fields in json.loads(text)])


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
