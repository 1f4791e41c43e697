"""What goes wrong with a local model, as errors of the common tree."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from inferkit.core.errors import ContextOverflow, InvalidRequest, LocalModelError, Unavailable

__all__ = [
    "PROVIDER",
    "ContextOverflow",
    "DeathCause",
    "DownloadFailed",
    "EngineUnavailable",
    "JobDied",
    "WorkerDied",
    "context_overflow",
    "no_tools",
]

PROVIDER = "local"
"""The provider's name in errors, traces and routes."""


class EngineUnavailable(LocalModelError):
    """A model cannot be run on this machine as configured; the message says what to install or to change."""


class DownloadFailed(LocalModelError):
    """A model could not be fetched, or is not what its repository says; the message says what to do."""


class JobDied(LocalModelError):
    """A process that made or measured a model file ended before it was done; the message says how."""


DeathCause: TypeAlias = Literal["aborted", "closed", "crashed", "exited", "failed", "hung", "killed", "out_of_memory"]
"""What ended a worker: its library (aborted), an invalid instruction or address (crashed), an error in Python (failed),
somebody's signal (killed), its limit or the system's want of memory, inferkit itself where nothing was computed any
more (hung), the application (closed), or itself (exited)."""


class WorkerDied(Unavailable):
    """The process that runs the model ended in the middle of a call. The next call starts a new one.

    `cause` says why. Retryable, unless the application closed the model.
    """

    def __init__(self, message: str, *, cause: DeathCause = "exited", provider: str = PROVIDER, **details: Any) -> None:
        self.cause: DeathCause = cause
        super().__init__(message, provider=provider, code=cause, **details)


def no_tools(why: str) -> InvalidRequest:
    """Make the error for a model that cannot call functions."""
    return InvalidRequest(
        f"this local model handles text, and not tools: {why}; send the call to a model that does, or leave them out",
        provider=PROVIDER,
        code="unsupported",
    )


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
