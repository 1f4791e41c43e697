"""The adapters that a model's name alone asks for, such as `"anthropic:claude-sonnet-4-5"`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.providers.presets import PRESETS
from inferkit.runtime import imports

if TYPE_CHECKING:
    from inferkit.providers.adapter import Adapter
    from inferkit.providers.http.settings import Http, Library
    from inferkit.providers.http.transport import Transport

__all__ = ["KEYS", "NAMES", "make"]

_GEMINI, _RESPONSES, _VERTEX = "gemini", "openai-responses", "vertex"
_OF_ANTHROPIC = frozenset({"anthropic", "anthropic-bedrock", "anthropic-mantle", "anthropic-vertex"})
NAMES = _OF_ANTHROPIC.union(PRESETS, {_GEMINI, _RESPONSES, _VERTEX})
"""The providers that are known."""
KEYS = frozenset({"ANTHROPIC_API_KEY"}.union(preset.env for preset in PRESETS.values() if preset.env is not None))
"""The environment variables that hold their keys."""


def make(provider: str, transport: Library | Http | Transport | None) -> Adapter:
    """Make the adapter of a known provider. Raises `ConfigurationError` where the environment lacks something."""
    with imports.lock:
        if provider in _OF_ANTHROPIC:
            return _of_anthropic(provider, transport)
        if provider == _RESPONSES:
            from inferkit.providers.openai_responses import OpenAIResponses

            return OpenAIResponses(transport=transport)
        if provider in (_GEMINI, _VERTEX):
            from inferkit.providers.gemini import Gemini

            return Gemini(transport=transport) if provider == _GEMINI else Gemini.vertex(transport=transport)
        from inferkit.providers.openai_chat import OpenAIChat

    return OpenAIChat.preset(provider, transport=transport)


def _of_anthropic(provider: str, transport: Library | Http | Transport | None) -> Adapter:
    from inferkit.providers.anthropic import Anthropic

    if provider == "anthropic":
        return Anthropic(transport=transport)
    if provider == "anthropic-vertex":
        return Anthropic.vertex(transport=transport)
    return Anthropic.bedrock(api="invoke" if provider == "anthropic-bedrock" else "messages", transport=transport)
