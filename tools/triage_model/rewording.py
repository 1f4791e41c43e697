"""Messages that nobody wrote: hand-written ones with other words, in parts, and two of them in one.

Their labels may have changed on the way: the teacher says what they are now.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .labels import Ticket

if TYPE_CHECKING:
    import random

    from .teacher import Teacher

WORDS = 16_000
NEAREST = 8
LEAST = 0.3
"""How alike two words' embeddings must be for one to stand in for the other, as a cosine."""


@dataclass(frozen=True, slots=True)
class Rewording:
    """Puts other words for words: those nearest by MiniLM's embeddings."""

    near: dict[str, list[str]]

    @classmethod
    def of(cls, teacher: Teacher) -> Rewording:
        """From the embeddings of a teacher's whole words."""
        import torch

        known = {word: at for word, at in teacher.tokens.get_vocab().items() if word.isascii() and word.isalpha()}
        words = sorted((word for word in known if len(word) > 2), key=known.__getitem__)[:WORDS]
        with torch.no_grad():
            rows = teacher.trunk.embeddings.word_embeddings.weight[[known[word] for word in words]]
            rows = torch.nn.functional.normalize(rows - rows.mean(0))
            near: dict[str, list[str]] = {}
            for start in range(0, len(words), 1000):
                alike, at = (rows[start : start + 1000] @ rows.T).topk(NEAREST + 1)
                for word, some, which in zip(words[start:], alike.tolist(), at.tolist(), strict=False):
                    near[word] = [
                        words[other]
                        for score, other in zip(some, which, strict=True)
                        if score > LEAST and words[other] != word
                    ]
        return cls(near)

    def swapped(self, text: str, keep: str | None, rate: float, rng: random.Random) -> str:
        """The text with some words swapped for their like, each with the given probability; `keep` stays as it is."""

        def swap(match: re.Match[str]) -> str:
            word = match[0]
            others = self.near.get(word.lower())
            if not others or rng.random() > rate:
                return word
            other = rng.choice(others)
            return other[0].upper() + other[1:] if word[0].isupper() else other

        parts = re.split(f"({re.escape(keep)})", text) if keep else [text]
        return "".join(part if part == keep else re.sub(r"\b[A-Za-z]{3,}\b(?!')", swap, part) for part in parts)


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?]) ", text)


def shortened(one: Ticket, rng: random.Random) -> Ticket:
    """Some of a message's sentences, or of its clauses."""
    parts = _sentences(one.message)
    if len(parts) < 2:
        parts = re.split(r"(?<=[,;:]) ", one.message)
    kept = sorted(rng.sample(range(len(parts)), rng.randint(1, max(1, len(parts) - 1))))
    text = " ".join(parts[at] for at in kept)
    number = one.order_id if one.order_id and one.order_id in text else None
    return Ticket(text, one.category, one.priority, number, one.matter)


def joined(one: Ticket, other: Ticket, rng: random.Random) -> Ticket:
    """Sentences of two messages, of which the second gives no order number."""
    text = other.message.replace(other.order_id, "") if other.order_id else other.message
    parts = _sentences(one.message)
    others = rng.sample(found := _sentences(text), rng.randint(1, min(2, len(found))))
    return Ticket(
        " ".join([*parts, *others] if rng.random() < 0.6 else [*others, *parts]),
        one.category, one.priority, one.order_id, one.matter,
    )  # fmt: skip
