"""Closes the connection of a call that is cancelled in its TLS handshake: httpcore does so for errors alone."""

from __future__ import annotations

from typing import Any

__all__ = ["close_what_is_cancelled"]


def close_what_is_cancelled(pool: Any) -> None:
    """Have httpcore's pool for an event loop leave no connection open where a call ends before that is its own."""
    network = getattr(pool, "_network_backend", None)  # httpx takes none
    if network is not None:
        pool._network_backend = _Network(network)  # noqa: SLF001 - see above


class _Network:
    """Stands before one of httpcore's ways to connect."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self.connect_unix_socket = network.connect_unix_socket
        self.sleep = network.sleep

    async def connect_tcp(self, *args: Any, **options: Any) -> Any:
        return _Connected(await self._network.connect_tcp(*args, **options))


class _Connected:
    """A connection as it is before its handshake, and where a proxy is asked for one."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def start_tls(self, *args: Any, **options: Any) -> Any:
        try:
            return await self._stream.start_tls(*args, **options)
        except (Exception, GeneratorExit):  # it is closed, or nothing can be waited for any more
            raise
        except BaseException:
            import anyio

            with anyio.CancelScope(shield=True):
                await self._stream.aclose()
            raise
