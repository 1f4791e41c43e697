"""The vocabulary of a model file: what each token spells, and a spelling of any text that no text can subvert."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["BYTE", "CONTROL", "NORMAL", "UNKNOWN", "UNUSED", "USER_DEFINED", "Vocabulary", "byte_token_text"]

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""The token types of SentencePiece, as GGUF numbers them."""

_SPACE = "▁".encode()  # SentencePiece writes a space as U+2581
_REPLACEMENT = "�".encode()


def byte_token_text(value: int) -> bytes:
    """Name the token that stands for one byte."""
    return b"<0x%02X>" % value


@dataclass(frozen=True)
class Vocabulary:
    """Token texts as they are in the file, their types, and the tokens that begin and end a text, if any do.

    `add_bos` says whether a prompt begins with `bos`.
    """

    texts: Sequence[bytes] = field(repr=False)
    types: Sequence[int] = field(repr=False)
    bos: int | None
    eos: int | None
    add_bos: bool = True

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def pieces(self) -> list[bytes]:
        """What each token adds to a reply, as bytes; a character may be spread over several tokens."""
        return [self._piece(text, kind) for text, kind in zip(self.texts, self.types, strict=True)]

    @staticmethod
    def _piece(text: bytes, kind: int) -> bytes:
        if kind == BYTE:
            return bytes((int(text[3:5], 16),))
        if kind in (NORMAL, USER_DEFINED):
            return text.replace(_SPACE, b" ")
        return _REPLACEMENT if kind == UNKNOWN else b""

    @cached_property
    def _normal(self) -> dict[bytes, int]:
        return {text: n for n, (text, kind) in enumerate(zip(self.texts, self.types, strict=True)) if kind == NORMAL}

    @cached_property
    def _bytes(self) -> dict[int, int]:
        return {int(text[3:5], 16): n for n, text in enumerate(self.texts) if self.types[n] == BYTE}

    @cached_property
    def _specials(self) -> dict[bytes, int]:
        kinds = (CONTROL, USER_DEFINED)
        return {text: n for n, text in enumerate(self.texts) if self.types[n] in kinds}

    def special(self, text: str) -> int | None:
        """Give the token of a control piece such as `<|im_end|>`, or None where the vocabulary has none."""
        return self._specials.get(text.encode())

    def special_texts(self) -> list[str]:
        """Give the control pieces, and those that whoever made the vocabulary defined."""
        return [text.decode("utf-8", "replace") for text in self._specials if text]

    def text(self, token: int | None) -> str:
        """Give a token's text as it stands in the file; nothing for none."""
        return "" if token is None else self.texts[token].decode("utf-8", "replace")

    def faithful(self, tokens: Sequence[int], text: str, reserved: Iterable[int] = ()) -> list[int]:
        """Return `tokens`, the engine's tokens of ` {text}`, corrected so that they spell that text and nothing else.

        The engine's tokeniser matches control pieces and byte names like any other piece, and stops at a zero byte. Any
        token that does not stand for just its own letters is replaced by tokens of single characters.
        """
        wanted = (" " + text).replace("▁", " ").encode("utf-8", "replace")
        pieces, types = self.pieces, self.types
        barred = {self.bos, self.eos, *reserved}
        plain = all(types[token] in (NORMAL, BYTE) and token not in barred for token in tokens)
        if plain and b"".join([pieces[token] for token in tokens]) == wanted:
            return list(tokens)
        result: list[int] = []
        position = 0
        for token in tokens:
            spelled = self.texts[token].replace(_SPACE, b" ")
            plain = types[token] in (NORMAL, BYTE) and token not in barred
            if plain and pieces[token] and wanted.startswith(pieces[token], position):
                result.append(token)
                position += len(pieces[token])
            elif spelled and wanted.startswith(spelled, position):
                result += self._spell(spelled)
                position += len(spelled)
            else:
                break
        return result + self._spell(wanted[position:])

    def _spell(self, raw: bytes) -> list[int]:
        """Spell text by single characters, and by bytes where the vocabulary lacks the character."""
        result: list[int] = []
        for character in raw.decode("utf-8", "surrogateescape"):
            encoded = character.encode("utf-8", "surrogateescape")
            token = self._normal.get(_SPACE if encoded == b" " else encoded)
            result += [self._bytes[byte] for byte in encoded] if token is None else [token]
        return result
