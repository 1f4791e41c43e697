"""The vocabulary, and an encoder that merges exactly as the llama library does.

SentencePiece trains the pieces. The library then ignores SentencePiece and joins, again and again, the
leftmost adjacent pair whose join has the best score; training must see those very tokens, so that the
same procedure stands here. Pieces of the JSON frame are out of its reach: no two pieces join to them.
"""

import io
import json
import random
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import sentencepiece

from .labels import CATEGORIES, PRIORITIES, answer

SPACE = "\u2581"
UNK, BOS, EOS, FIRST_BYTE = 0, 1, 2, 3
ANSWER = "<|answer|>"
OPEN = '{"category": "'
PRIORITY = '", "priority": "'
NUMBER = '", "order_id": "'
NO_NUMBER = '", "order_id": null, "reply": "'
REPLY = '", "reply": "'
CLOSE = '"}'
FRAME = (OPEN, PRIORITY, NUMBER, NO_NUMBER, REPLY, CLOSE)


class Vocabulary:
    """Pieces with scores, and the two ways between text and tokens."""

    def __init__(self, pieces: list[str]) -> None:
        self.learned = pieces
        frame = [piece.replace(" ", SPACE) for piece in FRAME]
        labels = [f"{name}" for name in (*CATEGORIES, *PRIORITIES) if name not in pieces]
        head = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
        self.pieces = [*head, *pieces, *labels, *frame, ANSWER]
        self.ids = {piece: at for at, piece in enumerate(self.pieces)}
        self.rank = {piece: at for at, piece in enumerate(pieces)}
        # Labels are learned after all merges, so that they never change how a message is cut.
        self.rank.update({piece: len(pieces) + at for at, piece in enumerate([*labels, *frame])})
        self.answer_id = self.ids[ANSWER]
        self.word = lru_cache(200_000)(self._word)

    def __len__(self) -> int:
        return len(self.pieces)

    def score(self, token: int) -> float:
        """The score the file carries: the earlier a merge was learned, the higher."""
        return -float(self.rank.get(self.pieces[token], 0))

    def _word(self, text: str) -> tuple[int, ...]:
        return self._merge(text, None)

    def _merge(self, text: str, drop: random.Random | None) -> tuple[int, ...]:
        parts = list(text)
        while len(parts) > 1:
            joins = [
                (rank, at)
                for at in range(len(parts) - 1)
                if (rank := self.rank.get(parts[at] + parts[at + 1])) is not None
                and (drop is None or drop.random() > 0.15)
            ]
            if not joins:
                break
            at = min(joins)[1]
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        tokens: list[int] = []
        for part in parts:
            if part in self.rank:
                tokens.append(self.ids[part])
            else:
                tokens += [FIRST_BYTE + byte for byte in part.encode()]
        return tuple(tokens)

    def encode(self, text: str, drop: random.Random | None = None, rate: float = 0.0) -> list[int]:
        """Tokens of a message; `drop` cuts some words finer, for training."""
        tokens: list[int] = []
        for word in text.split(" "):
            if drop is not None and drop.random() < rate:
                tokens += self._merge(SPACE + word, drop)
            else:
                tokens += self.word(SPACE + word)
        return tokens

    def encode_answer(self, category: str, priority: str, order_id: str | None, reply: str) -> list[int]:
        """Tokens of the JSON line, the frame in whole pieces."""
        frame = {piece: self.ids[piece.replace(" ", SPACE)] for piece in FRAME}
        number = [frame[NO_NUMBER]]
        if order_id is not None:
            number = [frame[NUMBER], *self.spelled(order_id), frame[REPLY]]
        first, _, rest = reply.partition(" ")
        words = list(self.word(first))
        for word in rest.split(" "):
            words += self.spelled(word, SPACE) if word.rstrip(".") == order_id else self.word(SPACE + word)
        tokens = [frame[OPEN], self.ids[category], frame[PRIORITY], self.ids[priority], *number, *words]
        return [*tokens, frame[CLOSE], EOS]

    def spelled(self, text: str, before: str = "") -> list[int]:
        """One token a character, so that copying an order number never depends on how it was cut."""
        tokens = [self.ids[before]] if before else []
        for character in text:
            at = self.ids.get(character)
            tokens += [at] if at is not None else [FIRST_BYTE + byte for byte in character.encode()]
        return tokens

    def decode(self, tokens: Iterable[int]) -> str:
        """Text of tokens, control tokens left out."""
        out = bytearray()
        for token in tokens:
            if FIRST_BYTE <= token < FIRST_BYTE + 256:
                out.append(token - FIRST_BYTE)
            elif token > EOS and token != self.answer_id:
                out += self.pieces[token].replace(SPACE, " ").encode()
        return out.decode(errors="replace")

    def words(self) -> frozenset[int]:
        """The tokens that are words or large parts of one, and never part of an order number."""
        plain = ((at, piece.lstrip(SPACE)) for at, piece in enumerate(self.pieces[: -len(FRAME) - 1]))
        return frozenset(at for at, piece in plain if len(piece) > 2 and piece.isalpha())

    def save(self, path: Path) -> None:
        """Writes the learned pieces in the order of their merges."""
        path.write_text(json.dumps(self.learned, ensure_ascii=False, indent=0), "utf-8")

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Reads what `save` wrote."""
        return cls(json.loads(path.read_text("utf-8")))

    def check(self) -> None:
        """Makes sure that no message can be cut into pieces of the JSON frame, and that answers read back."""
        for piece in FRAME:
            text = piece.replace(" ", SPACE)
            if SPACE in text and any(text[:at] in self.rank and text[at:] in self.rank for at in range(1, len(text))):
                msg = f"{piece!r} can be reached by a merge"
                raise ValueError(msg)
        reply = "Thank you for A-20817."
        for number in ("A-20817", None):
            tokens = self.encode_answer("payment", "high", number, reply)
            if self.decode(tokens) != answer("payment", "high", number, reply):
                msg = f"an answer reads back as {self.decode(tokens)!r}"
                raise ValueError(msg)


def learn(texts: Iterable[str], size: int) -> list[str]:
    """Trains the pieces: digits apart, capitals only at their head, so that numbers are copied as typed."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, model_type="bpe", vocab_size=size + 420,
        split_digits=True, byte_fallback=True, character_coverage=0.9998, normalization_rule_name="identity",
        required_chars="".join(map(chr, range(33, 127))), max_sentencepiece_length=16, num_threads=2,
        minloglevel=1, add_dummy_prefix=True,
    )  # fmt: skip
    trained = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [trained.id_to_piece(at) for at in range(FIRST_BYTE + 256, trained.get_piece_size())]
    single = sorted(piece for piece in pieces if len(piece) == 1)
    merged = [piece for piece in pieces if len(piece) > 1 and _plain(piece)]
    return [*merged[: size - len(single)], *single]


def _plain(piece: str) -> bool:
    body = piece.lstrip(SPACE)
    return (
        SPACE not in body
        and not any(c.isdigit() or c in '"{}' for c in body)
        and not any(c.isupper() for c in body[1:])
    )
