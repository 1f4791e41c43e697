"""Which failures of a request cannot have cost anything."""

from __future__ import annotations

from inferkit.core.errors import (
    ConfigurationError,
    NoRoute,
    ProviderError,
    StreamInterrupted,
    Unavailable,
    is_never_written,
)

__all__ = ["cost_nothing"]

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
