"""The ways that bytes travel, behind one face: each library where it runs, over plain connections and over TLS."""

from __future__ import annotations

import functools
import os
import ssl
import subprocess
import sys
import tempfile
from dataclasses import dataclass

import pytest
import trustme

from chat_wire import ask
from inferkit.providers.http.settings import Http
from inferkit.providers.openai_chat import OpenAIChat
from wire import Wire
from worlds import run_in

PLACES = (("httpx", "asyncio"), ("httpx", "trio"), ("httpx", "direct"), ("aiohttp", "asyncio"))


@dataclass(frozen=True)
class Way:
    """Called with a body that takes a runtime, it runs that."""

    library: str
    place: str
    tls: bool

    def __str__(self):
        return f"{self.library}-{self.place}{'-tls' if self.tls else ''}"

    def __call__(self, body):
        return run_in(self.place, body)

    @property
    def blocking(self):
        return self.place == "direct"

    def wire(self, script):
        return Wire(script, tls=server_context() if self.tls else None)

    def http(self, **settings):
        return Http(self.library, ca=client_context() if self.tls else None, **settings)

    @property
    def trust(self):
        """What a client of httpx is made with, so that it believes the server."""
        return {"verify": client_context()} if self.tls else {}

    def adapter(self, base_url, *, http=None, **settings):
        """Make an adapter; `http` are more fields of its `Http`."""
        if "http_client" not in settings:
            settings["transport"] = self.http(**(http or {}))
        return OpenAIChat(base_url=base_url, **settings)


WAYS = tuple(Way(library, place, tls) for library, place in PLACES for tls in (False, True))


def only(*ways):
    return pytest.mark.parametrize("way", ways, ids=str, indirect=True)


on_loops = only(*(way for way in WAYS if not way.blocking))
on_asyncio = only(*(way for way in WAYS if way.place == "asyncio"))
in_threads_alone = only(*(way for way in WAYS if way.blocking))
over_httpx = only(*(way for way in WAYS if way.library == "httpx"))
over_httpx_on_loops = only(*(way for way in WAYS if way.library == "httpx" and not way.blocking))
over_tls = only(*(way for way in WAYS if way.tls))
over_plain_connections = only(*(way for way in WAYS if not way.tls))


@functools.lru_cache(maxsize=1)
def authority():
    return trustme.CA()


@functools.lru_cache(maxsize=1)
def server_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("127.0.0.1", "localhost").configure_cert(context)
    context.set_alpn_protocols(["http/1.1"])
    return context


@functools.lru_cache(maxsize=1)
def client_context():
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


def run_program(program, *options):
    """Run a program in a process of its own, which has the tests' modules and believes the server."""
    program = f"import sys\nsys.path[:0] = {[path for path in sys.path if path]!r}\n{program}"
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        authority().cert_pem.write_to_path(file.name)
        return subprocess.run(
            [sys.executable, *options, "-c", program],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "SSL_CERT_FILE": file.name},
        )


async def text(adapter, runtime, *messages, **fields):
    """Ask, and give the whole text."""
    return "".join(chunk.text for chunk in await (await adapter(ask(runtime, *messages, **fields))).read())


async def close(adapter, runtime):
    """Close the adapter's connections for where this runs."""
    await adapter.transport.aclose(runtime)
