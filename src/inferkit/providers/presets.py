"""Servers that speak the Chat Completions wire: where they are, and how they differ."""

from __future__ import annotations

from inferkit.providers.endpoints import Credential, Endpoint
from inferkit.providers.wires.chat.quirks import ChatQuirks

__all__ = ["PRESETS"]

_COMPLETION = ChatQuirks("max_completion_tokens")
_PLAIN = ChatQuirks()


def _server(name: str, base_url: str, env: str | None, quirks: ChatQuirks = _PLAIN) -> tuple[str, Endpoint]:
    return name, Endpoint(name, base_url, Credential(env=env), quirks=quirks)


PRESETS = dict(
    [
        _server("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY", _COMPLETION),
        _server(
            "deepseek",
            "https://api.deepseek.com/v1",
            "DEEPSEEK_API_KEY",
            ChatQuirks(reasoning_field="reasoning_content"),
        ),
        _server("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
        _server("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", _COMPLETION),
        _server("llamacpp", "http://localhost:8080/v1", None),
        _server("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
        _server("ollama", "http://localhost:11434/v1", None),
        _server("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", _COMPLETION),
        _server(
            "openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", ChatQuirks(reasoning_field="reasoning")
        ),
        _server("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY"),
        _server("vllm", "http://localhost:8000/v1", None),
        _server("xai", "https://api.x.ai/v1", "XAI_API_KEY"),
    ]
)
"""The endpoints, by the names that a model can be asked for with: `"groq:llama-3.3-70b-versatile"`."""
