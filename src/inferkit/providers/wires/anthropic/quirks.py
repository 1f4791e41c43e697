"""How servers that speak the Anthropic wire, and their models, differ, as data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from inferkit.core.errors import ConfigurationError
from inferkit.providers.wires.prefill import PLAIN, Prefill

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BEDROCK", "MANTLE", "VERTEX", "AnthropicQuirks"]


@dataclass(frozen=True, slots=True)
class AnthropicQuirks:
    """One server's ways, and what was learned of its models.

    The wire demands a limit for every reply: `max_tokens` is the one where the caller sets none, and `limits` are the
    most that a model takes, by its name, as its refusals said. `budgeted` are models that are told how many tokens they
    may think, since they do not decide that themselves. `version` is the wire's, where it is sent in the body, and so
    are `betas`. `names_model` and `says_stream` are False where the address says that.

    What a server is known not to take is refused before anything is sent: `without` are fields of a request,
    `without_tools` how the kinds of the provider's own tools begin, and `without_sources` where images and files may
    not come from ("url", "file"). `prefill` says how it goes on with an assistant's message; newer models do not.
    """

    max_tokens: int = 16_384
    limits: Mapping[str, int] = field(default_factory=dict)
    budgeted: frozenset[str] = frozenset()
    version: str | None = None
    betas: tuple[str, ...] = ()
    names_model: bool = True
    says_stream: bool = True
    without: frozenset[str] = frozenset()
    without_tools: tuple[str, ...] = ()
    without_sources: frozenset[str] = frozenset()
    prefill: Prefill | None = PLAIN

    def with_max_tokens(self, given: int | None) -> AnthropicQuirks:
        """Give the same with another limit, if one is given. Raises `ConfigurationError` for one that is none."""
        if given is None:
            return self
        if isinstance(given, bool) or not isinstance(given, int) or given < 1:
            raise ConfigurationError(f"max_tokens= is a whole number from 1; got {given!r}")
        return replace(self, max_tokens=given)


_OF_ANTHROPIC_ALONE = frozenset({"container", "inference_geo", "mcp_servers", "service_tier", "speed"})
_TOOLS_OF_ANTHROPIC_ALONE = ("advisor", "code_execution", "mcp_toolset", "web_fetch")
_NOT_FROM = frozenset({"url", "file"})

VERTEX = AnthropicQuirks(
    version="vertex-2023-10-16",
    names_model=False,
    without=_OF_ANTHROPIC_ALONE,
    without_tools=_TOOLS_OF_ANTHROPIC_ALONE,
    without_sources=_NOT_FROM,
)
"""Google Cloud."""

MANTLE = AnthropicQuirks(
    without=_OF_ANTHROPIC_ALONE,
    without_tools=(*_TOOLS_OF_ANTHROPIC_ALONE, "web_search"),
    without_sources=_NOT_FROM,
)
"""Amazon Bedrock, over its own form of Anthropic's API."""

BEDROCK = AnthropicQuirks(
    version="bedrock-2023-05-31",
    names_model=False,
    says_stream=False,
    without=MANTLE.without,
    without_tools=MANTLE.without_tools,
    without_sources=MANTLE.without_sources,
)
"""Amazon Bedrock, over the API that it has for all models."""
