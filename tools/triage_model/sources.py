"""What the embedded model learns from: generated messages and varied hand-written ones."""

import random
from dataclasses import dataclass, field

from distil.batches import Coder, Material
from distil.dataset import Answer, Example

from .generate import ticket
from .handwritten import split, vary
from .labels import FRAME, PRIORITIES, Ticket
from .replies import reply, table

SHARE = 0.7
"""How many of the messages are hand-written."""


@dataclass(slots=True)
class Mixed:
    """Draws a message from the grammar, or varies the next hand-written one."""

    share: float = SHARE
    _hand: list[Ticket] = field(default_factory=list)
    _queue: list[Ticket] = field(default_factory=list)

    def __call__(self, rng: random.Random) -> Example:
        """The next message with its answer."""
        return self.ticket(rng).example()

    def ticket(self, rng: random.Random) -> Ticket:
        """The next message with its labels."""
        if rng.random() > self.share:
            return ticket(rng)
        if not self._hand:
            self._hand = split()[0]
        if not self._queue:
            self._queue = rng.sample(self._hand, len(self._hand))
        return vary(self._queue.pop(), self._hand, rng)


def known_answers() -> list[Answer]:
    """Every reply with and without an order number, twice each, so that each way to go on counts."""
    found: list[Answer] = []
    for matter in table():
        for number in (None, "A-20817"):
            for priority in PRIORITIES:
                answer = Ticket("", matter.split(".")[0], priority, number, matter).example().answer
                found.append(answer)
    return found


def coder(pieces: list[str]) -> Coder:
    """Makes rows of these messages."""
    return Coder(Material(pieces, FRAME, known_answers(), tuple(table())))


def matter_of(text: str, category: str, order_id: str | None) -> str | None:
    """Which matter of a category a reply is for, whatever order number and priority it speaks of."""
    for matter in table():
        if matter.split(".")[0] == category:
            for priority in PRIORITIES:
                if text in (reply(matter, priority, order_id), reply(matter, priority, None)):
                    return matter
    return None
