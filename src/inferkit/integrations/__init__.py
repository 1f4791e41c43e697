"""inferkit under other people's SDKs: their calls pass the whole stack, and the code around them stays as it is.

`wrap(openai.OpenAI(), llm)` gives the same client on top of an inferkit client; `http_client`, `async_http_client` and
`transport` are for what takes an HTTP client of one's own. Nothing of an SDK is imported unless the application has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit._lazy import lazily

if TYPE_CHECKING:
    from inferkit.integrations.causes import cause_of
    from inferkit.integrations.http_clients import async_http_client, http_client, transport
    from inferkit.integrations.wrapping import wrap

__all__ = ["async_http_client", "cause_of", "http_client", "transport", "wrap"]

__getattr__ = lazily(
    __name__,
    {
        "causes": ("cause_of",),
        "http_clients": ("async_http_client", "http_client", "transport"),
        "wrapping": ("wrap",),
    },
)


def __dir__() -> list[str]:
    return __all__
