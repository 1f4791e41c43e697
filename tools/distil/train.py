"""Trains the network: Muon for the matrices, AdamW for the rest, an average of the weights for keeps."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from .batches import DECIDING, FIRST_LABEL, MESSAGE, Batch, Coder, Source, pad, streamed
from .copying import Invent, learn_to_copy
from .dataset import Example
from .export import read, save
from .network import Network, Shape

GUESS = 0.5
COPY_STEPS = 600


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a training run. With `seconds` it ends after that time, whatever the number of steps.

    A quarter as many steps, or of the time, goes before them to learn copying, if anything is copied.

    With `start` it goes on from the weights of a file, which knows how to copy already.
    """

    steps: int = 2400
    seconds: float | None = None
    start: Path | None = None
    batch: int = 64
    rate: float = 0.012
    rate_adam: float = 2e-3
    decay: float = 0.05
    average: float = 0.998
    seed: int = 11
    dropout: float = 0.08
    width: int = 256
    hidden: int = 512
    layers: int = 4
    heads: int = 8
    threads: int = 2


def loss_of(model: Network, guess: nn.Linear, batch: Batch) -> Tensor:
    """The mean cost of a batch, over all of the answers and half of the messages' tokens.

    At every word of the message `guess` also names the kind: it teaches the words, and is not kept.
    """
    costs = batch.costs.flatten()
    chosen = (costs > 0) & ((costs != MESSAGE) | (torch.rand(costs.shape) < 0.5))
    at = chosen.nonzero()[:, 0]
    with torch.autocast("cpu", torch.bfloat16):
        states = model.trunk(batch.inputs)
        logits = model.output(states.flatten(0, 1)[at])
        guesses = guess(states)
    losses = functional.cross_entropy(
        logits.float(), batch.targets.flatten()[at], reduction="none", label_smoothing=0.02
    )
    answers = (losses * costs[at]).sum() / costs[at].sum()
    inside = batch.costs == MESSAGE
    wanted = batch.kinds[:, None].expand_as(inside)[inside]
    # The first words tell little: the weight of a guess grows along the message.
    weight = (inside.cumsum(1) / inside.sum(1, keepdim=True))[inside]
    early = functional.cross_entropy(guesses[inside].float(), wanted, reduction="none", label_smoothing=0.05)
    return answers + GUESS * (early * weight).sum() / weight.sum()


@torch.no_grad()
def accuracy(model: Network, coder: Coder, dev: list[Example]) -> tuple[float, float]:
    """The share of messages whose first label comes out right, and of texts that do where the labels are given."""
    model.eval()
    right, fitting = 0, 0
    cut = sorted((coder.row(one) for one in dev), key=lambda one: len(one.tokens))
    for batch in (pad(cut[at : at + 64]) for at in range(0, len(cut), 64)):
        best = model(batch.inputs).argmax(-1) == batch.targets
        right += int((best | (batch.costs != FIRST_LABEL)).all(1).sum())
        fitting += int((best | (batch.costs != DECIDING)).all(1).sum())
    model.train()
    return right / len(dev), fitting / len(dev)


def optimizers_for(model: Network, plan: Plan, more: Iterable[nn.Parameter] = ()) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the rest of the network and for `more`."""
    matrices = [weight for name, weight in model.named_parameters() if weight.dim() == 2 and name.startswith("blk")]
    chosen = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=plan.rate, weight_decay=plan.decay, momentum=0.95),
        torch.optim.AdamW([*others, *more], lr=plan.rate_adam, betas=(0.9, 0.98), weight_decay=plan.decay),
    ]


def warmth(step: int, done: float) -> float:
    """The share of the rate: up over a hundred steps or a tenth, level, and down to nothing over the last half."""
    return max(0.0, min(1.0, max(step / 100, 10 * done), 2.0 * (1.0 - done)))


def started(plan: Plan, coder: Coder, invent: Invent | None) -> Network:
    """The network to begin with: a file's, or a new one that has learned to copy."""
    vocabulary = coder.vocabulary
    if plan.start is not None:
        model, known = read(plan.start, vocabulary.frame, plan.dropout)
        if known.pieces != vocabulary.pieces:
            msg = f"{plan.start} has another vocabulary than the one to train with"
            raise ValueError(msg)
        return model
    model = Network(Shape(len(vocabulary), plan.width, plan.hidden, plan.layers, plan.heads, dropout=plan.dropout))
    if invent is not None:
        seconds = plan.seconds and plan.seconds / 4
        learn_to_copy(model, vocabulary, invent, min(COPY_STEPS, plan.steps // 4), plan.seed, seconds=seconds)
    return model


def train(
    plan: Plan, coder: Coder, source: Source, dev: list[Example], kept_at: Path, *, invent: Invent | None = None
) -> Network:
    """Trains on what `source` draws, and keeps the averaged weights, which it gives and writes to `kept_at`.

    `invent` makes up what has to be copied, if anything has. `dev` is only measured on.
    """
    torch.manual_seed(plan.seed)
    torch.set_num_threads(plan.threads)
    model = started(plan, coder, invent).train()
    kept = Network(model.shape)
    kept.load_state_dict(model.state_dict())
    print(f"{sum(weight.numel() for weight in model.parameters()):,} parameters", flush=True)
    guess = nn.Linear(model.shape.width, len(coder.material.kinds))
    optimizers = optimizers_for(model, plan, guess.parameters())
    mean, done = 0.0, 0.0
    start = time.monotonic()
    for step, batch in enumerate(streamed(source, coder, plan.seed, plan.batch), 1):
        loss = loss_of(model, guess, batch)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, rate in zip(optimizers, (plan.rate, plan.rate_adam), strict=True):
            optimizer.param_groups[0]["lr"] = rate * warmth(step, done)
            optimizer.step()
        mean = 0.98 * mean + 0.02 * loss.item()
        with torch.no_grad():
            for old, new in zip(kept.parameters(), model.parameters(), strict=True):
                old.lerp_(new, 1 - min(plan.average, step / (step + 9)))
        spent = time.monotonic() - start
        done = step / plan.steps if plan.seconds is None else spent / plan.seconds
        if step % 50 == 0:
            print(f"step {step} loss {mean:.3f} {spent:.0f} s", flush=True)
        if step % 200 == 0 or done >= 1:
            label, text = accuracy(kept, coder, dev)
            print(f"step {step} dev: label {label:.3f} text {text:.3f} {spent:.0f} s", flush=True)
            save(kept, kept_at)
        if done >= 1:
            break
    return kept.eval()
