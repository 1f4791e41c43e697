"""Recorded outcomes: how well each of several models answered the same questions, and what that cost."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.routing.learned.features import PromptLooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["Case", "InLedger", "Outcome", "cases_in", "read_outcomes"]

InLedger = tuple[str, float]
"""What a ledger has of a call: the `provider:model` that answered it, and what it cost in dollars."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one model did: `good` is from 0 to 1, `usd` what the reply cost."""

    model: str
    good: float
    usd: float


@dataclass(frozen=True, slots=True)
class Case:
    """One question, and how the models did that were asked it."""

    seen: PromptLooks
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)


def read_outcomes(
    lines: Iterable[str], *, name: str = "the file", look_up: Callable[[str], InLedger | None] | None = None
) -> list[Case]:
    """Read outcomes, one in JSON on each line. Raises `ConfigurationError`, which names the line that is wrong.

    Each has a `prompt` (a text, or a list of messages) and says how `good` the reply of a `model` was (true, false, or
    a number from 0 to 1) and what it cost (`usd`). Those with the same `case`, or without one with the same prompt, are
    one question to several models. With a `call` in place of model and cost, `look_up` gives these of a call's id.
    `tools` and `schema` say whether the call had them.
    """
    seen: dict[str, PromptLooks] = {}
    found: dict[str, dict[str, Outcome]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            case, looks, outcome = _read(json.loads(line), look_up)
        except (ValueError, TypeError) as error:
            if isinstance(error, ConfigurationError):
                raise ConfigurationError(f"{name}, line {number}: {error}") from None
            raise ConfigurationError(f"{name}, line {number} is no JSON object: {type(error).__name__}") from None
        seen.setdefault(case, looks)
        found.setdefault(case, {})[outcome.model] = outcome
    return [Case(seen[case], outcomes) for case, outcomes in found.items()]


def _read(row: Any, look_up: Callable[[str], InLedger | None] | None) -> tuple[str, PromptLooks, Outcome]:
    if not isinstance(row, dict):
        raise TypeError
    prompt = row.get("prompt")
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    if not isinstance(messages, list) or not messages or not all(_is_message(each) for each in messages):
        raise ConfigurationError('it needs a "prompt": a text, or a list of messages with "role" and "content"')
    texts = [each["content"] for each in messages]
    looks = PromptLooks(
        texts[-1],
        sum(map(len, texts)),
        len(messages),
        messages[0].get("role") == "system",
        bool(row.get("tools")),
        bool(row.get("schema")),
    )
    good = row.get("good")
    if isinstance(good, str) or good is None or not 0 <= float(good) <= 1:
        raise ConfigurationError('"good" says how good the reply was: true, false, or a number from 0 to 1')
    model, usd = row.get("model"), row.get("usd")
    if model is None and row.get("call") is not None:
        if look_up is None:
            raise ConfigurationError('it names a "call", whose model and cost are in a ledger: name that, too')
        known = look_up(str(row["call"]))
        if known is None:
            raise ConfigurationError(f'the ledger has no call "{row["call"]}" of which the cost is known')
        model, usd = known
    if not isinstance(model, str) or isinstance(usd, bool) or not isinstance(usd, int | float) or usd < 0:
        raise ConfigurationError('it needs a "model" ("provider:model") and its cost in "usd", or a "call" for both')
    case = json.dumps(row.get("case", prompt))
    return case, looks, Outcome(model, float(good), float(usd))


def _is_message(each: Any) -> bool:
    return isinstance(each, dict) and isinstance(each.get("content"), str)


def cases_in(cases: Sequence[Case], models: Sequence[str] | None) -> tuple[tuple[str, ...], list[Case]]:
    """Give the models, the cheapest first, and the cases in which all of them answered.

    Raises `ConfigurationError` where there are fewer than two models, or too few such cases.
    """
    known: dict[str, list[float]] = {}
    for case in cases:
        for outcome in case.outcomes.values():
            known.setdefault(outcome.model, []).append(outcome.usd)
    wanted = list(known) if models is None else list(models)
    missing = [name for name in wanted if name not in known]
    if missing or len(wanted) < 2:  # noqa: PLR2004 - the message says it
        names = ", ".join(sorted(known)) or "none"
        what = f"there are no outcomes of {missing[0]}" if missing else "a router chooses among two models at least"
        raise ConfigurationError(f"{what}; the outcomes are of: {names}")
    whole = [case for case in cases if all(name in case.outcomes for name in wanted)]
    if len(whole) < _LEAST:
        raise ConfigurationError(
            f"{len(whole)} of {len(cases)} questions were answered by all of {', '.join(wanted)}; it takes {_LEAST} at "
            "least, and mostly a thousand"
        )
    costs = {name: sum(case.outcomes[name].usd for case in whole) for name in wanted}
    return tuple(sorted(wanted, key=lambda name: costs[name])), whole


_LEAST = 100
