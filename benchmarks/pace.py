"""How fast this machine is at the moment: what a call of bare httpx takes, which the goals' seconds are relative to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

from benchmarks.application import HEADERS, payload
from benchmarks.timing import interleave_async

if TYPE_CHECKING:
    from benchmarks.timing import AsyncBlock

__all__ = ["CALL", "call_of_httpx", "httpx_block"]

CALL = (525 + 750) / 2
"""Microseconds that an async call of bare httpx takes on the machines for which the goals in time were set."""


def httpx_block(client: httpx.AsyncClient, url: str) -> AsyncBlock:
    """Give what makes so many calls, one after the other."""

    async def run(calls: int) -> None:
        for _ in range(calls):
            response = await client.post(url, json=payload())
            assert response.json()["choices"]

    return run


def call_of_httpx(server: str) -> float:
    """Give the CPU microseconds of a call of bare httpx to the benchmarks' server, as they are just now."""

    async def measure() -> float:
        async with httpx.AsyncClient(headers=HEADERS) as client:
            rows = {"httpx": httpx_block(client, f"{server}/v1/chat/completions")}
            times = await interleave_async(rows, calls=200, rounds=7, left=0.0)
            return times.microseconds("httpx")

    return asyncio.run(measure())
