"""A proxy for tests: it connects to whom it is told, and carries bytes both ways, of which it keeps what it saw."""

from __future__ import annotations

import contextlib
import socket
import threading

__all__ = ["HANG_SECONDS", "Proxy", "through"]

HANG_SECONDS = 30.0  # a guard; no test waits this long


class Proxy:
    """Answers CONNECT, and carries bytes both ways. `refusing` is what it says instead of connecting."""

    def __init__(self, refusing=None):
        self.heads, self.seen, self.closed = [], bytearray(), threading.Event()
        self._refusing = refusing
        self._sockets, self._threads = [], []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self):
        self._spawn(self._accept)
        return self

    def __exit__(self, *_):
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in list(self._threads):
            thread.join(HANG_SECONDS)

    def _spawn(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                self._spawn(self._connect, client)

    def _connect(self, client):
        with contextlib.suppress(OSError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                more = client.recv(1)
                if not more:
                    return
                head += more
            self.heads.append(head.decode("latin-1"))
            if self._refusing is not None:
                client.sendall(self._refusing)
                client.shutdown(socket.SHUT_RDWR)
                return
            host, port = self.heads[-1].split(" ")[1].rsplit(":", 1)
            server = socket.create_connection((host, int(port)))
            self._sockets.append(server)
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self._spawn(self._carry, server, client)
            self._carry(client, server)

    def _carry(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.seen += data
                sink.sendall(data)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self.closed.set()


def through(monkeypatch, proxy, user=""):
    """Have the environment name a proxy."""
    for name in ("no_proxy", "NO_PROXY", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", f"http://{user}{proxy.address}")
