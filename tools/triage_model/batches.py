"""The stream of training batches: generated and varied hand-written messages, sorted by length."""

import multiprocessing
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .generate import ticket
from .handwritten import Intents, split, vary
from .labels import CATEGORIES, Ticket
from .places import VOCABULARY
from .replies import reply
from .vocabulary import BOS, UNK, Vocabulary

LENGTHS = (56, 72, 96, 136, 208)
# How much a wrong token costs: the labels decide, the frame and the reply follow, the message is a side task.
MESSAGE, FRAME, CATEGORY, PRIORITY, NUMBER, REPLY = 0.15, 0.1, 4.0, 2.0, 2.0, 0.3


@dataclass(frozen=True, slots=True)
class Row:
    """A message and its answer as tokens, with the cost of each token."""

    tokens: list[int]
    costs: list[float]
    category: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs, tokens to predict and their costs, of shape (rows, length), and the rows' categories."""

    inputs: Tensor
    targets: Tensor
    costs: Tensor
    categories: Tensor


def row(one: Ticket, vocabulary: Vocabulary, drop: random.Random | None = None) -> Row:
    """The training row of one message."""
    text = reply(one.intent or "unknown.unknown", one.priority, one.order_id)
    message = vocabulary.encode(one.message, drop, 0.05)
    output = vocabulary.encode_answer(one.category, one.priority, one.order_id, text)
    spelled = len(vocabulary.spelled(one.order_id)) + 2 if one.order_id else 1
    costs = [MESSAGE] * (len(message) + 1) + [0.0, FRAME, CATEGORY, FRAME, PRIORITY] + [NUMBER] * spelled
    tokens = [BOS, *message, vocabulary.answer_id, *output]
    return Row(tokens, costs + [REPLY] * (len(tokens) - len(costs)), CATEGORIES.index(one.category))


def blank(one: Row, words: frozenset[int], rng: random.Random) -> Row:
    """The row with some words of the message unreadable, so that no single one is relied on."""
    if rng.random() < 0.4:
        return one
    tokens, costs = one.tokens.copy(), one.costs.copy()
    for at, cost in enumerate(costs):
        if cost == MESSAGE and tokens[at] in words and rng.random() < 0.12:
            tokens[at], costs[at] = UNK, 0.0
    return Row(tokens, costs, one.category)


def pad(rows: list[Row]) -> Batch:
    """Rows of similar length as one batch; padding costs nothing."""
    longest = max(len(one.tokens) for one in rows) - 1
    length = next((limit for limit in LENGTHS if limit >= longest), longest)
    tokens = torch.zeros(len(rows), length + 1, dtype=torch.long)
    costs = torch.zeros(len(rows), length + 1)
    for at, one in enumerate(rows):
        tokens[at, : len(one.tokens)] = torch.tensor(one.tokens)
        costs[at, : len(one.costs)] = torch.tensor(one.costs)
    categories = torch.tensor([one.category for one in rows])
    return Batch(tokens[:, :-1], tokens[:, 1:], costs[:, 1:], categories)


def stream(hand: list[Ticket], vocabulary: Vocabulary, seed: int, size: int, share: float) -> Iterator[Batch]:
    """Endless batches; `share` of the messages are varied hand-written ones."""
    rng = random.Random(seed)
    intents = Intents(rng)
    hand = [intents.of(one) for one in hand]
    queue: list[Ticket] = []
    words = vocabulary.words()

    def draw() -> Ticket:
        if rng.random() > share:
            return ticket(rng)
        if not queue:
            queue.extend(rng.sample(hand, len(hand)))
        return vary(queue.pop(), hand, rng)

    while True:
        rows = [blank(row(draw(), vocabulary, rng), words, rng) for _ in range(size * 32)]
        rows = sorted((one for one in rows if len(one.tokens) <= LENGTHS[-1]), key=lambda one: len(one.tokens))
        batches = [pad(rows[at : at + size]) for at in range(0, len(rows) - size + 1, size)]
        rng.shuffle(batches)
        yield from batches


def _produce(queue: Any, seed: int, size: int, share: float) -> None:
    torch.set_num_threads(1)
    for batch in stream(split()[0], Vocabulary.load(VOCABULARY), seed, size, share):
        queue.put([part.numpy() for part in (batch.inputs, batch.targets, batch.costs, batch.categories)])


def streamed(seed: int, size: int, share: float) -> Iterator[Batch]:
    """The same batches, made in a process of their own, so that the network need not wait for them."""
    processes = multiprocessing.get_context("spawn")
    queue = processes.Queue(24)
    processes.Process(target=_produce, args=(queue, seed, size, share), daemon=True).start()
    while True:
        yield Batch(*map(torch.from_numpy, queue.get()))
