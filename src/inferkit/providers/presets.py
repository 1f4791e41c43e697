"""Servers that speak the Chat Completions wire: where they are, whose key they take, and how they differ.

What stands here is what their documentation says, and what was seen of them in public reports; where they have changed,
a refusal of what can be left out is learned from (see `wires/chat/lighter.py`).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from inferkit.core.errors import ConfigurationError
from inferkit.providers.embedding_quirks import EmbeddingQuirks
from inferkit.providers.endpoints import Credential, Endpoint
from inferkit.providers.wires.chat.quirks import IN_CONTENT, ChatQuirks
from inferkit.providers.wires.prefill import PLAIN, Prefill

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PRESETS", "Preset"]

_VARIABLE = re.compile(r"\{([A-Z_|]+)\}")
_IN_HOST = re.compile(r"[A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Preset:
    """One server, or one kind of server that everybody runs for himself.

    `base_url` may hold the names of environment variables in braces, several with a bar between them. `env` is the one
    that holds the key, and `hosts` are what that key is sent to; a `*` in their names stands for one part.
    `embeddings` are its ways of giving embeddings; None where it gives none.
    """

    name: str
    base_url: str
    env: str | None = None
    quirks: ChatQuirks = field(default_factory=ChatQuirks)
    hosts: tuple[str, ...] = ()
    embeddings: EmbeddingQuirks | None = None

    def address(self) -> str:
        """Give the base URL. Raises `ConfigurationError` where the environment lacks a part of it."""
        return _VARIABLE.sub(self._value, self.base_url)

    def endpoint(self) -> Endpoint:
        """Give the endpoint. Raises `ConfigurationError` as `address` does."""
        return Endpoint(
            self.name, self.address(), Credential(env=self.env), quirks=self.quirks, embeddings=self.embeddings
        )

    def owns(self, base_url: str) -> bool:
        """Say whether an address is this server's own, so that its key may be sent there."""
        try:
            host = urlsplit(base_url).hostname or ""
        except (ValueError, AttributeError):
            return False
        parts = host.split(".") if isinstance(host, str) else []
        return any(
            len(parts) == len(known) and all(own in {part, "*"} for own, part in zip(known, parts, strict=True))
            for known in (each.split(".") for each in self.hosts)
        )

    def _value(self, variable: re.Match[str]) -> str:
        names = variable[1].split("|")
        value = next(filter(None, (os.environ.get(name, "").strip() for name in names)), "")
        if not value:
            raise ConfigurationError(
                f"{self.name} has no address of its own: set the environment variable {' or '.join(names)}, or pass "
                "base_url="
            )
        if variable.start() > 0 and not _IN_HOST.fullmatch(value):
            raise ConfigurationError(f"{' or '.join(names)} is a part of a host's name; correct it")
        return value.rstrip("/").removesuffix("/openai/v1")


_REASONING = frozenset({"reasoning_content", "reasoning", "reasoning_details"})
_PROMPT_CACHE = frozenset({"prompt_cache_key", "prompt_cache_retention"})
_HINTS = _PROMPT_CACHE | {"prediction"}
_COMPLETION = "max_completion_tokens"
_OPENAI_BATCH = EmbeddingQuirks(max_inputs=2048, max_tokens=300_000)
_OWN_SERVER = EmbeddingQuirks(max_inputs=256)  # there is no limit by default; vectors may come as long lists


def _text_only(**ways: object) -> ChatQuirks:
    """Give the ways of a server that takes texts, and perhaps images."""
    return ChatQuirks(**({"audio": None, "files": None, "custom_tools": False} | ways))  # type: ignore[arg-type]


