"""Sound and documents in the form of the Chat Completions wire."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from inferkit.core.messages import AudioPart, FilePart

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["audio", "file", "write_audio", "write_file"]

_DATA_URL = re.compile(r"data:([^,]+);base64,(.*)", re.DOTALL)
_FORMATS = {"audio/mpeg": "mp3", "audio/x-wav": "wav", "audio/wave": "wav", "audio/x-flac": "flac", "audio/mp4": "m4a"}
_MEDIA_TYPES = {"mp3": "audio/mpeg", "m4a": "audio/mp4"}


def audio(given: Mapping[str, Any]) -> AudioPart | None:
    """Read sound in the wire's form; None where it is not in that form."""
    sound = given.get("input_audio")
    if not isinstance(sound, dict) or not isinstance(sound.get("format"), str):
        return None
    data = _bytes(sound.get("data"))
    if data is None:
        return None
    extra = {name: value for name, value in given.items() if name not in {"type", "input_audio"}}
    more = {name: value for name, value in sound.items() if name not in {"data", "format"}}
    if more:
        extra["input_audio"] = more
    kind = sound["format"]
    return AudioPart(data, _MEDIA_TYPES.get(kind, f"audio/{kind}"), extra or None)


def write_audio(part: AudioPart, *, plain: bool = False) -> dict[str, Any]:
    """Write what `audio` reads; `plain` is for servers that want the sound alone, without its format."""
    extra = dict(part.extra or {})
    data = base64.b64encode(part.data).decode("ascii")
    if plain:
        return {"type": "input_audio", "input_audio": data, **extra}
    kind = _FORMATS.get(part.media_type) or part.media_type.removeprefix("audio/")
    return {
        "type": "input_audio",
        "input_audio": {"data": data, "format": kind, **extra.pop("input_audio", {})},
        **extra,
    }


def file(given: Mapping[str, Any]) -> FilePart | None:
    """Read a document in the wire's form, or in Mistral's; None where it is in neither."""
    if given.get("type") == "document_url":
        known: Any = {"file_data": given.get("document_url"), "filename": given.get("document_name")}
        extra = {each: given[each] for each in given.keys() - {"type", "document_url", "document_name"}}
    else:
        known = given.get("file")
        extra = {each: value for each, value in given.items() if each not in {"type", "file"}}
    if not isinstance(known, dict):
        return None
    name, address, id_ = (known.get(each) for each in ("filename", "file_data", "file_id"))
    texts = all(isinstance(each, str | None) for each in (name, address, id_))
    if not texts or (address is None) == (id_ is None):
        return None
    more = {each: value for each, value in known.items() if each not in {"file_data", "filename", "file_id"}}
    if more:
        extra["file"] = more
    packed = _DATA_URL.fullmatch(address) if address is not None else None
    if packed is None:
        return FilePart(url=address, file_id=id_, filename=name, extra=extra or None)
    data = _bytes(packed[2])
    return None if data is None else FilePart(data, packed[1], name, extra=extra or None)


def write_file(part: FilePart, *, as_url: bool = False) -> dict[str, Any]:
    """Write what `file` reads; `as_url` is for servers that take documents by their address."""
    extra = dict(part.extra or {})
    address = part.url
    if part.data is not None:
        address = f"data:{part.media_type};base64,{base64.b64encode(part.data).decode('ascii')}"
    if as_url and address is not None:
        named = {} if part.filename is None else {"document_name": part.filename}
        return {"type": "document_url", "document_url": address, **named, **extra}
    known: dict[str, Any] = {"file_id": part.file_id} if address is None else {"file_data": address}
    if part.filename is not None:
        known["filename"] = part.filename
    return {"type": "file", "file": known | extra.pop("file", {}), **extra}


def _bytes(text: Any) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        return None
