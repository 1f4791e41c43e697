"""On which terms a request is served, as far as they move its cost, and what a wire declares about its fields.

A wire says of each field that a caller may pass in `extra=` what becomes of it. So nothing that moves cost gets past a
budget: it is priced, held for, or refused with an error that says what to do instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import AudioPart, FilePart, OpaquePart, ReasoningPart
from inferkit.core.request import extra_for
from inferkit.core.usage import NO_DETAILS, UsageDetails

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferkit.core.messages import Part
    from inferkit.core.request import Request, Target

__all__ = [
    "AUTO",
    "PLAIN",
    "STANDARD",
    "Becomes",
    "CostRules",
    "Terms",
    "WireField",
    "refuse_always",
    "served_on",
    "terms_of",
    "terms_under_budget",
]

STANDARD = frozenset(
    {"", "auto", "default", "global", "not_available", "on_demand", "standard", "standard_only", "unspecified"}
)
"""Providers' words for how they serve who asks for nothing else."""

AUTO = frozenset({"auto"})
"""Words that leave the choice to the provider."""

Becomes = Literal["free", "measured", "capped", "priced", "option", "refused", "refused under a budget"]
"""What becomes of a field: it moves no cost; its bytes count as input; it moves how much is written, but never above
`max_output_tokens`; it is priced; it is an option of the call and never a field; it is refused; it is refused under a
budget of money or tokens."""

OPTIONS = ("prediction",)
"""Options of a call that are fields of its wire too, where a rule of the wire says what they cost."""

_MUST_NOT: tuple[Becomes, ...] = ("option", "refused")


class Terms(NamedTuple):
    """What a request asks for: a service tier, a speed, a region, and kinds of tokens that may be priced apart.

    `kinds` are names of `Apart`. `unmeasured` names what is in the input only by reference, so that nobody here knows
    its size.
    """

    service_tier: str | None = None
    speed: str | None = None
    region: str | None = None
    kinds: frozenset[str] = frozenset()
    unmeasured: str | None = None

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return self != PLAIN

    def with_these(self, other: Terms) -> Terms:
        """Give what both ask for."""
        return Terms(
            other.service_tier or self.service_tier,
            other.speed or self.speed,
            other.region or self.region,
            self.kinds | other.kinds,
            other.unmeasured or self.unmeasured,
        )


PLAIN = Terms()


class WireField(NamedTuple):
    """One field of a wire: what becomes of it, and for people why, or what to do instead.

    `reads` says which terms a value comes to, also None, which takes away what the call itself would say; it gives None
    for a value that is not understood, which is refused then. A field that is refused lets the values pass that `reads`
    understands.
    """

    becomes: Becomes
    says: str = ""
    reads: Callable[[Any], Terms | None] | None = None


@dataclass(frozen=True, slots=True)
class CostRules:
    """What a wire declares.

    `fields` are those of `extra=`. `within` are names that mean something wherever they stand in what a message, a part
    or a tool carries for the provider alone. `endings` are what a model's own name may end with, and ask for with it.
    """

    fields: Mapping[str, WireField]
    within: Mapping[str, WireField] = field(default_factory=dict)
    endings: Mapping[str, Terms] = field(default_factory=dict)

    def and_free(self, names: Sequence[str]) -> CostRules:
        """Give the same with fields that a server's own user says move no cost."""
        return CostRules({**self.fields, **{name: WireField("free") for name in names}}, self.within, self.endings)


def refuse_always(extra: Mapping[str, Any], rules: CostRules) -> None:
    """Raise `ConfigurationError` for what a call cannot ask for, budget or not."""
    for name, value in extra.items():
        known = rules.fields.get(name)
        if known is not None and known.becomes in _MUST_NOT and _read(known, value) is None:
            raise ConfigurationError(f"extra= cannot set {name!r}; {known.says}")


def terms_of(request: Request) -> Terms:
    """Say on which terms a request asks to be served, as far as that is understood."""
    terms = PLAIN
    for rules, asked in _rules(request):
        for known, value, _ in _known_names(request, rules, asked):
            terms = terms.with_these(_read(known, value) or PLAIN)
    return terms


def terms_under_budget(request: Request) -> Terms:
    """Say on which terms a request asks to be served that a budget of money or tokens pays for.

    Raises `ConfigurationError` for what might cost more than can be held for it.
    """
    terms = PLAIN
    for target in _targets(request):
        terms = terms.with_these(_asked_by_name(target))
    for rules, asked in _rules(request):
        for name in asked:
            if rules is None or name not in rules.fields:
                raise ConfigurationError(_unknown(name, declares=rules is not None))
        for known, value, name in _known_names(request, rules, asked):
            read = _read(known, value)
            if read is None:
                raise ConfigurationError(f"a budget pays for this call, and cannot cover {name!r}: {known.says}")
            terms = terms.with_these(read)
    return terms or PLAIN


