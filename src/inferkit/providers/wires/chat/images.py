"""Images in the form of the Chat Completions wire."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from inferkit.core.messages import ImagePart

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FIELD", "image", "is_image", "write_image"]

FIELD = "images"
"""Where an assistant message has its images, on servers that make some."""


def is_image(given: Any) -> bool:
    """Say whether this is an image in the wire's form."""
    return (
        isinstance(given, dict)
        and given.get("type") == "image_url"
        and isinstance(given.get("image_url"), dict)
        and isinstance(given["image_url"].get("url"), str)
    )


def image(given: Mapping[str, Any], field: str | None = None) -> ImagePart:
    """Read an image in the wire's form; `field` is where it stood, if not among the parts of the content."""
    address = given["image_url"]
    extra = {name: value for name, value in given.items() if name not in {"type", "image_url", "index"}}
    more = {name: value for name, value in address.items() if name not in {"url", "detail"}}
    if more:
        extra["image_url"] = more
    if field is not None:
        extra["field"] = field
    return ImagePart(url=address["url"], detail=address.get("detail"), extra=extra or None)


def write_image(part: ImagePart) -> dict[str, Any]:
    """Write what `image` reads."""
    url = part.url
    if url is None:
        url = f"data:{part.media_type};base64,{base64.b64encode(part.data or b'').decode('ascii')}"
    address = {"url": url}
    if part.detail is not None:
        address["detail"] = part.detail
    wire: dict[str, Any] = {"type": "image_url", "image_url": address}
    for name, value in (part.extra or {}).items():
        if name == "image_url":
            address.update(value)
        elif name != "field":
            wire[name] = value
    return wire