def _all() -> Iterable[Preset]:
    yield Preset(
        "azure",
        "{AZURE_OPENAI_ENDPOINT}/openai/v1",
        "AZURE_OPENAI_API_KEY",
        ChatQuirks(_COMPLETION, file_urls=False),
        ("*.openai.azure.com", "*.services.ai.azure.com", "*.cognitiveservices.azure.com"),
        _OPENAI_BATCH,
    )
    yield Preset(
        "bedrock",
        "https://bedrock-runtime.{AWS_REGION|AWS_DEFAULT_REGION}.amazonaws.com/openai/v1",
        "AWS_BEARER_TOKEN_BEDROCK",
        _text_only(max_tokens_field=_COMPLETION, reasoning_tags=("<reasoning>", "</reasoning>")),
        ("bedrock-runtime.*.amazonaws.com", "bedrock-runtime-fips.*.amazonaws.com"),
    )
    yield Preset(
        "cerebras",
        "https://api.cerebras.ai/v1",
        "CEREBRAS_API_KEY",
        _text_only(max_tokens_field=_COMPLETION, reasoning_field="reasoning", without=_PROMPT_CACHE),
        ("api.cerebras.ai",),
    )
    yield Preset(
        "dashscope",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "DASHSCOPE_API_KEY",
        _text_only(reasoning_field="reasoning_content", thinks_beside=True),
        ("dashscope-intl.aliyuncs.com", "dashscope-us.aliyuncs.com", "dashscope.aliyuncs.com"),
        EmbeddingQuirks(max_inputs=10),
    )
    yield Preset(
        "deepseek",
        "https://api.deepseek.com/v1",
        "DEEPSEEK_API_KEY",
        _text_only(reasoning_field="reasoning_content"),
        ("api.deepseek.com",),
    )
    yield Preset(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
        _text_only(reasoning_field="reasoning_content"),
        ("api.fireworks.ai",),
        EmbeddingQuirks(max_inputs=8),
    )
    yield Preset(
        "gemini-openai",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_API_KEY",
        ChatQuirks(
            without=_REASONING | _HINTS, files=None, custom_tools=False, reasoning_tags=("<thought>", "</thought>")
        ),
        ("generativelanguage.googleapis.com",),
        EmbeddingQuirks(max_inputs=100),
    )
    yield Preset(
        "groq",
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        _text_only(
            max_tokens_field=_COMPLETION,
            reasoning_field="reasoning",
            without=frozenset({"reasoning_content", "reasoning_details", "extra_content"}) | _HINTS,
            logprobs=None,
        ),
        ("api.groq.com",),
    )
    yield Preset(
        "llamacpp",
        "http://localhost:8080/v1",
        None,
        ChatQuirks(
            reasoning_field="reasoning_content", files=None, custom_tools=False, names_tool=False, prefill=PLAIN
        ),
        embeddings=_OWN_SERVER,
    )
    yield Preset(
        "lmstudio",
        "http://localhost:1234/v1",
        None,
        _text_only(reasoning_field="reasoning_content", names_tool=False),
        embeddings=_OWN_SERVER,
    )
    yield Preset(
        "mistral",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        ChatQuirks(
            reasoning_field=IN_CONTENT,
            without=frozenset({"stream_options", "extra_content"}) | _REASONING | _PROMPT_CACHE,
            logprobs=None,
            renames={"seed": "random_seed"},
            audio="plain",
            files="document_url",
            prefill=Prefill(message={"prefix": True}, echoes=True),
            custom_tools=False,
            short_call_ids=True,
        ),
        ("api.mistral.ai",),
        EmbeddingQuirks(max_inputs=128, max_tokens=16_384, dimensions_field="output_dimension"),
    )
    yield Preset(
        "ollama",
        "http://localhost:11434/v1",
        None,
        _text_only(reasoning_field="reasoning"),
        embeddings=_OWN_SERVER,
    )
    yield Preset(
        "openai",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        ChatQuirks(_COMPLETION, file_urls=False),
        ("api.openai.com", "*.api.openai.com"),
        _OPENAI_BATCH,
    )
    yield Preset(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        ChatQuirks(reasoning_field="reasoning", custom_tools=False),
        ("openrouter.ai",),
        EmbeddingQuirks(),
    )
    yield Preset(
        "siliconflow",
        "https://api.siliconflow.com/v1",
        "SILICONFLOW_API_KEY",
        _text_only(reasoning_field="reasoning_content", thinks_beside=True),
        ("api.siliconflow.com", "api.siliconflow.cn"),
        EmbeddingQuirks(max_inputs=32),
    )
    yield Preset(
        "together",
        "https://api.together.xyz/v1",
        "TOGETHER_API_KEY",
        _text_only(reasoning_field="reasoning", logprobs="number"),
        ("api.together.xyz", "api.together.ai"),
        EmbeddingQuirks(),
    )
    yield Preset(
        "vllm",
        "http://localhost:8000/v1",
        None,
        ChatQuirks(
            reasoning_field="reasoning",
            files=None,
            custom_tools=False,
            prefill=Prefill(fields={"continue_final_message": True, "add_generation_prompt": False}),
        ),
        embeddings=_OWN_SERVER,
    )
    yield Preset("xai", "https://api.x.ai/v1", "XAI_API_KEY", _text_only(max_tokens_field=_COMPLETION), ("api.x.ai",))


PRESETS = {preset.name: preset for preset in _all()}
"""The servers, by the names that a model can be asked for with: `"groq:llama-3.3-70b-versatile"`."""
