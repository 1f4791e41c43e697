"""What a file says of prices, as a pydantic model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from inferkit.core.errors import ConfigurationError
from inferkit.plans.models import Exact, FileTable, TableError, blamed, optional
from inferkit.pricing.prices import Price

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PriceTable", "price_from"]

_A_MILLION = 'is an amount of dollars per million tokens: 1.25 or "1.25"'
_WAYS = "is a table of prices by the provider's word: service_tiers.priority = { input = 2.5, output = 15 }"
_OTHERS = {"above": "above", "service_tiers": "for", "speeds": "for", "regions": "for", "changes": "from"}


class PriceTable(FileTable):
    """A `Price`. Those above a number of tokens and from a date on are tables in it."""

    input: Exact = Field(description=_A_MILLION)
    output: Exact = Field(description=_A_MILLION)
    cache_read: Annotated[Exact, optional(_A_MILLION)]
    cache_write: Annotated[Exact, optional(_A_MILLION)]
    reasoning: Annotated[Exact, optional(_A_MILLION)]
    request: Annotated[Exact, optional('is an amount of dollars per request: 0.01 or "0.01"')]
    cache_write_1h: Annotated[Exact, optional(_A_MILLION)]
    cache_write_12h: Annotated[Exact, optional(_A_MILLION)]
    input_audio: Annotated[Exact, optional(_A_MILLION)]
    input_image: Annotated[Exact, optional(_A_MILLION)]
    cache_read_audio: Annotated[Exact, optional(_A_MILLION)]
    cache_read_image: Annotated[Exact, optional(_A_MILLION)]
    output_audio: Annotated[Exact, optional(_A_MILLION)]
    output_image: Annotated[Exact, optional(_A_MILLION)]
    server_tools: Annotated[
        dict[str, Exact], optional("is a table of dollars per request: server_tools.web_search = 0.01")
    ]
    context_window: Annotated[int, optional("is a whole number of tokens")]
    service_tiers: Annotated[dict[str, dict[str, Any]], optional(_WAYS)]
    speeds: Annotated[dict[str, dict[str, Any]], optional(_WAYS)]
    regions: Annotated[dict[str, dict[str, Any]], optional(_WAYS)]
    above: Annotated[
        dict[str, dict[str, Any]], optional("is a table of prices: above.200_000 = { input = 2.5, output = 15 }")
    ]
    changes: Annotated[
        dict[str, dict[str, Any]], optional("is a table of prices: changes.2027-01-01 = { input = 1, output = 8 }")
    ]


def price_from(table: Mapping[str, Any], what: str, source: str = "stated") -> Price:
    """Make a price of what a file says; `what` names it in the message of a `TableError`."""
    fields = PriceTable.of(table, what).given()
    for name, others in _OTHERS.items():
        if name in fields:
            within = {
                word: _within(each, f"{what} {others} {word}", source, name, word)
                for word, each in fields[name].items()
            }
            is_above = name == "above"
            fields[name] = {_tokens(word, what) if is_above else word: price for word, price in within.items()}
    try:
        return Price(**fields, source=source)
    except ConfigurationError as error:
        raise TableError(f"{what}: {error}", blamed(str(error), table)) from error


def _within(table: Mapping[str, Any], what: str, source: str, *path: str) -> Price:
    try:
        return price_from(table, what, source)
    except TableError as error:
        raise TableError(str(error), (*path, *error.field)) from error


def _tokens(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        said = f'{what} is another above a number of tokens, such as 200_000; got "{text}"'
        raise TableError(said, ("above", text)) from None
