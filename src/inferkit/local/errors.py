"""What goes wrong with a local model, as errors of the common tree."""

from __future__ import annotations

from typing import Any

from inferkit.core.errors import ContextOverflow, LocalModelError, Unavailable

__all__ = [
    "PROVIDER",
    "ContextOverflow",
    "DownloadFailed",
    "EngineUnavailable",
    "WorkerDied",
    "context_overflow",
]

PROVIDER = "local"
"""The provider's name in errors, traces and routes."""


class EngineUnavailable(LocalModelError):
    """A model cannot be run on this machine as configured; the message says what to install or to change."""


class DownloadFailed(LocalModelError):
    """A model could not be fetched, or is not what its repository says; the message says what to do."""


class WorkerDied(Unavailable):
    """The process that runs the model ended in the middle of a call. The next call starts a new one."""

    def __init__(self, message: str, *, provider: str = PROVIDER, **details: Any) -> None:
        super().__init__(message, provider=provider, **details)


def context_overflow(prompt_tokens: int, context_length: int) -> ContextOverflow:
    """Make the error for a prompt that does not fit."""
    return ContextOverflow(
        f"the prompt has {prompt_tokens} tokens and the model's context holds {context_length}, prompt and "
        "reply together; shorten the conversation, or raise context_length= if the model was trained for more",
        provider=PROVIDER,
        code="context_length_exceeded",
        prompt_tokens=prompt_tokens,
        context_length=context_length,
    )
