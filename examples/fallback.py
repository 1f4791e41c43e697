"""A provider that is down, a fallback that answers, and the story of both attempts."""

import asyncio

from inferkit import AsyncClient, Unavailable
from inferkit.testing import FakeProvider

down = FakeProvider(Unavailable("down for maintenance", provider="cloud", status=503))


async def main() -> None:
    models = {"answer": ["cloud:big-model", "local"]}
    async with AsyncClient(providers={"cloud": down}, models=models, cache=False, ledger=False) as llm:
        reply = await llm.complete("answer", "I forgot my password and cannot log in.")
    print(reply.text)
    for attempt in reply.attempts:
        print(f"{attempt.number}. {attempt.kind}: {attempt.provider}:{attempt.model}, {attempt.outcome}")


asyncio.run(main())