def served_on(details: UsageDetails, terms: Terms, operation: str = "chat") -> UsageDetails:
    """Say how a request on these terms was served, given what its reply says of it; None for the standard."""
    words = [
        _served(said, asked)
        for said, asked in (
            (details.service_tier, terms.service_tier),
            (details.speed, terms.speed),
            (details.region, terms.region),
        )
    ]
    tier, speed, region = words
    asked = None if operation == "chat" else operation
    found = details._replace(service_tier=tier, speed=speed, region=region, operation=asked)
    return NO_DETAILS if found == NO_DETAILS else found


def _served(said: str | None, asked: str | None) -> str | None:
    word = asked if said is None else said
    return None if word is None or word.lower() in STANDARD else word.lower()


def _read(known: WireField, value: Any) -> Terms | None:
    """Give the terms that a value comes to; None where it is refused."""
    if known.reads is not None:
        return known.reads(value)
    return None if known.becomes in (*_MUST_NOT, "refused under a budget") else PLAIN


def _targets(request: Request) -> Sequence[Target]:
    return (request.target,) if request.target is not None else request.candidates


def _asked_by_name(target: Target) -> Terms:
    rules: CostRules | None = getattr(target.adapter, "cost_rules", None)
    _, colon, word = target.model.rpartition(":")
    return PLAIN if rules is None else rules.endings.get(colon + word, PLAIN)


def _rules(request: Request) -> Iterator[tuple[CostRules | None, Mapping[str, Any]]]:
    """Give the rules of each wire that may serve the request, and the fields and options that it is asked for."""
    adapters = {id(getattr(target.adapter, "cost_rules", None)): target.adapter for target in _targets(request)}
    options = {name: value for name in OPTIONS if (value := getattr(request, name)) is not None}
    for adapter in adapters.values():
        rules, extra = _rules_of(adapter, request), extra_for(request, adapter)
        asked = {name: value for name, value in options.items() if rules is None or name in rules.fields}
        yield rules, {**asked, **extra} if asked else extra


def _rules_of(adapter: Any, request: Request) -> CostRules | None:
    if request.operation == "embed" and hasattr(adapter, "embedding_cost_rules"):
        found: CostRules | None = adapter.embedding_cost_rules(request)
    else:
        found = getattr(adapter, "cost_rules", None)
    return found


def _known_names(
    request: Request, rules: CostRules | None, given: Mapping[str, Any]
) -> Iterator[tuple[WireField, Any, str]]:
    if rules is None:
        return
    for name, value in given.items():
        known = rules.fields.get(name)
        if known is not None:
            yield known, value, name
    for extra in _extras(request, stored=given.get("store") is True):
        for name, value in _names_in(extra):
            known = rules.within.get(name)
            if known is not None:
                yield known, value, name


def _extras(request: Request, *, stored: bool) -> Iterator[Mapping[str, Any]]:
    """Go through what messages, parts and tools carry for the provider alone.

    `stored` says that the provider keeps its replies, and so finds reasoning that is named and not there.
    """
    for message in request.messages:
        if message.extra:
            yield message.extra
        for part in message.parts:
            yield from _part_extras(part, stored=stored)
    for tool in request.tools:
        if tool.extra:
            yield {"tools": [tool.extra]}


def _part_extras(part: Part, *, stored: bool) -> Iterator[Mapping[str, Any]]:
    if isinstance(part, OpaquePart):
        yield {part.kind: part.value}
        return
    if isinstance(part, AudioPart):
        yield {"input_audio": True}
    elif isinstance(part, FilePart):
        yield {"file": True}
    elif stored and isinstance(part, ReasoningPart) and part.signature is None:
        yield {"reasoning": part.extra}
    if part.extra:
        yield part.extra


def _names_in(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield name, inner
            yield from _names_in(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for inner in value:
            yield from _names_in(inner)


def _unknown(name: str, *, declares: bool) -> str:
    what = f"a budget pays for this call, and nobody has said whether {name!r} moves its cost; "
    if not declares:
        return f"{what}give its adapter `cost_rules` that say so, or leave it out"
    return (
        f'{what}if it does not, say so where the server is: OpenAIChat(..., free_fields=("{name}",)); or leave it out'
    )
