"""Servers that speak the Chat Completions wire: where they are, and how they differ."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True, slots=True)
class Preset:
    """One server. `env` names the environment variable with its key; None where it needs no key.

    `max_tokens_field` is the wire's name for the limit of the reply; `reasoning_field` the field of an assistant
    message in which the server takes its own reasoning back, where it does.
    """

    base_url: str
    env: str | None
    max_tokens_field: str = "max_tokens"
    reasoning_field: str | None = None


PRESETS = {
    "cerebras": Preset("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY", "max_completion_tokens"),
    "deepseek": Preset("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "fireworks": Preset("https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    "groq": Preset("https://api.groq.com/openai/v1", "GROQ_API_KEY", "max_completion_tokens"),
    "llamacpp": Preset("http://localhost:8080/v1", None),
    "mistral": Preset("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "ollama": Preset("http://localhost:11434/v1", None),
    "openai": Preset("https://api.openai.com/v1", "OPENAI_API_KEY", "max_completion_tokens"),
    "openrouter": Preset("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", reasoning_field="reasoning"),
    "together": Preset("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "vllm": Preset("http://localhost:8000/v1", None),
    "xai": Preset("https://api.x.ai/v1", "XAI_API_KEY"),
}
