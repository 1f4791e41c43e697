"""A server of HTTP/2 that ends a stream whose body it has not read: that call fails, and the others go on."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading

import h2.config
import h2.connection
import h2.events
import pytest

from chat_wire import ask, delta
from inferkit import Message, OpenAIChat
from inferkit.core.errors import Unavailable
from inferkit.runtime.direct import DirectRuntime, drive
from ways import WAYS, authority, only, text
from wire import event

in_threads_over_http2 = only(*(way for way in WAYS if way.blocking and way.tls))
CREDIT = 65_535  # what a client may send before the server gives it more
HEAD = [(":status", "200"), ("content-type", "text/event-stream")]


class Server:
    """Begins to answer the first stream, gives no credit for the second, and ends that once nothing more can come."""

    def __init__(self):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority().issue_cert("127.0.0.1").configure_cert(context)
        context.set_alpn_protocols(["h2"])
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self):
        self._listener.close()
        self._thread.join(30)

    def _serve(self):
        with self._context.wrap_socket(self._listener.accept()[0], server_side=True) as sock:
            state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
            state.initiate_connection()
            sock.sendall(state.data_to_send())
            received = 0
            with contextlib.suppress(OSError):  # the client hangs up
                while data := sock.recv(65_536):
                    for each in state.receive_data(data):
                        if isinstance(each, h2.events.RequestReceived) and each.stream_id == 1:
                            state.send_headers(1, HEAD)
                            state.send_data(1, event(delta("Hel")))
                        elif isinstance(each, h2.events.DataReceived):
                            received += each.flow_controlled_length
                    if received == CREDIT:
                        received = 0
                        state.reset_stream(3)
                        state.send_data(1, event(delta("lo", finish="stop")) + event("[DONE]"), end_stream=True)
                    sock.sendall(state.data_to_send())


@in_threads_over_http2
@pytest.mark.parametrize("other_reads", [True, False], ids=["while-another-reads", "alone"])
def test_a_stream_that_is_ended_while_its_body_is_written_fails_alone(way, other_reads):
    with contextlib.closing(Server()) as server:
        adapter, runtime = OpenAIChat(base_url=server.url, transport=way.http(http2=True)), DirectRuntime()
        response = drive(adapter(ask(runtime)))
        assert drive(anext(response)).text == "Hel"
        rest = []
        reader = threading.Thread(target=lambda: rest.append(drive(response.read())))
        if other_reads:
            reader.start()
        with pytest.raises(Unavailable, match="the connection broke"):
            drive(text(adapter, runtime, Message.user("x" * 2 * CREDIT)))
        if not other_reads:
            reader.start()
        reader.join(30)
        assert [chunk.text for chunk in rest[0] if chunk.text] == ["lo"]
        adapter.close()
