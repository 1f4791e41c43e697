"""The first stage of training: copying, and nothing else.

A network this small finds out how to copy late and by luck when copying is one aim among many. On short rows of
random words around a number it learns it in minutes, and keeps it.
"""

import random
import time
from collections.abc import Callable, Iterator

import torch
from torch.nn import functional

from .batches import Batch, Row, pad
from .network import Network
from .vocabulary import BOS, EOS, Vocabulary

ROWS = 128
WORDS = 8  # at most so many on either side of the number
RATE = 2e-3


Invent = Callable[[random.Random], str]
"""Makes up something that could have to be copied: an order number, say."""


def rows(vocabulary: Vocabulary, invent: Invent, rng: random.Random) -> Iterator[Batch]:
    """Endless batches of: some words, a number, some words, and the number twice."""
    words = sorted(vocabulary.words())
    while True:
        found = []
        for _ in range(ROWS):
            number = invent(rng)
            before, after = (rng.choices(words, k=rng.randint(0, WORDS)) for _ in range(2))
            given = [BOS, *before, *vocabulary.encode(number), *after, vocabulary.answer_id]
            wanted = [*vocabulary.spelled(number), EOS] * 2
            found.append(Row(given + wanted, [0.0] * len(given) + [1.0] * len(wanted), 0))
        yield pad(found)


def learn_to_copy(
    model: Network, vocabulary: Vocabulary, invent: Invent, steps: int, seed: int, *, seconds: float | None = None
) -> None:
    """Trains for some steps, or until so many seconds have passed; after 600 steps numbers are copied nearly always."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.02)
    start = time.monotonic()
    model.eval()  # without dropout
    for step, batch in zip(range(steps), rows(vocabulary, invent, random.Random(seed)), strict=False):
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, (step + 1) / 50)
        at = batch.costs.flatten().nonzero()[:, 0]
        with torch.autocast("cpu", torch.bfloat16):
            logits = model.output(model.trunk(batch.inputs).flatten(0, 1)[at]).float()
        wanted = batch.targets.flatten()[at]
        loss = functional.cross_entropy(logits, wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if seconds is not None and time.monotonic() - start > seconds:
            break
        if step % 50 == 49:
            right = (logits.argmax(-1) == wanted).float().mean().item()
            print(
                f"copying {step + 1} loss {loss.item():.3f} right {right:.3f} {time.monotonic() - start:.0f} s",
                flush=True,
            )
    model.train()
