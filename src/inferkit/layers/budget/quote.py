"""What a call asks of its budgets, worked out before anything is reserved: lines, upper bound and minimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferkit.core.errors import ConfigurationError
from inferkit.core.request import MOST_OUTPUT_TOKENS
from inferkit.layers.budget.degrade import NO_DEGRADING, Degrading
from inferkit.ledger.amounts import NOTHING, Amounts, Line, Refusal, Unit
from inferkit.pricing.terms import PLAIN, Terms, terms_under_budget
from inferkit.pricing.tokens import input_tokens_bound, is_plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.budgets.budget import Threshold
    from inferkit.budgets.scope import Scope
    from inferkit.core.request import Request
    from inferkit.pricing.estimates import LearnedEstimates
    from inferkit.pricing.habits import Model
    from inferkit.pricing.price_book import PriceBook
    from inferkit.pricing.prices import Price

__all__ = ["Quote", "input_of", "quote_of"]

_CALL = Amounts(calls=1)


@dataclass(frozen=True, slots=True)
class Quote:
    """`lines` are the ledger's; limits on a single call are in `wanted` already, or in `refusal` if they forbid it.

    The candidate that goes first is `model`, at its `price`. `input` is the most that the request may come to there,
    `output` the most that it may write if the budgets buy that (None where neither money nor tokens are limited), and
    `least` what is too little to be of use. `at` is in seconds since the epoch. `whole` is true where a budget would
    rather take the call to a smaller model than lower the output that the caller stated; the lines of such budgets come
    first. `terms` are those on which the request asks to be served. `strict` says that `input` is the strict bound,
    since nothing else was asked for.
    """

    at: float
    scopes: tuple[Scope, ...]
    lines: tuple[Line, ...]
    wanted: Amounts
    minimum: Amounts
    model: Model | None = None
    price: Price | None = None
    input: int = 0
    output: int | None = None
    least: int = 0
    refusal: Refusal | None = None
    counts_money: bool = False
    counts_tokens: bool = False
    degrading: Degrading = NO_DEGRADING
    whole: bool = False
    terms: Terms = PLAIN
    strict: bool = False

    @property
    def accounts(self) -> tuple[str, ...]:
        """Who pays."""
        return tuple(dict.fromkeys([scope.account for scope in self.scopes]))

    def told_of(self, line: Line, share: int) -> list[Callable[[Threshold], object]]:
        """Whom to call when a share (in thousandths) of a line was passed: each once, whoever else pays from it too."""
        found: list[Callable[[Threshold], object]] = []
        for scope in self.scopes:
            own, call = scope.line(self.at), scope.budget.on_threshold
            if own[:2] == line[:2] and share in own.warn_at and call is not None and call not in found:
                found.append(call)
        return found

    @property
    def warns(self) -> bool:
        """Whether a budget wants to tell of shares of its limit."""
        return bool([scope for scope in self.scopes if scope.budget.warn_at])

    @property
    def watched(self) -> tuple[Line, ...]:
        """The lines with all their limits, also those that the call was not held to."""
        return _lines(self.scopes, self.at, NO_DEGRADING) if self.degrading.done else self.lines

    def refuser(self, refusal: Refusal) -> Scope | None:
        """Give the scope that refused, if it may take the call to a smaller model."""
        return self.degrading.refuser(self.scopes, self.at, refusal)

    def output_within(self, amounts: Amounts) -> int | None:
        """How many output tokens the call may ask for when it holds this much; None: as many as it likes."""
        if self.output is None:
            return None
        most = min(self.output, amounts.tokens - self.input)
        affordable = None if self.price is None else self.price.affordable_output(self.input, amounts.usd)
        return most if affordable is None else min(most, affordable)


def quote_of(
    request: Request,
    book: PriceBook,
    at: float,
    *,
    default_output: int,
    min_output: int,
    degrading: Degrading = NO_DEGRADING,
    learned: LearnedEstimates | None = None,
) -> Quote:
    """Work out what to reserve for a request with scopes and candidates, of which the first is asked first.

    Raises `UnpricedModel` where `book` lacks one of its candidates, and `ConfigurationError` for what may cost
    more than can be held for it.
    """
    scopes: tuple[Scope, ...] = request.scopes
    counts_money = counts_tokens = False
    for scope in scopes:
        counts_money = counts_money or scope.budget.usd is not None
        counts_tokens = counts_tokens or (scope.budget.tokens is not None and scope not in degrading.done)
    if not counts_money and not counts_tokens:
        return Quote(at, scopes, _lines(scopes, at, degrading), _CALL, _CALL, degrading=degrading)
    asking = [each for each in request.candidates if ":" in each.model]  # perhaps for something by their ending
    terms = terms_under_budget(request) if asking or not is_plain(request) else PLAIN
    prices = (
        [
            each.price if each.price is not None and terms is PLAIN else book.price_on(each.provider, each.model, terms)
            for each in request.candidates
        ]
        if counts_money
        else [None]
    )
    model, price = (request.candidates[0].provider, request.candidates[0].model), prices[0]
    size = input_of(request, model, book, terms, learned)
    asked = request.max_output_tokens
    if asked is not None and request.operation != "embed" and not 0 < asked <= MOST_OUTPUT_TOKENS:
        raise ConfigurationError(
            f"under a budget the most output tokens are a whole number from 1 to {MOST_OUTPUT_TOKENS:,}; got {asked:,}"
        )
    output = default_output if asked is None else asked
    least = min(output, min_output)
    wanted, minimum = _bound(price, size, output), _bound(price, size, least)
    whole = asked is not None and bool(degrading.able)
    able = degrading.able if whole else ()
    refusal = None
    for scope in _last(able, scopes) if able else scopes:
        if scope.budget.per == "call":
            line = degrading.line(scope, at)
            refusal = refusal or _refusal(line, wanted if scope in able else minimum)
            wanted = Amounts(_at_most(wanted.usd, line.usd), _at_most(wanted.tokens, line.tokens), 1)
    lines = _lines(_last(able, scopes)[::-1] if able else scopes, at, degrading)
    return Quote(
        at,
        scopes,
        lines,
        wanted,
        minimum,
        model,
        price,
        size,
        output,
        least,
        refusal,
        counts_money,
        counts_tokens,
        degrading,
        whole,
        terms,
        learned is None,
    )


def input_of(request: Request, model: Model, book: PriceBook, terms: Terms, learned: LearnedEstimates | None) -> int:
    """Say how many input tokens a request may come to on a model: as many as fit into it, if nobody here can know.

    Raises `ConfigurationError` where nobody knows how many that are, and `UnpricedModel` where it is the model's name
    that asks for what cannot be known, and nobody lists the model by that.
    """
    if terms.unmeasured is None:
        return input_tokens_bound(request, model[1]) if learned is None else learned.of(request, model)
    price = book.price(*model) if model[1].endswith(terms.unmeasured) else book.find(*model)
    if price is None or price.context_window is None:
        name = ":".join(model)
        raise ConfigurationError(
            f"a budget pays for this call, and nobody can say before how many tokens its {terms.unmeasured!r} is; send "
            f"the text itself, or say how much fits into the model, which is then held: "
            f'prices={{"{name}": Price(..., context_window=...)}}, or in a file of settings context_window = ... under '
            f'[prices."{name}"]'
        )
    return price.context_window


def _last(able: tuple[Scope, ...], scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
    return tuple(sorted(scopes, key=able.__contains__))


def _bound(price: Price | None, size: int, output: int) -> Amounts:
    return Amounts(0 if price is None else price.upper_bound(size, output), size + output, 1)


def _lines(scopes: tuple[Scope, ...], at: float, degrading: Degrading) -> tuple[Line, ...]:
    """Give one line an account and window: budgets that share an account are one payer, held to the lowest limit."""
    lines: dict[tuple[str, str], Line] = {}
    for scope in scopes:
        if scope.budget.per == "call":
            continue
        line = degrading.line(scope, at) if degrading.done else scope.line(at)
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
