"""What the worker and an engine are to each other: settings and requests go in, frames come out.

An engine is a function that takes `EngineSettings` and gives a `LoadedModel`, or raises a typed error. A request holds
`messages` ([role, text] pairs) or a raw `prompt`, and options: `max_tokens`, `temperature`, `top_p`, `top_k`, `seed`,
`stop`, `repeat_penalty` and `repeat_window`; with `op` "count" it only asks for the number of its tokens.

It is answered with a frame that holds `start` (what the model is), frames with `text`, and one with `end` (the finish
reason), `prompt`, `cached` and `output` (tokens) and `seed`; or with one that holds `count`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from inferkit.core.errors import ConfigurationError

__all__ = ["Caller", "EngineSettings", "LoadedModel"]


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What an engine loads, and how. Lengths are in tokens; None leaves a choice to the engine."""

    model: str
    gpu_layers: int = 0
    context_length: int | None = None
    threads: int | None = None
    prompt_format: str | None = None

    def __post_init__(self) -> None:
        for name, low in (("gpu_layers", 0), ("context_length", 1), ("threads", 1)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < low):
                raise ConfigurationError(f"{name} is a whole number from {low}; got {value!r}")


class Caller(Protocol):
    """The other end of a request."""

    def gone(self) -> bool:
        """Say whether the caller hung up, so that nobody waits for the rest."""

    def send(self, frame: dict[str, Any]) -> None:
        """Pass a frame on, without waiting for the caller to read it."""


class LoadedModel(Protocol):
    """A model that answers one request after another."""

    def serve(self, request: dict[str, Any], caller: Caller) -> None:
        """Answer one request with frames, and stop where the caller is gone. Raises `InvalidRequest`."""
