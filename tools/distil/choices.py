"""Which words of a text decide which of some known texts it is: where a wrong word costs most."""

import re
from collections import defaultdict
from collections.abc import Iterable

from .dataset import Answer
from .frame import Frame

OFTEN = 2
"""How often a word must have followed the same words to count as a way that a text can go on."""
COPY = "{}"


class Choices:
    """The ways in which the texts of answers with the same labels go on, word by word."""

    def __init__(self, frame: Frame, answers: Iterable[Answer]) -> None:
        self.frame = frame
        self._counts: dict[tuple[str, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for answer in answers:
            for field in frame.fields:
                value = answer[field.name]
                if field.kind == "text" and value is not None:
                    place = self._place(field.name, answer)
                    for word in self._words(value, answer):
                        self._counts[place][word] += 1
                        place = (*place, word)

    def deciding(self, name: str, answer: Answer) -> frozenset[int]:
        """The places of the words in a field's text where known texts part."""
        place, found = self._place(name, answer), set()
        for at, word in enumerate(self._words(answer[name] or "", answer)):
            ways = self._counts.get(place, {})
            if sum(count >= OFTEN for count in ways.values()) > 1:
                found.add(at)
            place = (*place, word)
        return frozenset(found)

    def _place(self, name: str, answer: Answer) -> tuple[str, ...]:
        """Texts are told apart among those of the same first label, with the same fields null."""
        return (
            name,
            self.frame.first_label(answer) or "",
            *(known for known, value in answer.items() if value is None),
        )

    def _words(self, text: str, answer: Answer) -> list[str]:
        copied = {answer[field.name] for field in self.frame.fields if field.kind == "copied"}
        return [
            re.sub(r"^.*?([.,]*)$", rf"{COPY}\1", word) if word.rstrip(".,") in copied else word
            for word in text.split(" ")
        ]
