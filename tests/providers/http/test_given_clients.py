"""Clients of httpx and httpx2 that the application made: used as they are, and never closed."""

from __future__ import annotations

from math import inf

import httpx
import httpx2
import pytest

from chat_wire import HELLO, ask
from inferkit.core.errors import ConfigurationError, DeadlineExceeded, InvalidRequest, Unavailable
from inferkit.providers.http.httpx_transport import HttpxTransport
from inferkit.providers.http.transport import Timeouts
from inferkit.providers.openai_chat import OpenAIChat
from inferkit.runtime.direct import DirectRuntime, drive
from ways import close, over_httpx, text
from wire import CLOSE, SSE_HEAD_UNTIL_CLOSE, Wire, endless, reply, sse


@over_httpx
@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_a_given_client_is_used_and_left_open(way, library):
    with way.wire(lambda _: sse(HELLO)) as wire:

        async def call(runtime):
            kind = library.Client if runtime.blocking else library.AsyncClient
            client = kind(headers={"x-mine": "yes"}, timeout=library.Timeout(7, pool=None), **way.trust)
            adapter = OpenAIChat(base_url=wire.url, http_client=client)
            assert await text(adapter, runtime, deadline=runtime.now() + 30) == "Hello"
            wire.script = lambda _: [reply(b"", 307, location="http://127.0.0.1:9/")]
            with pytest.raises(InvalidRequest, match="redirect"):
                await text(adapter, runtime)
            wire.script = endless(SSE_HEAD_UNTIL_CLOSE, b": still here\n\n")
            with pytest.raises(DeadlineExceeded):
                await text(adapter, runtime, deadline=runtime.now() + 0.2)
            wire.script = lambda _: [CLOSE]
            with pytest.raises(Unavailable):
                await text(adapter, runtime)
            await close(adapter, runtime)
            assert not client.is_closed
            if runtime.blocking:
                client.close()
            else:
                await client.aclose()

        way(call)
        assert wire.requests[0].headers["x-mine"] == "yes"
        assert wire.requests[0].headers["accept-encoding"] == "identity"


@over_httpx
def test_a_given_client_that_reads_replies_in_a_hook_works(way):
    with way.wire(lambda _: sse(HELLO)) as wire:

        async def call(runtime):
            if runtime.blocking:
                with httpx.Client(event_hooks={"response": [lambda response: response.read()]}, **way.trust) as client:
                    return await text(OpenAIChat(base_url=wire.url, http_client=client), runtime)

            async def read(response):
                await response.aread()

            async with httpx.AsyncClient(event_hooks={"response": [read]}, **way.trust) as client:
                return await text(OpenAIChat(base_url=wire.url, http_client=client), runtime)

        assert way(call) == "Hello"


@over_httpx
def test_a_client_of_the_wrong_kind_is_refused_with_what_to_pass(way):
    async def call(runtime):
        client = httpx.AsyncClient() if runtime.blocking else httpx.Client()
        with pytest.raises(ConfigurationError) as caught:
            await OpenAIChat(base_url="http://127.0.0.1:9", http_client=client)(ask(runtime))
        return runtime.blocking, str(caught.value)

    blocking, message = way(call)
    assert message.endswith("pass an httpx.Client" if blocking else "pass an httpx.AsyncClient")
    with pytest.raises(ConfigurationError, match="got dict"):
        OpenAIChat(http_client={})


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (httpx.PoolTimeout("secret"), Unavailable),
        (httpx.WriteTimeout("secret"), Unavailable),
        (httpx2.ConnectTimeout("secret"), Unavailable),
        (httpx.LocalProtocolError("secret"), ConfigurationError),
        (ConnectionResetError("secret"), Unavailable),
        (Unavailable("mine", provider="p"), Unavailable),
        (ZeroDivisionError("mine"), ZeroDivisionError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_what_a_transport_raises_is_typed_unless_it_is_the_applications_own(raised, expected):
    def send(_):
        raise raised

    with httpx.Client(transport=httpx.MockTransport(send)) as client:
        adapter = OpenAIChat(base_url="http://127.0.0.1:1", http_client=client)
        with pytest.raises(expected) as caught:
            drive(adapter(ask(DirectRuntime())))
    assert "secret" not in str(caught.value)
    if "mine" in str(raised):
        assert caught.value is raised


def test_a_reply_without_a_socket_can_be_closed_and_read():
    content = b"".join(HELLO)
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, headers={"content-type": "text/event-stream"}, content=content)
    )
    with httpx.Client(transport=transport) as client:
        adapter = OpenAIChat(base_url="http://127.0.0.1:1", http_client=client)
        runtime = DirectRuntime()
        assert drive(text(adapter, runtime, deadline=runtime.now() + 30)) == "Hello"
        response = drive(adapter(ask(runtime)))
        drive(response.aclose())


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_timeouts_of_a_client_are_kept_where_somebody_chose_them(library):
    with library.Client() as plain, library.Client(timeout=7) as chosen, library.Client(timeout=None) as endless_one:
        assert [HttpxTransport(http_client=each)._timeouts for each in (plain, chosen, endless_one)] == [
            Timeouts(),
            Timeouts(7, 7, 7, 7, 7),
            Timeouts(inf, inf, inf, inf, inf),
        ]


def test_a_thread_may_wait_for_ever_for_a_connection():
    """A socket itself takes no infinity."""
    with Wire(lambda _: sse(HELLO)) as wire:
        adapter = OpenAIChat(base_url=wire.url, timeouts=Timeouts(inf, inf, inf, inf, inf))
        assert drive(text(adapter, DirectRuntime())) == "Hello"
        adapter.close()
