"""What stands within the input messages of the Responses wire, read and written: texts, images and files."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import AudioPart, FilePart, ImagePart, OpaquePart, TextPart
from inferkit.providers.wires.extras import RESPONSES, own
from inferkit.providers.wires.payload import NotTakenError, others

if TYPE_CHECKING:
    from collections.abc import Mapping, Set as AbstractSet

    from inferkit.core.messages import Part

__all__ = ["extra_of", "is_block", "read_block", "string", "write_block"]

_DATA_URL = re.compile(r"data:([^,;]+);base64,(.*)", re.DOTALL)


def write_block(part: Part) -> dict[str, Any]:
    """Write a part of a user's message. Raises `NotTakenError` and `ConfigurationError` for what has no place there."""
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text, **own(part.extra, RESPONSES)}
    if isinstance(part, ImagePart):
        url = part.url if part.data is None else _data_url(part.data, part.media_type)
        image = {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}
        return image | own(part.extra, RESPONSES)
    if isinstance(part, FilePart):
        return _write_file(part) | own(part.extra, RESPONSES)
    if isinstance(part, OpaquePart):
        return dict(part.value)
    if isinstance(part, AudioPart):
        raise NotTakenError("sound")
    raise ConfigurationError(f"a {type(part).__name__} belongs in assistant messages; use Message.assistant(...)")


def is_block(part: OpaquePart) -> bool:
    """Say whether this stands within a message, and is no item of its own."""
    return part.kind.startswith("input_")


def read_block(block: Any) -> Part:
    """Read what `write_block` writes. Raises `KeyError` and `TypeError` for what is in no form."""
    kind = block["type"]
    if kind == "input_text":
        return TextPart(string(block["text"]), extra_of(block, {"type", "text"}))
    read = _image(block) if kind == "input_image" else _file(block) if kind == "input_file" else None
    return OpaquePart(string(kind), dict(block), RESPONSES) if read is None else read


def extra_of(given: Mapping[str, Any], known: AbstractSet[str]) -> dict[str, Any] | None:
    """Give what an object says for this wire alone, as the `extra` of a part."""
    more = others(given, known)
    return {RESPONSES: more} if more else None


def string(value: Any) -> str:
    """Give a text. Raises `TypeError` for anything else."""
    if not isinstance(value, str):
        raise TypeError
    return value


def _image(block: Mapping[str, Any]) -> ImagePart | None:
    if block.get("image_url") is None:  # an uploaded file
        return None
    detail = block.get("detail")
    extra = extra_of(block, {"type", "image_url", "detail"})
    return ImagePart(
        url=string(block["image_url"]), detail=None if detail in (None, "auto") else string(detail), extra=extra
    )


def _write_file(part: FilePart) -> dict[str, Any]:
    written: dict[str, Any] = {"type": "input_file"}
    if part.filename is not None:
        written["filename"] = part.filename
    if part.file_id is not None:
        written["file_id"] = part.file_id
    elif part.data is not None:
        written["file_data"] = _data_url(part.data, part.media_type)
    elif _DATA_URL.fullmatch(part.url or ""):
        written["file_data"] = part.url
    else:
        written["file_url"] = part.url
    return written


def _file(block: Mapping[str, Any]) -> FilePart | None:
    address, id_, packed = block.get("file_url"), block.get("file_id"), block.get("file_data")
    if sum(source is not None for source in (address, id_, packed)) != 1:
        return None
    name, extra = block.get("filename"), extra_of(block, {"type", "filename", "file_url", "file_id", "file_data"})
    if name is not None:
        string(name)
    if packed is None:
        if id_ is None:
            return FilePart(url=string(address), filename=name, extra=extra)
        return FilePart(file_id=string(id_), filename=name, extra=extra)
    found = _DATA_URL.fullmatch(string(packed))
    if found is None:
        return None
    try:
        return FilePart(base64.b64decode(found[2], validate=True), found[1], name, extra=extra)
    except (binascii.Error, ValueError):
        return None


def _data_url(data: bytes, media_type: str | None) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
