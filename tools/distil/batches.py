"""The stream of training batches: examples as tokens with the cost of each, sorted by length."""

import multiprocessing
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .choices import Choices
from .dataset import Answer, Example
from .frame import Frame
from .vocabulary import BOS, EOS, UNK, Vocabulary

LONGEST = 208
# How much a wrong token costs: labels decide, and the words that tell a text from others; the rest of a text and the
# fixed parts follow, and the message is a side task.
MESSAGE, FIXED, FIRST_LABEL, LABEL, COPIED, DECIDING, TEXT = 0.15, 0.1, 4.0, 2.0, 2.0, 2.5, 0.2

Source = Callable[[random.Random], Example]
"""Draws an example to train on; it travels to another process."""


@dataclass(frozen=True, slots=True)
class Row:
    """A message and its answer as tokens, with the cost of each token and the example's kind."""

    tokens: list[int]
    costs: list[float]
    kind: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs, tokens to predict and their costs, of shape (rows, length), and the rows' kinds."""

    inputs: Tensor
    targets: Tensor
    costs: Tensor
    kinds: Tensor


@dataclass(frozen=True, slots=True)
class Material:
    """What rows are made by: the learned pieces, the frame, the known answers, and the kinds of example."""

    pieces: list[str]
    frame: Frame
    answers: list[Answer]
    kinds: tuple[str, ...]


class Coder:
    """Turns examples into rows."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self.vocabulary = Vocabulary(material.pieces, material.frame)
        self._choices = Choices(material.frame, material.answers)

    def kind(self, one: Example) -> str:
        """The finest kind that is known of an example: its own, or its first label."""
        return one.kind or self.material.frame.first_label(one.answer) or ""

    def row(self, one: Example, drop: random.Random | None = None) -> Row:
        """The training row of one example; with `drop`, some words of its message are cut finer."""
        message = self.vocabulary.encode(one.message, drop, 0.05)
        tokens = [BOS, *message, self.vocabulary.answer_id]
        costs = [MESSAGE] * (len(message) + 1) + [0.0]
        first = True
        for part in self.vocabulary.frame.parts(one.answer):
            if part.field is None:
                cost = COPIED if part.decides or part.after == "copied" else TEXT if part.after == "text" else FIXED
                found = [(token, cost) for token in self.vocabulary.encode_part(part, one.answer)]
            elif part.field.kind == "text":
                found = self._text(part.text, part.field.name, one)
            else:
                cost = COPIED if part.field.kind == "copied" else FIRST_LABEL if first else LABEL
                first = first and part.field.kind != "label"
                found = [(token, cost) for token in self.vocabulary.encode_part(part, one.answer)]
            tokens += [token for token, _ in found]
            costs += [cost for _, cost in found]
        return Row([*tokens, EOS], [*costs, TEXT], self.material.kinds.index(self.kind(one)))

    def _text(self, text: str, name: str, one: Example) -> list[tuple[int, float]]:
        chosen = self._choices.deciding(name, one.answer)
        words = self.vocabulary.words_of(text, self.vocabulary.copied(one.answer))
        return [(token, DECIDING if at in chosen else TEXT) for at, word in enumerate(words) for token in word]


def blank(one: Row, words: frozenset[int], rng: random.Random) -> Row:
    """The row with some words of the message unreadable, so that no single one is relied on."""
    if rng.random() < 0.4:
        return one
    tokens, costs = one.tokens.copy(), one.costs.copy()
    for at, cost in enumerate(costs):
        if cost == MESSAGE and tokens[at] in words and rng.random() < 0.12:
            tokens[at], costs[at] = UNK, 0.0
    return Row(tokens, costs, one.kind)


def cut(one: Row, rng: random.Random) -> Row:
    """The row without what follows its last decision, most times: those words are soon known."""
    if rng.random() < 0.25:
        return one
    end = max(at for at, cost in enumerate(one.costs) if cost >= LABEL) + 2
    return Row(one.tokens[:end], one.costs[:end], one.kind)


def pad(rows: Sequence[Row]) -> Batch:
    """Rows of similar length as one batch; padding costs nothing."""
    longest = max(len(one.tokens) for one in rows) - 1
    length = -(-longest // 8) * 8
    tokens = torch.zeros(len(rows), length + 1, dtype=torch.long)
    costs = torch.zeros(len(rows), length + 1)
    for at, one in enumerate(rows):
        tokens[at, : len(one.tokens)] = torch.tensor(one.tokens)
        costs[at, : len(one.costs)] = torch.tensor(one.costs)
    kinds = torch.tensor([one.kind for one in rows])
    return Batch(tokens[:, :-1], tokens[:, 1:], costs[:, 1:], kinds)


def stream(source: Source, coder: Coder, seed: int, size: int) -> Iterator[Batch]:
    """Endless batches of what a source draws. Rows that are too long are left out."""
    rng = random.Random(seed)
    words = coder.vocabulary.words()
    while True:
        rows = [cut(blank(coder.row(source(rng), rng), words, rng), rng) for _ in range(size * 32)]
        rows = sorted((one for one in rows if len(one.tokens) <= LONGEST), key=lambda one: len(one.tokens))
        batches = [pad(rows[at : at + size]) for at in range(0, len(rows) - size + 1, size)]
        rng.shuffle(batches)
        yield from batches


def _produce(queue: Any, source: Source, material: Material, seed: int, size: int) -> None:
    torch.set_num_threads(1)
    for batch in stream(source, Coder(material), seed, size):
        queue.put([part.numpy() for part in (batch.inputs, batch.targets, batch.costs, batch.kinds)])


def streamed(source: Source, coder: Coder, seed: int, size: int) -> Iterator[Batch]:
    """The same batches, made in a process of their own, so that the network need not wait for them."""
    processes = multiprocessing.get_context("spawn")
    queue = processes.Queue(24)
    processes.Process(target=_produce, args=(queue, source, coder.material, seed, size), daemon=True).start()
    while True:
        yield Batch(*map(torch.from_numpy, queue.get()))
