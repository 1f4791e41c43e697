"""What a local model is asked in order to end a reply that its budget cut: in a few tokens, and held to a grammar.

Under a schema, the grammar takes what is missing of the object and nothing else. A sentence is gone on with for some
words, up to its end. The last word that is there is given to the grammar and not to the prompt, so that a word which
was cut in the middle is written by the tokens that the model knows it by.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from inferkit.core.errors import InvalidRequest
from inferkit.core.messages import Message, TextPart
from inferkit.local.completion import completion_for
from inferkit.local.errors import PROVIDER
from inferkit.local.gbnf import write_gbnf
from inferkit.local.prompts import BEGUN
from inferkit.local.rules import Item, RuleBook, Rules

if TYPE_CHECKING:
    from inferkit.core.request import Request

__all__ = ["Landing", "landing_of"]

_QUESTION_BYTES, _REPLY_BYTES = 120, 240

_WORDS, _LETTERS = 16, 24
_ENDS = ".!?。！？"  # noqa: RUF001 - of Chinese and Japanese
_OVER = re.compile(rf"[{_ENDS}…:;]['\"’”»)\]*_`]*\s*$")  # noqa: RUF001 - quotes
_LAST_WORD = re.compile(rf"\s*\S{{0,{_LETTERS}}}$")
_FENCE = "```"
_ELLIPSIS = "…"


class Landing(NamedTuple):
    """How a reply is ended: by `text`, or by what comes behind `words` in the reply to these `messages`.

    Where that is cut itself, `or_else` ends it behind its last whole word; it is of no use where there is none.
    """

    text: str | None = None
    words: str = ""
    messages: tuple[Message, ...] = ()
    grammar: str = ""
    or_else: str | None = None


def landing_of(request: Request, said: str, *, chats: bool) -> Landing:
    """Say how a reply of which so much was said is ended. Raises `InvalidRequest` where it cannot be.

    A model that does not chat (`chats`) adds no words: a sentence ends with an ellipsis then, and so does a text of an
    object.
    """
    found = _LAST_WORD.search(said)
    last = "" if found is None else found.group()
    if request.response_schema is not None:
        rest = completion_for(request.response_schema, said, words=chats)
        if rest is None:
            return Landing("")
        rules = {**rest, "root": [[["text", last], *one] for one in rest["root"]]}
    elif said.count(_FENCE) % 2:
        raise InvalidRequest("the reply was cut in the middle of code", provider=PROVIDER, code="unsupported")
    elif _OVER.search(said):
        return Landing("")
    elif not chats:
        return Landing(_ELLIPSIS)
    else:
        rules = _end_of_sentence(last)
    questions = [message.text for message in request.messages if message.role == "user"]
    question = _shortened(questions[-1] if questions else "", _QUESTION_BYTES)
    begun = _shortened(said[: len(said) - len(last)], _REPLY_BYTES, end=True)
    messages = [Message.user(question)]
    if begun:
        messages.append(Message("assistant", (TextPart(begun),), extra={BEGUN: True}))
    or_else = None if request.response_schema is not None else _ELLIPSIS
    return Landing(None, last, tuple(messages), write_gbnf(rules), or_else)


def _end_of_sentence(last: str) -> Rules:
    """Give the grammar of the last word, the rest of it, some words more, and the end of their sentence."""
    book = RuleBook()
    ends: list[list[int]] = [[ord(one), ord(one)] for one in _ENDS]
    letter: Item = ["not", [[0, 32], [127, 127], *ends]]
    word = book.times(letter, 1, _LETTERS)
    more = book.times(book.rule([["text", " "], word]), 0, _WORDS)
    first = word if not last.strip() else book.times(letter, 0, _LETTERS)
    return {"root": [[["text", last], first, more, ["chars", ends]]], **book.rules}


def _shortened(text: str, most: int, *, end: bool = False) -> str:
    """Give the beginning or the end of a text, of so many bytes at most."""
    data = text.encode("utf-8", "replace")
    return (data[-most:] if end else data[:most]).decode("utf-8", "ignore")
