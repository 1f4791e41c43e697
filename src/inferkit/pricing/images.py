"""How many tokens an image comes to at most, by its size, its detail and its model, as the providers publish it.

https://platform.openai.com/docs/guides/images-vision#calculating-costs (tiles of 512 pixels, or patches of 32)
https://docs.claude.com/en/docs/build-with-claude/vision (750 pixels, or patches of 28)
https://ai.google.dev/gemini-api/docs/image-understanding (tiles of 768 pixels)
https://docs.x.ai/docs/guides/image-understanding (tiles of 448 pixels)

Where a page and what was billed differ, the larger holds. A model that is not known counts as the dearest that is.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from inferkit.pricing.image_sizes import size_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferkit.core.messages import ImagePart
    from inferkit.pricing.image_sizes import Size

__all__ = ["MOST_IMAGE_TOKENS", "image_tokens_bound"]

MOST_IMAGE_TOKENS = 50_000
"""What an image comes to at most, whatever its size: providers scale images down. The dearest known way of counting
comes to 48,169 tokens."""


def image_tokens_bound(part: ImagePart, model: str) -> int:
    """Give a number of tokens that an image cannot exceed on a model, which may be named with its maker."""
    return min(MOST_IMAGE_TOKENS, _counting(model.lower())(size_of(part), part.detail))


def _tiles(size: Size | None) -> int:
    """Count tiles of 512 pixels, of an image scaled down to 2048 pixels, and its shorter side to 768."""
    if size is None:
        return 8
    long, short = max(size), min(size)
    scale = max(1, long / 2048, short / 768)
    return max(1, _over(long / scale, 512)) * max(1, _over(short / scale, 512))


def _over(length: float, step: int) -> int:
    return int(-(-length // step))


def _patches(size: Size | None, edge: int, most: int) -> int:
    return most if size is None else min(most, _over(size[0], edge) * _over(size[1], edge))


def _tiled(size: Size | None, detail: str | None) -> int:
    return 85 if detail == "low" else 85 + 170 * _tiles(size)


def _tiled_mini(size: Size | None, detail: str | None) -> int:
    return 2833 if detail == "low" else 2833 + 5667 * _tiles(size)


def _patched(size: Size | None, detail: str | None) -> int:
    """Count as models of OpenAI do that are not the larger ones of before: a patch is up to 2.46 tokens."""
    most = 2_500 if detail in ("low", "high") else 10_000
    return max(_tiled(size, None), -(-_patches(size, 32, most) * 246 // 100))


def _claude(size: Size | None, _: str | None) -> int:
    return 4_784 if size is None else min(4_784, max(_over(size[0] * size[1], 750), _patches(size, 28, 4_784)))


def _gemini(size: Size | None, _: str | None) -> int:
    """Count tiles of 258 tokens; newer models look as closely as they are told to, at up to 2,240 tokens."""
    most = 24  # tiles, of an image of 3,072 pixels that is so flat that they are as small as they get
    if size is not None:
        unit = max(256, min(768, int(min(size) / 1.5)))
        longest = min(1, 3072 / max(size))
        most = min(most, _over(size[0] * longest, unit) * _over(size[1] * longest, unit))
    return max(2_240, 258 * most)


def _grok(size: Size | None, _: str | None) -> int:
    return 1_792 if size is None else min(1_792, 256 * (1 + _patches(size, 448, 6)))


def _unknown(size: Size | None, _: str | None) -> int:
    """Count as the dearest that is known, or patches of 14 pixels, as open models do at the finest."""
    return MOST_IMAGE_TOKENS if size is None else max(_tiled_mini(size, None), _patches(size, 14, MOST_IMAGE_TOKENS))


_KNOWN: tuple[tuple[re.Pattern[str], Callable[[Size | None, str | None], int]], ...] = (
    (re.compile(r"\bgpt-4o-mini\b"), _tiled_mini),
    (re.compile(r"\b(?:chatgpt-4o|gpt-4o|gpt-4-turbo|gpt-4-vision|gpt-4\.5|o1|o3)\b(?!-mini)"), _tiled),
    (re.compile(r"\b(?:gpt-4\.1|gpt-[5-9]|o[3-9]-mini|codex-mini)"), _patched),
    (re.compile(r"\bclaude-"), _claude),
    (re.compile(r"\bgemini-"), _gemini),
    (re.compile(r"\bgrok-"), _grok),
)


@functools.lru_cache(maxsize=256)
def _counting(model: str) -> Callable[[Size | None, str | None], int]:
    return next((count for pattern, count in _KNOWN if pattern.search(model)), _unknown)
