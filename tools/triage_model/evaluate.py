"""Measures answers on the held-out sets: in PyTorch before quantising, in the engine that ships after it."""

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from inferkit.local.engines.ctransformers.library import find_library
from inferkit.local.engines.ctransformers.llama import Llama

from .generate import ticket
from .handwritten import load as load_tickets, split
from .labels import Ticket, answer
from .network import Network
from .places import DATA
from .replies import reply
from .vocabulary import BOS, EOS, Vocabulary

LONGEST = 110
Answerer = Callable[[list[int]], list[int]]
"""From the tokens of a prompt to those of the answer."""


@dataclass(slots=True)
class Measured:
    """Counts over one set of messages."""

    total: int = 0
    valid: int = 0
    category: int = 0
    priority: int = 0
    order_id: int = 0
    labels: int = 0
    exact: int = 0
    confused: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, one: Ticket, text: str) -> None:
        """Counts one answer."""
        self.total += 1
        try:
            found = json.loads(text)
        except ValueError:
            return
        if list(found) != ["category", "priority", "order_id", "reply"]:
            return
        self.valid += 1
        same = [found[name] == getattr(one, name) for name in ("category", "priority", "order_id")]
        self.category += same[0]
        self.priority += same[1]
        self.order_id += same[2]
        self.labels += all(same)
        if not same[0]:
            self.confused[one.category, str(found["category"])] += 1
        if one.intent:
            self.exact += text == answer(
                one.category, one.priority, one.order_id, reply(one.intent, one.priority, one.order_id)
            )

    def line(self) -> str:
        """The shares, in per cent."""
        names = ("valid", "category", "priority", "order_id", "labels", "exact")
        shares = (f"{name} {100 * getattr(self, name) / self.total:5.1f}" for name in names)
        return f"n {self.total:4d}  " + "  ".join(shares)

    def confusion(self) -> str:
        """The commonest wrong categories."""
        return ", ".join(f"{right} as {found} {count}" for (right, found), count in self.confused.most_common(14))


def sets() -> dict[str, list[Ticket]]:
    """The three sets that training never sees."""
    rng = random.Random(990_017)
    return {
        "generated": [ticket(rng) for _ in range(300)],
        "dev": split()[1],
        "heldout": load_tickets(DATA / "heldout.jsonl"),
    }


def in_torch(model: Network, draft: Answerer) -> Answerer:
    """Greedy answers of the network before it is written.

    The answer of another model is checked in one pass, and where the two part the network goes on alone: the
    outcome is the network's own, sooner.
    """

    @torch.no_grad()
    def answer_to(prompt: list[int]) -> list[int]:
        start = len(prompt)
        tokens = prompt + draft(prompt)
        best = model(torch.tensor([tokens]))[0].argmax(-1).tolist()
        for at in range(start, len(tokens)):
            if tokens[at] != best[at - 1]:
                tokens = tokens[:at]
                break
        while len(tokens) < start + LONGEST and tokens[-1] != EOS:
            tokens.append(int(model(torch.tensor([tokens]))[0, -1].argmax()))
        return tokens[start:]

    return answer_to


def in_engine(path: Path) -> Answerer:
    """Greedy answers of a file through the engine."""
    engine = Llama(find_library(gpu=False), path, context_length=512, batch=512, threads=1)

    def answer_to(prompt: list[int]) -> list[int]:
        out: list[int] = []
        engine.evaluate(prompt, 0)
        while len(out) < LONGEST:
            out.append(engine.best())
            if out[-1] == EOS:
                break
            engine.evaluate(out[-1:], len(prompt) + len(out) - 1)
        return out

    return answer_to


def _odd_characters(rng: random.Random) -> str:
    choices = [(33, 900), (0x1F300, 0x1F6FF), (32, 32)]
    return "".join(chr(rng.randint(*rng.choice(choices))) for _ in range(40))


def differences_in_tokens(path: Path, vocabulary: Vocabulary, count: int) -> int:
    """How many messages the engine cuts differently from the encoder that training used."""
    engine = Llama(find_library(gpu=False), path, context_length=64, batch=8, threads=1)
    rng = random.Random(5)
    texts = [ticket(rng).message for _ in range(count)]
    texts += [one.message for rows in sets().values() for one in rows]
    texts += [_odd_characters(rng) for _ in range(count // 4)]
    return sum(engine.tokenize(text.encode()) != vocabulary.encode(text) for text in texts)


def measure(name: str, answer_to: Answerer, vocabulary: Vocabulary) -> None:
    """Prints a line for each set."""
    for kind, rows in sets().items():
        start, measured = time.monotonic(), Measured()
        for one in rows:
            prompt = [BOS, *vocabulary.encode(one.message), vocabulary.answer_id]
            measured.add(one, vocabulary.decode(answer_to(prompt)))
        each = (time.monotonic() - start) / len(rows) * 1e3
        print(f"{name:>8} {kind:<10} {measured.line()}  ({each:.0f} ms each)")
        print(f"         {measured.confusion()}", flush=True)
