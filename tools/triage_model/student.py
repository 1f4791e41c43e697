"""Trains the embedded model on lessons: on how likely each label is, and on what the teacher makes of the message."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from distil.batches import COPIED, FIRST_LABEL, LABEL, MESSAGE, TEXT, Batch, Coder, Row, blank, cut, pad
from distil.export import save
from distil.network import Network
from distil.train import Plan, accuracy, optimizers_for, started, warmth
from distil.vocabulary import SPACE
from torch import Tensor, nn
from torch.nn import functional

from .labels import CATEGORIES, PRIORITIES, Ticket
from .lessons import Lessons
from .sources import Mixed
from .teacher import SIZES, WIDTH, numbers, parts

AID_RATE = 2e-3
LONGEST = 144
"""Longer rows are left out: they are few and take long."""
WHOLE = 0.8
"""How much a word of the reply costs at the end, when replies are learned as a whole."""
LABELLED = 0.35
"""How many of the messages are labelled by people."""
DOUBT = 0.06
LIKENESS, LIKE_WORDS = 1.0, 0.5
"""How much the likeness to what the teacher makes of a message weighs, and of each of its words."""


@dataclass(frozen=True, slots=True)
class Taught:
    """A batch with the places where category and priority are named, and what is likely there."""

    batch: Batch
    category_at: Tensor
    priority_at: Tensor
    likely: Tensor
    states: Tensor
    words_at: Tensor
    words: Tensor


def _soft(one: Row) -> tuple[Row, int, int]:
    """The row without the cost of its labels, and where they stand: how likely each is costs there instead."""
    category = one.costs.index(FIRST_LABEL)
    priority = one.costs.index(LABEL, category + 1)
    costs = one.costs.copy()
    costs[category] = costs[priority] = 0.0
    return Row(one.tokens, costs, one.kind), category - 1, priority - 1


def _brief(one: Row, rng: random.Random) -> Row:
    """The row without its reply, most times."""
    if rng.random() < 0.3:
        return one
    end = max(at for at, cost in enumerate(one.costs) if cost in (LABEL, COPIED)) + 1
    return Row(one.tokens[:end], one.costs[:end], one.kind)


def _whole(one: Row) -> Row:
    """The row with its reply, each word of which counts."""
    return Row(one.tokens, [WHOLE if cost == TEXT else cost for cost in one.costs], one.kind)


def _ends(one: Row, coder: Coder) -> list[int]:
    """Where in a row the words of its message end: before a token that begins with a space, or the answer."""
    vocabulary = coder.vocabulary
    last = one.tokens.index(vocabulary.answer_id)
    starts = [at for at in range(2, last) if vocabulary.pieces[one.tokens[at]].startswith(SPACE)]
    return [at - 1 for at in (*starts, last)]


def _given(one: Ticket) -> Tensor:
    """The labels that people gave, as nearly sure."""
    likely = [torch.full((size,), DOUBT / size) for size in SIZES]
    for field, number in zip(likely, numbers(one), strict=True):
        field[number] += 1 - DOUBT
    return torch.cat(likely)


def batches(lessons: Lessons, labelled: Mixed, coder: Coder, plan: Plan, *, whole: bool) -> Iterator[Taught]:
    """Endless batches of lessons, each once in every round, and of messages that people labelled."""
    seed, size = plan.seed, plan.batch
    rng = random.Random(seed)
    words = coder.vocabulary.words()
    waiting: list[int] = []
    while True:
        rows = []
        for _ in range(size * 16):
            if rng.random() < LABELLED:
                one = labelled.ticket(rng)
                likely, states, said = _given(one), torch.zeros(WIDTH), None
            else:
                waiting = waiting or rng.sample(range(len(lessons)), len(lessons))
                at = waiting.pop()
                one, likely, states = lessons.ticket(at), lessons.likely[at], lessons.states[at]
                said = lessons.words[at]
            row = coder.row(one.example(), rng)
            ends = [] if said is None else _ends(row, coder)
            row = blank(row, words, rng)
            row = _whole(row) if whole else _brief(cut(row, rng), rng)
            if len(row.tokens) <= LONGEST:
                rows.append((*_soft(row), likely, states, ends, said))
        rows.sort(key=lambda row: len(row[0].tokens))
        groups = [rows[at : at + size] for at in range(0, len(rows) - size + 1, size)]
        rng.shuffle(groups)
        for group in groups:
            batch = pad([one[0] for one in group])
            length = batch.inputs.shape[1]
            yield Taught(
                batch,
                torch.tensor([one[1] for one in group]),
                torch.tensor([one[2] for one in group]),
                torch.stack([one[3] for one in group]),
                torch.stack([one[4] for one in group]),
                torch.tensor([length * at + end for at, one in enumerate(group) for end in one[5]], dtype=torch.long),
                torch.cat([torch.zeros(0, WIDTH), *(one[6].float() for one in group if one[6] is not None)]),
            )


class Student(nn.Module):
    """The network with what is there only while it learns: a guess at the matter, and a likeness of the teacher."""

    def __init__(self, network: Network, coder: Coder) -> None:
        super().__init__()
        self.network = network
        self.guess = nn.Linear(network.shape.width, SIZES[1])
        self.likeness = nn.Linear(network.shape.width, WIDTH)
        self.meaning = nn.Linear(network.shape.width, WIDTH)
        ids = coder.vocabulary.ids
        self.categories = torch.tensor([ids[name] for name in CATEGORIES])
        self.priorities = torch.tensor([ids[name] for name in PRIORITIES])

    def forward(self, taught: Taught) -> Tensor:
        """The mean cost of a batch."""
        batch, every = taught.batch, torch.arange(len(taught.states))
        flat = batch.costs.flatten()
        chosen = (flat > 0) & ((flat != MESSAGE) | (torch.rand(flat.shape) < 0.5))
        at = chosen.nonzero()[:, 0]
        with torch.autocast("cpu", torch.bfloat16):
            states = self.network.trunk(batch.inputs)
            logits = self.network.output(states.flatten(0, 1)[at])
            guesses = self.guess(states)
            there = states[every, taught.category_at]
            named = self.network.output(torch.cat([there, states[every, taught.priority_at]])).float()
            like = self.likeness(there).float()
            meant = self.meaning(states.flatten(0, 1)[taught.words_at]).float()
        categories, matters, priorities = parts(taught.likely)
        first, second = named.log_softmax(-1).chunk(2)
        labels = -(FIRST_LABEL * (categories * first[:, self.categories]).sum())
        labels = labels - LABEL * (priorities * second[:, self.priorities]).sum()
        losses = functional.cross_entropy(
            logits.float(), batch.targets.flatten()[at], reduction="none", label_smoothing=0.02
        )
        cost = flat[at].sum() + (FIRST_LABEL + LABEL) * len(every)
        answers = ((losses * flat[at]).sum() + labels) / cost
        inside = batch.costs == MESSAGE
        weight = (inside.cumsum(1) / inside.sum(1, keepdim=True))[inside]
        wanted = matters[:, None].expand(-1, inside.shape[1], -1)[inside]
        early = functional.cross_entropy(guesses[inside].float(), wanted, reduction="none")
        unlike = 1 - functional.cosine_similarity(like, taught.states).mean()
        alike = functional.cosine_similarity(meant, taught.words)
        unlike = LIKENESS * unlike + LIKE_WORDS * (1 - alike.sum() / max(1, len(alike)))
        total: Tensor = answers + 0.5 * (early * weight).sum() / weight.sum() + unlike
        return total


def teach(plan: Plan, coder: Coder, lessons: Lessons, dev: list[Ticket], kept_at: Path, *, whole: bool = False) -> None:
    """Trains as `distil.train` does, on lessons, and writes the averaged weights to `kept_at`.

    With `whole` every row has all of its reply.
    """
    torch.manual_seed(plan.seed)
    torch.set_num_threads(plan.threads)
    examples = [one.example() for one in dev]
    student = Student(started(plan, coder, None).train(), coder)
    model = student.network
    kept = Network(model.shape)
    kept.load_state_dict(model.state_dict())
    fresh = [weight for part in (student.guess, student.likeness, student.meaning) for weight in part.parameters()]
    aids = torch.optim.AdamW(fresh, weight_decay=plan.decay)
    makers = [*optimizers_for(model, plan), aids]  # what is new learns fast, while a file's weights move little
    rates = (plan.rate, plan.rate_adam, AID_RATE)
    start, done, mean = time.monotonic(), 0.0, 0.0
    for step, taught in enumerate(batches(lessons, Mixed(), coder, plan, whole=whole), 1):
        loss = student(taught)
        for maker in makers:
            maker.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for maker, rate in zip(makers, rates, strict=True):
            maker.param_groups[0]["lr"] = rate * warmth(step, done)
            maker.step()
        mean = loss.item() if step == 1 else 0.98 * mean + 0.02 * loss.item()
        with torch.no_grad():
            for old, new in zip(kept.parameters(), model.parameters(), strict=True):
                old.lerp_(new, 1 - min(plan.average, step / (step + 9)))
        spent = time.monotonic() - start
        done = step / plan.steps if plan.seconds is None else spent / plan.seconds
        if step % 50 == 0:
            print(f"step {step} loss {mean:.3f} {spent:.0f} s", flush=True)
        if step % 400 == 0 or done >= 1:
            label, text = accuracy(kept, coder, examples)
            print(f"step {step} dev: label {label:.3f} text {text:.3f} {spent:.0f} s", flush=True)
            save(kept, kept_at)
        if done >= 1:
            break
