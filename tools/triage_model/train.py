"""Trains the network: Muon for the matrices, AdamW for the rest, an average of the weights for keeps."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional

from .batches import MESSAGE, Batch, pad, row, streamed
from .copying import learn_to_copy
from .export import save
from .handwritten import split
from .labels import CATEGORIES, Ticket
from .network import Network, Shape
from .places import VOCABULARY
from .vocabulary import Vocabulary

GUESS = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a training run."""

    steps: int = 2400
    batch: int = 64
    share: float = 0.6
    rate: float = 0.012
    rate_adam: float = 2e-3
    decay: float = 0.05
    average: float = 0.998
    seed: int = 11
    dropout: float = 0.08


def loss_of(model: Network, guess: nn.Linear, trunk: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
    """The mean cost of a batch, over all of the answers and half of the messages' tokens.

    At every word of the message `guess` also names the category: it teaches the words, and is not kept.
    """
    costs = batch.costs.flatten()
    chosen = (costs > 0) & ((costs != MESSAGE) | (torch.rand(costs.shape) < 0.5))
    at = chosen.nonzero()[:, 0]
    with torch.autocast("cpu", torch.bfloat16):
        states = trunk(batch.inputs)
        logits = model.output(states.flatten(0, 1)[at])
        guesses = guess(states)
    losses = functional.cross_entropy(
        logits.float(), batch.targets.flatten()[at], reduction="none", label_smoothing=0.02
    )
    answers = (losses * costs[at]).sum() / costs[at].sum()
    inside = batch.costs == MESSAGE
    wanted = batch.categories[:, None].expand_as(inside)[inside]
    # The first words tell little: the weight of a guess grows along the message.
    weight = (inside.cumsum(1) / inside.sum(1, keepdim=True))[inside]
    early = functional.cross_entropy(guesses[inside].float(), wanted, reduction="none", label_smoothing=0.05)
    return answers + GUESS * (early * weight).sum() / weight.sum()


@torch.no_grad()
def category_accuracy(model: Network, rows: list[Ticket], vocabulary: Vocabulary) -> float:
    """The share of messages whose category is the most likely token."""
    model.eval()
    choices = torch.tensor([vocabulary.ids[name] for name in CATEGORIES])
    right = 0
    for one in rows:
        batch = pad([row(one, vocabulary)])
        at = batch.inputs[0].tolist().index(vocabulary.answer_id) + 1
        best = model(batch.inputs[:, : at + 1])[0, at, choices].argmax()
        right += CATEGORIES[int(best)] == one.category
    model.train()
    return right / len(rows)


def _optimizers(model: Network, guess: nn.Linear, plan: Plan) -> list[torch.optim.Optimizer]:
    matrices = [weight for name, weight in model.named_parameters() if weight.dim() == 2 and name.startswith("blk")]
    chosen = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=plan.rate, weight_decay=plan.decay, momentum=0.95),
        torch.optim.AdamW(
            [*others, *guess.parameters()], lr=plan.rate_adam, betas=(0.9, 0.98), weight_decay=plan.decay
        ),
    ]


def _warmth(step: int, steps: int) -> float:
    """Up over the first hundred steps, level, and down to nothing over the last half."""
    return min(1.0, (step + 1) / 100, 2.0 * (steps - step) / steps)


def train(plan: Plan) -> None:
    """Trains and keeps the averaged weights."""
    torch.manual_seed(plan.seed)
    torch.set_num_threads(2)
    vocabulary = Vocabulary.load(VOCABULARY)
    hand, dev = split()
    shape = Shape(len(vocabulary), dropout=plan.dropout)
    model, kept = Network(shape), Network(shape)
    kept.load_state_dict(model.state_dict())
    print(
        f"{sum(weight.numel() for weight in model.parameters()):,} parameters, {len(hand)} hand-written",
        flush=True,
    )
    guess = nn.Linear(shape.width, len(CATEGORIES))
    optimizers = _optimizers(model, guess, plan)
    trunk = torch.compile(model.trunk, dynamic=False)
    learn_to_copy(model, torch.compile(model.trunk, dynamic=True), vocabulary, plan.seed)
    kept.load_state_dict(model.state_dict())
    start = time.monotonic()
    mean = 0.0
    batches = streamed(plan.seed, plan.batch, plan.share)
    for step, batch in enumerate(islice(batches, plan.steps)):
        loss = loss_of(model, guess, trunk, batch)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, rate in zip(optimizers, (plan.rate, plan.rate_adam), strict=True):
            optimizer.param_groups[0]["lr"] = rate * _warmth(step, plan.steps)
            optimizer.step()
        mean = 0.98 * mean + 0.02 * loss.item()
        with torch.no_grad():
            for old, new in zip(kept.parameters(), model.parameters(), strict=True):
                old.lerp_(new, 1 - min(plan.average, (step + 1) / (step + 10)))
        if step % 50 == 49:
            print(f"step {step + 1} loss {mean:.3f} {time.monotonic() - start:.0f} s", flush=True)
        if step % 200 == 199 or step == plan.steps - 1:
            right = category_accuracy(kept, dev, vocabulary)
            print(
                f"step {step + 1} loss {mean:.3f} dev {right:.3f} {time.monotonic() - start:.0f} s",
                flush=True,
            )
            save(kept)
