"""Fields of a provider's wire that would have it write more than a budget reserves, passed where no budget looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["refuse_hidden_limits"]

_LENGTHS = (
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_new_tokens",
    "max_tokens_to_sample",
    "num_predict",
    "n_predict",
)
_REPLIES = ("n", "best_of")


def refuse_hidden_limits(extra: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` for an `extra=` of a call under a budget of money or tokens that moves its cost."""
    for name in _LENGTHS:
        if name in extra:
            raise ConfigurationError(
                f"a budget pays for this call, and extra= sets {name!r}, which it cannot see; pass "
                "max_output_tokens=... with the call instead"
            )
    for name in _REPLIES:
        value = extra.get(name)
        if value is not None and not (type(value) is int and value == 1):
            raise ConfigurationError(
                f"a budget pays for one reply, and extra= asks for {name!r}; leave it out, and make several calls"
            )
