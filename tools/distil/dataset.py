"""What a student learns from: messages with the answers to them, read from a file, checked and split.

A line of the file is `{"message": "...", "answer": {...}}`. An answer is one flat object of texts and nulls, with the
same fields in the same order in every line: that is what a student this small can learn to write without fault.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Answer = dict[str, str | None]


class DatasetError(ValueError):
    """A data set that cannot be learned from, with the line and what to do about it."""


@dataclass(frozen=True, slots=True)
class Example:
    """A message and its answer. `kind` may name a finer kind than the labels say; training then tells it apart too."""

    message: str
    answer: Answer
    kind: str | None = None


def one_line(message: str) -> str:
    """The message as the model reads it: on one line, with single spaces."""
    return " ".join(message.split())


def example(row: Mapping[str, Any]) -> Example:
    """One line of a data set. Raises `DatasetError` where it is none."""
    message, answer = row.get("message"), row.get("answer")
    if not isinstance(message, str) or not message.strip():
        raise DatasetError('there is no "message", a text that is not empty')
    if isinstance(answer, str):
        try:
            answer = json.loads(answer)
        except ValueError:
            raise DatasetError('its "answer" is a text that is no JSON') from None
    if not isinstance(answer, dict) or not answer:
        raise DatasetError('its "answer" is no object with fields')
    for name, value in answer.items():
        if value is not None and not isinstance(value, str):
            raise DatasetError(f'the field "{name}" is no text; write numbers and truths as texts, and lists apart')
    return Example(one_line(message), dict(answer))


def load(path: Path) -> list[Example]:
    """All examples of a file. Raises `DatasetError` with the first line that is none, or differs in its fields."""
    found: list[Example] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            one = example(json.loads(line))
        except ValueError as error:
            raise DatasetError(f"{path.name}, line {number}: {error}") from None
        if found and list(one.answer) != list(found[0].answer):
            wanted = ", ".join(found[0].answer)
            raise DatasetError(f"{path.name}, line {number}: its fields are not {wanted}, in this order")
        found.append(one)
    if not found:
        raise DatasetError(f"{path.name} holds no examples")
    return found


def save(examples: Sequence[Example], path: Path) -> None:
    """Writes examples as a file that `load` reads."""
    rows = ({"message": one.message, "answer": one.answer} for one in examples)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def without_conflicts(examples: Sequence[Example]) -> list[Example]:
    """The examples with each message once; one that was answered in two ways teaches nothing, and is left out."""
    answers: dict[str, list[Example]] = {}
    for one in examples:
        answers.setdefault(one.message.casefold(), []).append(one)
    return [found[0] for found in answers.values() if all(one.answer == found[0].answer for one in found)]


def without(examples: Sequence[Example], held_out: Sequence[Example]) -> list[Example]:
    """The examples whose message is not among the held-out ones."""
    known = {one.message.casefold() for one in held_out}
    return [one for one in examples if one.message.casefold() not in known]


def split(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Examples to train on, and a share of them set aside; the same ones for the same seed."""
    rows = list(examples)
    random.Random(seed).shuffle(rows)
    cut = round(len(rows) * share)
    return rows[cut:], rows[:cut]
