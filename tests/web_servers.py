"""Web applications behind real servers on the loopback, and what their servers saw between two pieces of a body."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading

import uvicorn
from werkzeug.serving import make_server

from inferkit.budgets.context import current_scopes
from inferkit.budgets.scope import Scope

SECONDS = 30


def accounts():
    return [scope.account for scope in current_scopes() if isinstance(scope, Scope)]


class Between:
    """Around an application: notes who would pay for what its server does with each piece of a body."""

    def __init__(self, app):
        self.app = app
        self.seen = set()

    def wsgi(self, environ, start_response):
        body = self.app(environ, start_response)
        try:
            for piece in body:
                self.seen.add(tuple(accounts()))
                yield piece
        finally:
            if hasattr(body, "close"):
                body.close()
            self.seen.add(tuple(accounts()))

    async def asgi(self, scope, receive, send):
        async def noting(message):
            self.seen.add(tuple(accounts()))
            await send(message)

        await self.app(scope, receive, noting)
        self.seen.add(tuple(accounts()))


@contextlib.contextmanager
def served_wsgi(app):
    between = Between(app)
    server = make_server("127.0.0.1", 0, between.wsgi, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(SECONDS)
        server.server_close()
    assert between.seen == {()}


@contextlib.contextmanager
def served_asgi(app):
    between = Between(app)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(between.asgi, log_config=None, lifespan="off", ws="none", http="h11", interface="asgi3")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(SECONDS)
    assert not thread.is_alive()
    assert between.seen == {()}


def get(port, path):
    """Ask for a page, and give what came of it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().read().decode()
