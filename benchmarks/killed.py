"""The processes that are killed: forks of one that has imported everything, each of which calls until it dies.

`python -m benchmarks.killed SERVER LEDGER PIPE` forks for each line that comes in, and prints the fork's process id. A
fork writes into the pipe, as a `STEP`, when it begins a step of the ledger and when that has ended.
"""

from __future__ import annotations

import itertools
import os
import signal
import struct
import sys
from typing import Any

from benchmarks.server import INPUT_NANOS, OUTPUT_NANOS
from inferkit import Budget, Client, Ledger, OpenAIChat, Price
from inferkit.core.money import to_usd
from inferkit.ledger.sqlite.ledger import SqliteStore

__all__ = ["STEP"]

STEP = struct.Struct("=i?")
"""A process id, and whether a step begins."""
_MILLION = 1_000_000
_MOST_OUTPUT = 400


class _Telling(SqliteStore):
    def __init__(self, path: str, pipe: int) -> None:
        super().__init__(path)
        self._pipe = pipe

    async def reserve(self, *args: Any, **options: Any) -> Any:
        return await self._told(super().reserve, *args, **options)

    async def settle(self, *args: Any, **options: Any) -> Any:
        return await self._told(super().settle, *args, **options)

    async def _told(self, step: Any, *args: Any, **options: Any) -> Any:
        os.write(self._pipe, STEP.pack(os.getpid(), True))
        result = await step(*args, **options)
        os.write(self._pipe, STEP.pack(os.getpid(), False))
        return result


def _client(server: str, ledger: str, pipe: int) -> Client:
    return Client(
        providers={"billing": OpenAIChat(base_url=f"{server}/billing/v1")},
        models={"any": "billing:m"},
        prices={"billing:m": Price(to_usd(INPUT_NANOS * _MILLION), to_usd(OUTPUT_NANOS * _MILLION))},
        budget=Budget(usd="1000000", per="total", name="everything"),
        ledger=Ledger(_Telling(ledger, pipe)),
        cache=False,
    )


def _call(llm: Client, turn: int) -> None:
    """Ask for a whole reply and for a stream in turn. The question names the call, to the ledger as its user."""
    name = f"{os.getpid()}-{turn}"
    if turn % 2:
        llm.complete(name, max_output_tokens=_MOST_OUTPUT, user=name)
        return
    with llm.stream(name, max_output_tokens=_MOST_OUTPUT, user=name) as stream:
        for _ in stream:
            pass


def _main(server: str, ledger: str, pipe: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here
    with _client(server, ledger, pipe) as llm:
        _call(llm, 0)
        _call(llm, 1)
        llm.ledger.close()
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            llm = _client(server, ledger, pipe)
            for turn in itertools.count():
                _call(llm, turn)
        print(pid, flush=True)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
