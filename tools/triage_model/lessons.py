"""What the student is taught beside what people labelled: messages nobody wrote, with the teacher's labels."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .handwritten import vary
from .labels import CATEGORIES, PRIORITIES, Ticket
from .rewording import Rewording, joined, shortened
from .teacher import MATTERS, Teacher, judge, parts


@dataclass(frozen=True, slots=True)
class Lessons:
    """Messages with the order numbers in them, how likely their labels are, and what the teacher makes of them."""

    messages: list[str]
    order_ids: list[str | None]
    likely: Tensor
    states: Tensor
    words: list[Tensor]
    """What the teacher makes of each word of each message, less its mean."""

    def __len__(self) -> int:
        return len(self.messages)

    def ticket(self, at: int) -> Ticket:
        """A message with its likeliest labels, the matter being one of its category."""
        categories, matters, priorities = parts(self.likely[at])
        category = CATEGORIES[int(categories.argmax())]
        fitting = [number for number, matter in enumerate(MATTERS) if matter.split(".")[0] == category]
        matter = MATTERS[fitting[int(matters[fitting].argmax())]]
        priority = PRIORITIES[int(priorities.argmax())]
        return Ticket(self.messages[at], category, priority, self.order_ids[at], matter)

    def save(self, path: Path) -> None:
        """Writes the lessons as plain arrays."""
        said = json.dumps([self.messages, self.order_ids])
        each, counts = torch.cat(self.words), [len(one) for one in self.words]
        rounded = {"likely": self.likely.half(), "states": self.states.half(), "words": each.half()}
        arrays = {name: values.numpy() for name, values in rounded.items()}
        np.savez(path, allow_pickle=False, said=said, counts=np.array(counts), **arrays)

    @classmethod
    def load(cls, path: Path) -> "Lessons":
        """Reads what `save` wrote."""
        with np.load(path, allow_pickle=False) as kept:
            messages, order_ids = json.loads(str(kept["said"]))
            likely, states = (torch.from_numpy(kept[name].astype(np.float32)) for name in ("likely", "states"))
            words = [torch.from_numpy(one) for one in np.split(kept["words"], kept["counts"].cumsum()[:-1])]
        return cls(messages, order_ids, likely, states, words)


def invented(hand: list[Ticket], rewording: Rewording, rng: random.Random) -> Ticket:
    """A message with labels that need not hold."""
    one = rng.choice(hand)
    if rng.random() < 0.2:
        one = shortened(one, rng)
    if rng.random() < 0.2:
        alike = rng.random() < 0.5
        other = rng.choice(hand)
        while alike and other.category != one.category:
            other = rng.choice(hand)
        one = joined(one, other, rng)
    text = rewording.swapped(one.message, one.order_id, rng.choice((0.0, 0.1, 0.2, 0.4)), rng)
    return vary(Ticket(text, one.category, one.priority, one.order_id, one.matter), hand, rng)


def prepare(teacher: Teacher, hand: list[Ticket], count: int, seed: int) -> Lessons:
    """Invents messages and has the teacher label them."""
    rng, rewording = random.Random(seed), Rewording.of(teacher)
    found = [invented(hand, rewording, rng) for _ in range(count)]
    messages = [one.message for one in found]
    states, logits, words = judge(teacher, messages)
    likely = torch.cat([part.softmax(1) for part in parts(logits)], 1)
    mean = torch.cat(words[:1000]).float().mean(0).half()
    return Lessons(messages, [one.order_id for one in found], likely, states, [one - mean for one in words])
