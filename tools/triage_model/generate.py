"""Composes messages from the grammar: a core, often an order number, and what people write around it."""

import random
from functools import cache

from .grammar import expand, sections
from .labels import CATEGORIES, Ticket, one_line
from .noise import roughen, swap_synonyms
from .places import GRAMMAR
from .slots import fill, order_number, thing, words

MARK = "\x00"
ORDERED = ("order_status", "delivery_problem", "refund_return", "change_order", "payment")
THREATENED = (*ORDERED, "account", "technical")
WITH_NUMBER = (
    "order {}", "my order {}", "order number {}", "order #{}", "my order no. {}", "{}", "my order ({})",
    "order no {}", "Order {}", "order nr. {}", "#{}", "my order #{}", "the order {}", "purchase {}",
)  # fmt: skip
WITHOUT_NUMBER = ("my order", "my order", "my parcel", "my package", "my delivery", "our order", "this order")
JOINERS = (
    "Also,", "And", "Another thing:", "By the way,", "Plus", "Also", "Second:", "Secondly,", "Oh and",
    "And one more:", "Then:", "Besides,", "On another note,", "And while I'm here,", "2)", "At the same time",
)  # fmt: skip
MATTER = " => "
"""In the sections of urgent messages a line names its matter: `Cancel it now! => cancel`."""


@cache
def cores(category: str) -> dict[str, list[str]]:
    """Matter and priority to templates, of one category."""
    return sections(GRAMMAR / f"{category}.txt")


@cache
def extras() -> dict[str, list[str]]:
    """Openings, closings and other sentences that fit any category."""
    return sections(GRAMMAR / "extras.txt")


class Filler:
    """Fills slots for one message, and places its order number at most once."""

    def __init__(self, *, wants_number: bool) -> None:
        self.pending = wants_number

    def __call__(self, slot: str, rng: random.Random) -> str:
        """The text for the slot; the order number stands as a mark until the end."""
        if slot == "id":
            self.pending = False
            return MARK
        if slot == "X":
            return self.number_sentence(rng) if self.pending and rng.random() < 0.6 else ""
        return self._order(rng) if slot == "O" else fill(slot, rng)

    def _order(self, rng: random.Random) -> str:
        if self.pending and rng.random() < 0.7:
            self.pending = False
            return rng.choice(WITH_NUMBER).format(MARK)
        draw = rng.random()
        if draw < 0.5:
            return rng.choice(WITHOUT_NUMBER)
        if draw < 0.75:
            return thing(rng, rng.choice(["my", "the", "my new", "our"]))
        if draw < 0.9:
            return f"the {rng.choice(words()['product'])} I ordered {rng.choice(words()['ago'])}"
        return f"my order for {thing(rng, 'a')}"

    def number_sentence(self, rng: random.Random) -> str:
        """A sentence that states the order number."""
        kind = "ids" if rng.random() < 0.6 else "bare_ids"
        return expand(rng.choice(extras()[kind]), self, rng)


def _core(category: str, filler: Filler, rng: random.Random) -> tuple[str, str, str]:
    heading = rng.choice(list(cores(category)))
    matter, priority = heading.split()
    template, _, own = rng.choice(cores(category)[heading]).partition(MATTER)
    matter = own or matter
    text = expand(template, filler, rng)
    if rng.random() < 0.22 and category != "unknown":
        more = [line for line in cores(category)[heading] if not own or line.endswith(MATTER + own)]
        text += " " + expand(rng.choice(more).partition(MATTER)[0], filler, rng)
    return text, f"{category}.{matter}", priority


def _two_requests(rng: random.Random) -> tuple[str, str, str]:
    filler = Filler(wants_number=rng.random() < 0.3)
    first, second = rng.sample([name for name in CATEGORIES if name != "feedback"], 2)
    head, tail = _core(first, filler, rng)[0], _core(second, filler, rng)[0]
    return f"{head} {rng.choice(JOINERS)} {tail}", "unknown.unknown", "low"


def around(text: str, rng: random.Random, *, rate: float) -> str:
    """The text with an opening, a closing or a calm remark, each with the given probability."""
    plain = Filler(wants_number=False)
    if rng.random() < rate * 0.7:
        text += " " + expand(rng.choice(extras()["calm"]), plain, rng)
    if rng.random() < rate:
        text = expand(rng.choice(extras()["openings"]), plain, rng) + " " + text
    if rng.random() < rate:
        text += " " + expand(rng.choice(extras()["closings"]), plain, rng)
    return text


def threaten(text: str, rng: random.Random) -> str:
    """The text with a sentence that makes its priority high."""
    return text + " " + expand(rng.choice(extras()["threats"]), Filler(wants_number=False), rng)


def ticket(rng: random.Random, *, noise: bool = True) -> Ticket:
    """One generated message with its labels and its matter."""
    category = rng.choice((*CATEGORIES, "unknown"))
    wants = rng.random() < (0.55 if category in ORDERED else 0.03 if category == "unknown" else 0.12)
    filler = Filler(wants_number=wants)
    if category == "unknown" and rng.random() < 0.2:
        text, matter, priority = _two_requests(rng)
    else:
        text, matter, priority = _core(category, filler, rng)
    if filler.pending:
        where = filler.number_sentence(rng)
        text = f"{where} {text}" if rng.random() < 0.3 else f"{text} {where}"
    if category != "unknown":
        text = around(text, rng, rate=0.3)
        if category in THREATENED and rng.random() < 0.12:
            text, priority = threaten(text, rng), "high"
    elif rng.random() < 0.1:
        text = around(text, rng, rate=0.4)
    if noise and rng.random() < 0.5:
        text = swap_synonyms(text, 0.25, rng)
    number = order_number(rng) if MARK in text else None
    text = text.replace(MARK, number or "")
    if noise and rng.random() < 0.6:
        text, number = roughen(text, number, rng)
    return Ticket(one_line(text)[:700], category, priority, number, matter)
