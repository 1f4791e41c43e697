"""Errors in the form of the Responses wire: those of Chat Completions, and those that a reply ends with.

https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.providers.wires.chat.errors import error_in as plain_error_in, write_error
from inferkit.providers.wires.codec import error_reader

if TYPE_CHECKING:
    from inferkit.core.errors import InferkitError

__all__ = ["error_in", "read_error", "typed", "write_error", "write_failure"]

_INVALID = "invalid_request_error"
_FILTERED = "content_policy_violation"
_TYPES = {
    "invalid_prompt": _INVALID,
    "data_residency_mismatch": _INVALID,
    "invalid_image": _INVALID,
    "invalid_image_format": _INVALID,
    "invalid_base64_image": _INVALID,
    "invalid_image_url": _INVALID,
    "image_too_large": _INVALID,
    "image_too_small": _INVALID,
    "image_parse_error": _INVALID,
    "invalid_image_mode": _INVALID,
    "image_file_too_large": _INVALID,
    "unsupported_image_media_type": _INVALID,
    "empty_image_file": _INVALID,
    "failed_to_download_image": _INVALID,
    "image_file_not_found": _INVALID,
    "bio_policy": _FILTERED,
    "misalignment_policy_violation": _FILTERED,
    "image_content_policy_violation": _FILTERED,
}
"""What the wire's own codes mean, in the words that all wires share. Those of a server that failed need none."""


def error_in(content: Any) -> Any:
    """Give the error object of a payload, or None. That of a reply that failed is told when the reply is read."""
    if isinstance(content, dict):
        if content.get("object") == "response":
            return None
        if content.get("type") == "error" and not content.get("error"):  # an event, whose fields are the error's
            return typed({name: content.get(name) for name in ("code", "message", "param")})
    return typed(plain_error_in(content))


def typed(error: Any) -> Any:
    """Give an error object with the type that its code means."""
    code = error.get("code") if isinstance(error, dict) else None
    meaning = _TYPES.get(code) if isinstance(code, str) else None
    return error if meaning is None else {**error, "type": meaning}


read_error = error_reader(error_in)
"""Say what a refusal means."""


def write_failure(error: InferkitError) -> bytes:
    """Write the event of a stream that broke, with the error's object in it: OpenAI's SDK raises nothing else."""
    return b'event: error\ndata: {"type":"error",' + write_error(error)[2].removeprefix(b"{") + b"\n\n"
