"""The vocabulary, and an encoder that merges exactly as the llama library does.

SentencePiece trains the pieces. The library then ignores SentencePiece and joins, again and again, the
leftmost adjacent pair whose join has the best score; training must see those very tokens, so that the
same procedure stands here. Fixed parts of the answers are single pieces out of its reach: no two pieces join to them.
"""

import io
import json
import random
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from .dataset import Answer
from .frame import Frame, Part

SPACE = "\u2581"
UNK, BOS, EOS, FIRST_BYTE = 0, 1, 2, 3
ANSWER = "<|answer|>"


class Vocabulary:
    """Pieces with scores, and the two ways between text and tokens."""

    def __init__(self, pieces: list[str], frame: Frame) -> None:
        self.learned, self.frame = pieces, frame
        known = set(pieces)
        literals = [piece.replace(" ", SPACE) for piece in frame.literals()]
        labels = [name for name in frame.labels() if name not in known]
        head = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
        self.pieces = [*head, *pieces, *labels, *literals, ANSWER]
        self.ids = {piece: at for at, piece in enumerate(self.pieces)}
        self.rank = {piece: at for at, piece in enumerate(pieces)}
        # Labels are learned after all merges, so that they never change how a message is cut.
        self.rank.update({piece: len(pieces) + at for at, piece in enumerate([*labels, *literals])})
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

    def encode_answer(self, answer: Answer) -> list[int]:
        """Tokens of the JSON line, its fixed parts in whole pieces."""
        return [*(token for part in self.frame.parts(answer) for token in self.encode_part(part, answer)), EOS]

    def encode_part(self, part: Part, answer: Answer) -> list[int]:
        """Tokens of one part of the answer."""
        if part.field is None:
            return [self.ids[part.text.replace(" ", SPACE)]]
        if part.field.kind == "label" and part.text in self.ids:
            return [self.ids[part.text]]
        if part.field.kind == "copied":
            return self.spelled(part.text)
        return [token for word in self.words_of(part.text, self.copied(answer)) for token in word]

    def copied(self, answer: Answer) -> frozenset[str]:
        """What the answer copies from the message."""
        return frozenset(answer[field.name] or "" for field in self.frame.fields if field.kind == "copied") - {""}

    def words_of(self, text: str, copied: Iterable[str]) -> list[list[int]]:
        """Tokens of a text by its words; what was copied is spelled here too."""
        first, *rest = text.split(" ")
        words = [list(self.word(first))]
        for word in rest:
            spelled = word.rstrip(".,") in copied
            words.append(self.spelled(word, SPACE) if spelled else list(self.word(SPACE + word)))
        return words

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
        plain = ((at, piece.lstrip(SPACE)) for at, piece in enumerate(self.pieces[: -len(self.frame.literals()) - 1]))
        return frozenset(at for at, piece in plain if len(piece) > 2 and piece.isalpha())

    def save(self, path: Path) -> None:
        """Writes the learned pieces in the order of their merges."""
        path.write_text(json.dumps(self.learned, ensure_ascii=False, indent=0), "utf-8")

    @classmethod
    def load(cls, path: Path, frame: Frame) -> "Vocabulary":
        """Reads what `save` wrote."""
        return cls(json.loads(path.read_text("utf-8")), frame)

    @classmethod
    def of(cls, pieces: Sequence[str], frame: Frame) -> "Vocabulary":
        """The vocabulary with exactly these pieces, as a file lists them."""
        learned = list(pieces[FIRST_BYTE + 256 : -len(frame.literals()) - 1])
        while learned and learned[-1] in frame.labels():
            learned.pop()
        found = cls(learned, frame)
        if found.pieces != list(pieces):
            msg = "the file's vocabulary is not one for these answers"
            raise ValueError(msg)
        return found

    def check(self, answers: Iterable[Answer]) -> None:
        """Makes sure that no message can be cut into fixed parts of an answer, and that answers read back."""
        for piece in self.frame.literals():
            text = piece.replace(" ", SPACE)
            if SPACE in text and any(text[:at] in self.rank and text[at:] in self.rank for at in range(1, len(text))):
                msg = f"{piece!r} can be reached by a merge"
                raise ValueError(msg)
        for answer in answers:
            read = self.decode(self.encode_answer(answer))
            if read != json.dumps(answer, ensure_ascii=False):
                msg = f"an answer reads back as {read!r}"
                raise ValueError(msg)


def learn(texts: Iterable[str], size: int) -> list[str]:
    """Trains at most `size` pieces: digits apart, capitals only at their head, so that numbers are copied as typed."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, model_type="bpe", vocab_size=size + 420,
        split_digits=True, byte_fallback=True, character_coverage=0.9998, normalization_rule_name="identity",
        required_chars="".join(map(chr, range(33, 127))), max_sentencepiece_length=16, num_threads=2,
        minloglevel=1, add_dummy_prefix=True, hard_vocab_limit=False,
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
