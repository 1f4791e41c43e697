"""The form of the answers: what stands fixed between their values, and what kind of value each field has."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .dataset import Answer, DatasetError, Example

Kind = Literal["label", "copied", "text"]
LABELS = 64
"""A field with more different values than this is no label."""
SEEN = 8
"""How often the values of a label occur, in the mean and at least."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field: a `label` out of a few, something `copied` from the message, or a `text`."""

    name: str
    kind: Kind
    labels: tuple[str, ...] = ()
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an answer: a value of a field, or what is fixed around values, where `field` is None.

    `decides` says of a fixed part that another could stand in its place; `after` is the kind of the value before it.
    """

    text: str
    field: Field | None = None
    decides: bool = False
    after: Kind | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """The fields of the answers, in their order."""

    fields: tuple[Field, ...]

    def _between(self, before: int, after: int) -> str:
        """What stands between the values of two fields, if those between them are null; -1 and the last are ends."""
        text = "{" if before < 0 else '"'
        for at in range(before + 1, after):
            text += f'{", " if at else ""}"{self.fields[at].name}": null'
        if after == len(self.fields):
            return text + "}"
        return f'{text}{", " if after else ""}"{self.fields[after].name}": "'

    def _after(self, before: int) -> list[int]:
        """Which fields can have the next value; the last number stands for the end."""
        found = []
        for at in range(before + 1, len(self.fields) + 1):
            found.append(at)
            if at < len(self.fields) and not self.fields[at].nullable:
                break
        return found

    def literals(self) -> list[str]:
        """Every fixed part that can occur."""
        return [self._between(at, then) for at in range(-1, len(self.fields)) for then in self._after(at)]

    def labels(self) -> list[str]:
        """The labels of all fields that are one word each; they are single pieces of the vocabulary."""
        found = [label for field in self.fields for label in field.labels if " " not in label]
        return list(dict.fromkeys(found))

    def first_label(self, answer: Answer) -> str | None:
        """The value of the first field that is a label."""
        return next((answer[field.name] for field in self.fields if field.kind == "label"), None)

    def parts(self, answer: Answer) -> list[Part]:
        """The answer in its parts, which together are the line of JSON."""
        if list(answer) != [field.name for field in self.fields]:
            raise DatasetError(f"the fields of {answer} are not those of the others")
        before, found = -1, []
        for at, field in enumerate((*self.fields, None)):
            value = "" if field is None else answer[field.name]
            if value is None:
                continue
            kind = self.fields[before].kind if before >= 0 else None
            found.append(Part(self._between(before, at), None, len(self._after(before)) > 1, kind))
            if field is not None:
                found.append(Part(json.dumps(value, ensure_ascii=False)[1:-1], field))
            before = at
        return found

    def schema(self, longest: Mapping[str, int]) -> dict[str, object]:
        """The JSON schema of the answers, with the most characters that a field that is no label may have."""
        properties: dict[str, object] = {}
        for field in self.fields:
            kind: dict[str, object] = {"type": "string", "maxLength": longest.get(field.name, 0)}
            if field.kind == "label":
                kind = {"enum": list(field.labels)}
            properties[field.name] = {"anyOf": [kind, {"type": "null"}]} if field.nullable else kind
        names = [field.name for field in self.fields]
        return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def learned(examples: Sequence[Example]) -> Frame:
    """The frame of examples, each field's kind as its values show it."""
    return Frame(tuple(_field(name, examples) for name in examples[0].answer))


def _field(name: str, examples: Sequence[Example]) -> Field:
    given = [(one.message, value) for one in examples if (value := one.answer[name]) is not None]
    values = sorted({value for _, value in given})
    nullable = len(given) < len(examples)
    if values and len(values) <= LABELS and len(given) >= SEEN * len(values):
        return Field(name, "label", tuple(values), nullable)
    if given and sum(value in message for message, value in given) >= 0.9 * len(given):
        return Field(name, "copied", (), nullable)
    return Field(name, "text", (), nullable)
