"""The server of `wire.py` on the event loop of the test itself, so that both ends go by one clock, which it may own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Any

from wire import CLOSE, RESET, UNTIL_CLOSED, Received

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

__all__ = ["loop_wire"]


@contextlib.asynccontextmanager
async def loop_wire(script: Callable[[Received], Iterable[Any]]) -> AsyncIterator[str]:
    """Serve a script as `Wire` does, and give the server's URL. A number among its steps is a pause, in seconds."""
    serving: set[asyncio.Task[Any] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            while await _play(script(await _receive(reader)), reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client is gone, or the test is over
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):  # the test may be over just then
                await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        for task in serving:
            assert task is not None
            task.cancel()
        await asyncio.gather(*filter(None, serving))


async def _receive(reader: asyncio.StreamReader) -> Received:
    head = await reader.readuntil(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return Received(line, headers, await reader.readexactly(int(headers.get("content-length", "0"))), 0)


async def _play(steps: Iterable[Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Do a script's steps; say whether the connection goes on."""
    for step in steps:
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
        elif isinstance(step, float):
            await asyncio.sleep(step)
        elif step is UNTIL_CLOSED:
            await reader.read()
            return False
        elif step is RESET:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        else:
            assert step is CLOSE
            return False
    return True
