"""Measures answers on the held-out sets: in PyTorch before quantising, in the engine that ships after it."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from distil.evaluate import differences_in_tokens
from distil.gate import Scores
from distil.intervals import Share
from distil.vocabulary import Vocabulary

from .generate import ticket
from .handwritten import load as load_tickets, split
from .labels import Ticket
from .places import DATA
from .sources import matter_of

SPLIT_OFF = {
    "refund_return.money_back": "refund_return.refund",
    "refund_return.short": "refund_return.refund",
    "refund_return.rules": "refund_return.return",
    "payment.methods": "payment.charge_query",
    "product.allergy": "product.material",
    "technical.leak": "technical.page",
}
"""Matters that had no reply of their own when the first blind set was labelled, and what was written there instead."""
HARD, HARDER, NEWEST = 72, 320, 783
"""The messages set aside of the hard files, the last ones: of the first of them, of four more, and of the newest."""


@dataclass(slots=True)
class Measured:
    """Counts over one set of messages: by field, and replies of the right matter."""

    scores: Scores = field(default_factory=Scores)
    knows_all_matters: bool = True
    matter: int = 0
    known_matters: int = 0
    confused: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, one: Ticket, text: str) -> None:
        """Counts one answer."""
        wanted = Ticket(one.message, one.category, one.priority, one.order_id, one.matter or "unknown.unknown")
        found = self.scores.add(wanted.example(), text)
        self.known_matters += one.matter is not None
        if found is None:
            return
        if found["category"] != one.category:
            self.confused[one.category, str(found["category"])] += 1
        elif one.matter is not None:
            matter = matter_of(found["reply"] or "", one.category, found["order_id"]) or ""
            if not self.knows_all_matters:  # one that was split off counts as where it came from
                matter = SPLIT_OFF.get(matter, matter)
            self.matter += one.matter == matter

    def lines(self) -> list[str]:
        """The shares, with their intervals."""
        names = ("valid", "category", "priority", "order_id")
        found = [f"{name:<10} {self.scores.share(name)}" for name in names]
        if self.known_matters:
            found.append(f"{'matter':<10} {Share(self.matter, self.known_matters)}")
            found.append(f"{'letter':<10} {self.scores.share('all')}")
        return found

    def confusion(self) -> str:
        """The commonest wrong categories."""
        return ", ".join(f"{right} as {found} {count}" for (right, found), count in self.confused.most_common(14))


def generated() -> list[Ticket]:
    """Messages of the grammar that training does not draw, since its seed is another."""
    rng = random.Random(990_017)
    return [ticket(rng) for _ in range(300)]


def sets() -> dict[str, list[Ticket]]:
    """The sets that training never sees, but for the blind one."""
    dev = split()[1]
    return {
        "generated": generated(),
        "dev": dev[: -HARD - HARDER - NEWEST],
        "hard dev": dev[-HARD - HARDER - NEWEST : -HARDER - NEWEST],
        "harder dev": dev[-HARDER - NEWEST : -NEWEST],
        "newest hard dev": dev[-NEWEST:],
        "heldout": load_tickets(DATA / "heldout.jsonl"),
    }


def blind() -> dict[str, list[Ticket]]:
    """The sets to measure a finished model on, once: nothing is to be chosen by them, and the last is the freshest."""
    return {path.stem.replace("_", " "): load_tickets(path) for path in sorted(DATA.glob("blind_*.jsonl"))}


def _odd_characters(rng: random.Random) -> str:
    choices = [(33, 900), (0x1F300, 0x1F6FF), (32, 32)]
    return "".join(chr(rng.randint(*rng.choice(choices))) for _ in range(40))


def tokens_that_differ(path: Path, vocabulary: Vocabulary, count: int) -> int:
    """How many messages the engine cuts differently from the encoder that training used."""
    rng = random.Random(5)
    texts = [ticket(rng).message for _ in range(count)]
    texts += [one.message for rows in sets().values() for one in rows]
    texts += [_odd_characters(rng) for _ in range(count // 4)]
    return differences_in_tokens(path, vocabulary, texts)


def measure(name: str, answered: Callable[[list[str]], Iterable[str]], among: dict[str, list[Ticket]]) -> None:
    """Prints the figures of each set; `answered` gives the answers to messages."""
    for kind, rows in among.items():
        start = time.monotonic()
        measured = Measured(knows_all_matters=any(one.matter in SPLIT_OFF for one in rows))
        for one, text in zip(rows, answered([one.message for one in rows]), strict=True):
            measured.add(one, text)
        each = (time.monotonic() - start) / len(rows) * 1e3
        print(f"{name} {kind}, {len(rows)} messages, {each:.0f} ms each")
        print("\n".join(f"  {line}" for line in measured.lines()))
        print(f"  {measured.confusion()}", flush=True)
