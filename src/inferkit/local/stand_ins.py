"""Marks that stand for texts while a chat template writes around them, and the texts that come back in their places."""

from __future__ import annotations

import re
import secrets

__all__ = ["StandIns"]

_EDGE = "\u2003"
"""A space that every template strips where it strips, and that none writes."""


class StandIns:
    """Marks that stand for texts while a template writes around them. Those with edges show where it strips them."""

    def __init__(self, nonce: str | None = None) -> None:
        self.nonce = nonce or secrets.token_hex(8)
        self._texts: list[str] = []

    def of(self, text: str, *, edge: str = _EDGE) -> str:
        """Give what stands for a text."""
        self._texts.append(text)
        return f"{edge}\ue000{self.nonce}:{len(self._texts) - 1}\ue001{edge}"

    def parted(self, written: str) -> list[str]:
        """Give a template's own words, a text, its own words again, and so on."""
        found = re.split(f"({_EDGE}?)\ue000{self.nonce}:(\\d+)\ue001({_EDGE}?)", written)
        parts = found[:1]
        for left, at, right, words in zip(found[1::4], found[2::4], found[3::4], found[4::4], strict=True):
            text = self._texts[int(at)]
            text = text if left else text.lstrip()
            parts += [text if right else text.rstrip(), words]
        return parts
