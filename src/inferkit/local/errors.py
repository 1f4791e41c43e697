"""What goes wrong with a local model, as errors of the common tree."""

from __future__ import annotations

from typing import Any

from inferkit.core.errors import ConfigurationError, InvalidRequest, ModelFileError, ProviderError, Unavailable

__all__ = [
    "PROVIDER",
    "ContextOverflow",
    "EngineUnavailable",
    "WorkerDied",
    "from_frame",
    "to_frame",
]

PROVIDER = "local"
"""The provider's name in errors, traces and routes."""


class EngineUnavailable(ConfigurationError):
    """The llama library cannot be used on this machine as configured; the message says what to change."""


class WorkerDied(Unavailable):
    """The process that runs the model ended in the middle of a call. The next call starts a new one."""

    def __init__(self, message: str, *, provider: str = PROVIDER, **details: Any) -> None:
        super().__init__(message, provider=provider, **details)


class ContextOverflow(InvalidRequest):
    """A prompt does not fit. `prompt_tokens` is its length, `context_length` what prompt and reply share."""

    def __init__(self, prompt_tokens: int, context_length: int) -> None:
        super().__init__(
            f"the prompt has {prompt_tokens} tokens and the model's context holds {context_length}, prompt and "
            "reply together; shorten the conversation, or raise context_length= if the model was trained for more",
            provider=PROVIDER,
            code="context_length_exceeded",
        )
        self.prompt_tokens = prompt_tokens
        self.context_length = context_length


_KINDS: dict[str, type[Exception]] = {
    "model_file": ModelFileError,
    "engine": EngineUnavailable,
    "configuration": ConfigurationError,
}


def to_frame(error: Exception) -> dict[str, Any]:
    """Describe an error for the other process. What is not foreseen travels as its type alone."""
    if isinstance(error, ContextOverflow):
        return {"error": "overflow", "prompt": error.prompt_tokens, "context": error.context_length}
    if isinstance(error, ProviderError):
        return {"error": "request", "message": str(error), "code": error.code, "bad": isinstance(error, InvalidRequest)}
    for name, kind in _KINDS.items():
        if isinstance(error, kind):
            return {"error": name, "message": str(error)}
    return {"error": "fault", "message": f"the engine failed with {type(error).__name__}"}


def from_frame(frame: dict[str, Any]) -> Exception:
    """Make the error that the other process described."""
    kind = frame["error"]
    if kind == "overflow":
        return ContextOverflow(frame["prompt"], frame["context"])
    if kind == "request":
        wanted = InvalidRequest if frame["bad"] else Unavailable
        return wanted(frame["message"], provider=PROVIDER, code=frame["code"])
    if kind in _KINDS:
        return _KINDS[kind](frame["message"])
    return WorkerDied(frame["message"])
