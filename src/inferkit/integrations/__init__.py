"""inferkit under other people's SDKs: their calls pass the whole stack, and the code around them stays as it is.

`wrap(openai.OpenAI(), llm)` gives the same client on top of an inferkit client, and `instrument("openai", llm)` puts it
under every one that is made from then on; `http_client`, `async_http_client` and `transport` are for what takes an HTTP
client of one's own. Nothing of an SDK is imported unless the application has it.

`AsgiMiddleware`, `WsgiMiddleware` and `DjangoMiddleware` say of the calls of a web request whom they are for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit._lazy import lazily

if TYPE_CHECKING:
    from inferkit.integrations.asgi import AsgiMiddleware
    from inferkit.integrations.causes import cause_of
    from inferkit.integrations.django import DjangoMiddleware
    from inferkit.integrations.http_clients import async_http_client, http_client, transport
    from inferkit.integrations.instrumenting import Instrumented, instrument, uninstrument
    from inferkit.integrations.wrapping import wrap
    from inferkit.integrations.wsgi import WsgiMiddleware

__all__ = [
    "AsgiMiddleware",
    "DjangoMiddleware",
    "Instrumented",
    "WsgiMiddleware",
    "async_http_client",
    "cause_of",
    "http_client",
    "instrument",
    "transport",
    "uninstrument",
    "wrap",
]

__getattr__ = lazily(
    __name__,
    {
        "asgi": ("AsgiMiddleware",),
        "causes": ("cause_of",),
        "django": ("DjangoMiddleware",),
        "http_clients": ("async_http_client", "http_client", "transport"),
        "instrumenting": ("Instrumented", "instrument", "uninstrument"),
        "wrapping": ("wrap",),
        "wsgi": ("WsgiMiddleware",),
    },
)


def __dir__() -> list[str]:
    return __all__
