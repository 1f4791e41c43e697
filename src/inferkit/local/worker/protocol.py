"""What the application and the worker say to each other: JSON in frames, each after its length in four bytes.

An error crosses as a frame too, and arrives as what it was.
"""

from __future__ import annotations

import json
from typing import Any

from inferkit.core.errors import ConfigurationError, InvalidRequest, ModelFileError, ProviderError, Unavailable
from inferkit.local.errors import PROVIDER, ContextOverflow, EngineUnavailable, WorkerDied, context_overflow

__all__ = ["FRAME_LIMIT", "FrameDecoder", "encode", "from_frame", "to_frame"]

FRAME_LIMIT = 16 << 20
"""Bytes of one frame at most: far more than any context holds."""

_PREFIX = 4


def encode(frame: dict[str, Any]) -> bytes:
    """Write one frame. Raises `ValueError` if it is longer than the other side accepts."""
    body = json.dumps(frame, separators=(",", ":")).encode("ascii")
    if len(body) > FRAME_LIMIT:
        raise ValueError(f"a frame of {len(body)} bytes is over the limit of {FRAME_LIMIT}")
    return len(body).to_bytes(_PREFIX, "big") + body


class FrameDecoder:
    """Takes bytes as they come and gives the frames that they complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Take bytes. Raises `ValueError` on what is no frame."""
        buffer = self._buffer
        buffer += data
        frames: list[dict[str, Any]] = []
        start = 0
        while len(buffer) - start >= _PREFIX:
            length = int.from_bytes(buffer[start : start + _PREFIX], "big")
            if length > FRAME_LIMIT:
                raise ValueError(f"a frame of {length} bytes is over the limit of {FRAME_LIMIT}")
            end = start + _PREFIX + length
            if len(buffer) < end:
                break
            frame = json.loads(buffer[start + _PREFIX : end])
            if not isinstance(frame, dict):
                raise ValueError("a frame is not a JSON object")  # noqa: TRY004 - it is data that is wrong
            frames.append(frame)
            start = end
        del buffer[:start]
        return frames


_KINDS: dict[str, type[Exception]] = {
    "model_file": ModelFileError,
    "engine": EngineUnavailable,
    "configuration": ConfigurationError,
}


def to_frame(error: Exception) -> dict[str, Any]:
    """Describe an error for the other process. What is not foreseen travels as its type alone, and is fatal."""
    if isinstance(error, ContextOverflow):
        return {"error": "overflow", "prompt": error.prompt_tokens, "context": error.context_length}
    if isinstance(error, ProviderError):
        return {"error": "request", "message": str(error), "code": error.code, "bad": isinstance(error, InvalidRequest)}
    for name, kind in _KINDS.items():
        if isinstance(error, kind):
            return {"error": name, "message": str(error)}
    cause = "out_of_memory" if isinstance(error, MemoryError) else "failed"
    message = f"the engine failed with {type(error).__name__}; the next call starts another"
    return {"error": "fault", "message": message, "cause": cause, "fatal": True}


def from_frame(frame: dict[str, Any]) -> Exception:
    """Make the error that the other process described."""
    kind = frame["error"]
    if kind == "overflow":
        return context_overflow(frame["prompt"], frame["context"])
    if kind == "request":
        wanted = InvalidRequest if frame["bad"] else Unavailable
        return wanted(frame["message"], provider=PROVIDER, code=frame["code"])
    if kind in _KINDS:
        return _KINDS[kind](frame["message"])
    return WorkerDied(frame["message"], cause=frame["cause"])
