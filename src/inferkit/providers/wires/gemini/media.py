"""Images, sound and files in the form of the Gemini wire: as their bytes, or by their address."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import AudioPart, FilePart, ImagePart
from inferkit.providers.wires.payload import NotTakenError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

    from inferkit.core.messages import Part
    from inferkit.providers.wires.extras import LeaveOut

__all__ = ["decoded", "read_file_data", "read_inline_data", "write_medium"]

_DATA_URL = re.compile(r"data:([^,;]+)(?:;[^,;]+)*;base64,(.*)", re.DOTALL)
_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "gif": "image/gif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "csv": "text/csv",
    "html": "text/html",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
}
_VIDEOS = re.compile(r"(?:.*\.)?(?:youtube\.com|youtu\.be|youtube-nocookie\.com)", re.IGNORECASE)


def write_medium(part: ImagePart | AudioPart | FilePart, leave_out: LeaveOut) -> dict[str, Any]:
    """Write what is shown or heard.

    Raises `ConfigurationError` for what is not of the kind that its part says, and `NotTakenError` where that is open.
    """
    if isinstance(part, AudioPart):
        return _inline(part.media_type, base64.b64encode(part.data).decode("ascii"))
    if isinstance(part, ImagePart):
        if part.detail not in {None, "auto"}:
            leave_out("detail")
        written = _written(part.url, part.data, part.media_type)
        _look_for_video(part.url, written)
        return written
    if part.filename is not None:
        leave_out("filename")
    return _written(part.url or part.file_id, part.data, part.media_type)


def _written(url: str | None, data: bytes | None, media_type: str | None) -> dict[str, Any]:
    if data is not None:
        return _inline(media_type or "", base64.b64encode(data).decode("ascii"))
    packed = _DATA_URL.fullmatch(url or "")
    if packed is not None:
        return _inline(packed[1], packed[2])
    kind = media_type or _guessed(url or "")
    return {"fileData": {**({} if kind is None else {"mimeType": kind}), "fileUri": url}}


def _look_for_video(url: str | None, written: dict[str, Any]) -> None:
    """Refuse a film as an image, and what may be one: it comes to many times the tokens that are held for an image."""
    (source,) = written.values()
    kind = source.get("mimeType")
    if kind is None:
        raise NotTakenError('an image by an address that does not say its kind; pass media_type="image/png", or which')
    host = "" if url is None or "inlineData" in written else _parts_of(url).hostname or ""
    if not kind.startswith("image/") or _VIDEOS.fullmatch(host):
        raise ConfigurationError(f"an ImagePart shows an image, and this is none ({kind}); pass it as a FilePart")


def _guessed(url: str) -> str | None:
    return _TYPES.get(_parts_of(url).path.rpartition(".")[2].lower())


def _parts_of(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ConfigurationError("the address of an image or a file is not a URL") from None


def _inline(media_type: str, data: str) -> dict[str, Any]:
    return {"inlineData": {"mimeType": media_type, "data": data}}


def read_inline_data(given: Mapping[str, Any], extra: dict[str, Any] | None) -> Part | None:
    """Read bytes; None for what has no part of its own. Raises `ValueError` and its like where they are none."""
    if given.keys() != {"mimeType", "data"}:
        return None
    kind, data = given["mimeType"], decoded(given["data"])
    if kind.startswith("image/"):
        return ImagePart(data=data, media_type=kind, extra=extra)
    return AudioPart(data, kind, extra) if kind.startswith("audio/") else FilePart(data, kind, extra=extra)


def decoded(text: str) -> bytes:
    """Read base64 in either alphabet, with its ending or without. Raises `ValueError` where it is none."""
    plain = text.replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def read_file_data(given: Mapping[str, Any], extra: dict[str, Any] | None) -> Part | None:
    """Read an address; None for what has no part of its own."""
    url, kind = given.get("fileUri"), given.get("mimeType")
    if not isinstance(url, str) or given.keys() - {"fileUri", "mimeType"} or not isinstance(kind, str | None):
        return None
    if kind is None and _guessed(url) is not None:
        return None  # it would be written with one
    if kind is not None and kind.startswith("image/"):
        return ImagePart(url=url, media_type=kind, extra=extra)
    return FilePart(media_type=kind, url=url, extra=extra)
