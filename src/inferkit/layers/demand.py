"""What a call asks of its budgets, worked out before anything is reserved: lines, upper bound and minimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferkit.budgets.bounds import input_tokens_bound
from inferkit.budgets.ledger import NOTHING, Amounts, Line, Refusal, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inferkit._types import Request
    from inferkit.budgets.budget import Scope, Threshold
    from inferkit.budgets.prices import Price

__all__ = ["Demand", "demand_of"]

_CALL = Amounts(calls=1)


@dataclass(frozen=True, slots=True)
class Demand:
    """`lines` are the ledger's; limits on a single call are in `wanted` already, or in `refusal` if they forbid it.

    `output` is None where neither money nor tokens are limited. `at` is in seconds since the epoch.
    """

    at: float
    scopes: tuple[Scope, ...]
    lines: tuple[Line, ...]
    wanted: Amounts
    minimum: Amounts
    prices: tuple[Price, ...] = ()
    input: int = 0
    output: int | None = None
    refusal: Refusal | None = None
    counts_money: bool = False
    counts_tokens: bool = False

    @property
    def accounts(self) -> tuple[str, ...]:
        """Who pays."""
        return tuple(dict.fromkeys(scope.account for scope in self.scopes))

    def told_of(self, line: Line, share: int) -> list[Callable[[Threshold], object]]:
        """Whom to call when a share (in thousandths) of a line was passed: each once, whoever else pays from it too."""
        found: list[Callable[[Threshold], object]] = []
        for scope in self.scopes:
            own, call = scope.line(self.at), scope.budget.on_threshold
            if own[:2] == line[:2] and share in own.warn_at and call is not None and call not in found:
                found.append(call)
        return found

    def output_within(self, amounts: Amounts) -> int | None:
        """How many output tokens the call may ask for when it holds this much; None: as many as it likes."""
        if self.output is None:
            return None
        most = min(self.output, amounts.tokens - self.input)
        for price in self.prices:
            affordable = price.affordable_output(self.input, amounts.usd)
            if affordable is not None and affordable < most:
                most = affordable
        return most


def demand_of(
    request: Request,
    quote: Callable[[Request], Sequence[Price]],
    at: float,
    *,
    default_output: int,
    min_output: int,
) -> Demand:
    """Work out what to reserve for a request with scopes. Raises what `quote` raises: `UnpricedModel`, `NoRoute`."""
    scopes: tuple[Scope, ...] = request.scopes
    counts_money = any(scope.budget.usd is not None for scope in scopes)
    counts_tokens = any(scope.budget.tokens is not None for scope in scopes)
    if not counts_money and not counts_tokens:
        return Demand(at, scopes, _lines(scopes, at), _CALL, _CALL)
    prices = tuple(quote(request)) if counts_money else ()
    size = input_tokens_bound(request)
    output = default_output if request.max_output_tokens is None else request.max_output_tokens
    wanted = _bound(prices, size, output)
    minimum = _bound(prices, size, min(output, min_output))
    refusal = None
    for scope in scopes:
        if scope.budget.per == "call":
            line = scope.line(at)
            refusal = refusal or _refusal(line, minimum)
            wanted = Amounts(_at_most(wanted.usd, line.usd), _at_most(wanted.tokens, line.tokens), 1)
    lines = _lines(scopes, at)
    return Demand(at, scopes, lines, wanted, minimum, prices, size, output, refusal, counts_money, counts_tokens)


def _bound(prices: tuple[Price, ...], size: int, output: int) -> Amounts:
    return Amounts(max((price.upper_bound(size, output) for price in prices), default=0), size + output, 1)


def _lines(scopes: tuple[Scope, ...], at: float) -> tuple[Line, ...]:
    """Give one line an account and window: budgets that share an account are one payer, held to the lowest limit."""
    lines: dict[tuple[str, str], Line] = {}
    for scope in scopes:
        if scope.budget.per == "call":
            continue
        line = scope.line(at)
        known = lines.get((line.account, line.window))
        lines[line.account, line.window] = line if known is None else _merged(known, line)
    return tuple(lines.values())


def _merged(one: Line, other: Line) -> Line:
    """Give the line of a payer that two budgets name: of each unit the lowest limit, grace and rest to carry over."""
    limits: list[int | None] = []
    grace, carry = [], []
    for unit in range(3):
        limiting = [(limit, line) for line in (one, other) if (limit := line[2:5][unit]) is not None]
        limits.append(min((limit for limit, _ in limiting), default=None))
        grace.append(min((line.grace[unit] for _, line in limiting), default=0))
        carry.append(min(((line.carry or NOTHING)[unit] for _, line in limiting), default=0))
    usd, tokens, calls = limits
    return Line(
        one.account,
        one.window,
        usd,
        tokens,
        calls,
        Amounts(*grace),
        one.since,
        one.previous or other.previous,
        Amounts(*carry) if one.carry or other.carry else None,
        tuple(sorted({*one.warn_at, *other.warn_at})),
    )


def _at_most(wanted: int, limit: int | None) -> int:
    return wanted if limit is None else min(wanted, limit)


def _refusal(line: Line, minimum: Amounts) -> Refusal | None:
    checks: tuple[tuple[Unit, int | None, int], ...] = (
        ("usd", line.usd, minimum.usd),
        ("tokens", line.tokens, minimum.tokens),
    )
    for unit, limit, least in checks:
        if limit is not None and limit < least:
            return Refusal(line, unit, limit, 0, 0)
    return None
