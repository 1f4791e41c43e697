"""What a request that failed is known to have cost: nothing, or what its provider says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.core.errors import (
    ConfigurationError,
    NoRoute,
    ProviderError,
    StreamInterrupted,
    Unavailable,
    is_never_written,
)

if TYPE_CHECKING:
    from inferkit.core.usage import Usage

__all__ = ["cost_nothing", "told_by"]

_FIRST_STATUS_WITHOUT_REPLY = 300  # redirects are not followed


def cost_nothing(error: BaseException) -> bool:
    """Whether a request that failed this way cannot have been billed: never sent, or answered with an error status."""
    if isinstance(error, ConfigurationError | NoRoute) or is_never_written(error):
        return True
    if not isinstance(error, ProviderError) or isinstance(error, StreamInterrupted):
        return False
    if error.status is not None:
        return error.status >= _FIRST_STATUS_WITHOUT_REPLY
    return isinstance(error, Unavailable) and error.code == "connect"


def told_by(error: BaseException) -> Usage | None:
    """Give what the provider said, as it broke off, that the request took: the last word on it."""
    usage = error.usage if isinstance(error, ProviderError) else None
    return usage if usage is not None and usage.input_tokens else None
