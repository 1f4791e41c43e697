"""The hand-written messages: loaded, split, and varied for training."""

import json
import random
import re
from pathlib import Path

from .generate import MARK, ORDERED, THREATENED, Filler, around, threaten
from .labels import Ticket, one_line
from .noise import roughen, swap_synonyms
from .places import DATA
from .slots import order_number, words

DEV_SHARE = 0.08


def load(path: Path) -> list[Ticket]:
    """The messages of one file."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    return [
        Ticket(one_line(row["message"]), row["category"], row["priority"], row["order_id"], row.get("matter"))
        for row in rows
    ]


def split() -> tuple[list[Ticket], list[Ticket]]:
    """Messages to train on, and messages to choose settings by."""
    rng = random.Random(7)
    train: list[Ticket] = []
    dev: list[Ticket] = []
    for path in sorted(DATA.glob("train_*.jsonl")):
        rows = load(path)
        rng.shuffle(rows)
        cut = round(len(rows) * DEV_SHARE)
        dev += rows[:cut]
        train += rows[cut:]
    return train, dev


def _swap_product(text: str, rng: random.Random) -> str:
    products = words()["product"]
    for product in rng.sample(products, len(products)):
        if re.search(rf"\b{product}\b", text):
            return re.sub(rf"\b{product}\b", rng.choice(products), text, count=1)
    return text


def _with_mark(row: Ticket, rng: random.Random) -> str:
    """The message with a mark for its order number, which it may have gained or lost."""
    text = row.message
    if row.order_id:
        text = text.replace(row.order_id, MARK)
    elif row.category in ORDERED and rng.random() < 0.25:
        sentence = Filler(wants_number=True).number_sentence(rng)
        text = f"{text} {sentence}" if rng.random() < 0.7 else f"{sentence} {text}"
    if row.order_id and rng.random() < 0.2:
        text = re.sub(rf"(?<=[.!?]) #?{MARK}[.]?$", "", text)
    return text


def _joined(text: str, row: Ticket, others: list[Ticket], rng: random.Random) -> str:
    """The message, followed now and then by another of the same labels."""
    if rng.random() < 0.1 and row.category != "unknown":
        other = rng.choice(others)
        if (other.matter, other.priority, other.order_id) == (row.matter, row.priority, None):
            text = f"{text} {other.message}"
    return text


def _reworded(text: str, rng: random.Random) -> str:
    """The message with other products and synonyms, its sentences in another order, and words left out."""
    if rng.random() < 0.12:
        sentences = re.split(r"(?<=[.!?]) ", text)
        rng.shuffle(sentences)
        text = " ".join(sentences)
    if rng.random() < 0.3:
        text = _swap_product(text, rng)
    if rng.random() < 0.6:
        text = swap_synonyms(text, 0.2, rng)
    if rng.random() < 0.25:
        text = " ".join(word for word in text.split(" ") if MARK in word or rng.random() > 0.06)
    return text


def vary(row: Ticket, others: list[Ticket], rng: random.Random) -> Ticket:
    """The message in other words, with another order number, in another dress; its labels still hold."""
    text, priority = _reworded(_joined(_with_mark(row, rng), row, others, rng), rng), row.priority
    if row.category != "unknown":
        text = around(text, rng, rate=0.12)
        if row.category in THREATENED and rng.random() < 0.05:
            text, priority = threaten(text, rng), "high"
    new = None
    if MARK in text:
        new = row.order_id if row.order_id and rng.random() < 0.2 else order_number(rng)
        text = text.replace(MARK, new)
    if rng.random() < 0.5:
        text, new = roughen(text, new, rng)
    return Ticket(one_line(text)[:700], row.category, priority, new, row.matter)
