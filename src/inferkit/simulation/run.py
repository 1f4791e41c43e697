"""Runs a scenario under one policy: every call goes through a real client, its ledger, and all of its layers."""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from inferkit.client.async_client import AsyncClient
from inferkit.core import record
from inferkit.core.errors import BudgetExceeded, DeadlineExceeded, Overloaded, ProviderError
from inferkit.core.stack import Insert
from inferkit.layers.retry import Retry
from inferkit.ledger.sqlite.ledger import SqliteLedger
from inferkit.simulation.provider import SimulatedModel
from inferkit.simulation.traffic import calls_of
from inferkit.simulation.virtual_time import VirtualTime, run_in

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from inferkit.core.request import Request
    from inferkit.core.response import Response
    from inferkit.simulation.scenario import Setup, Simulation
    from inferkit.simulation.traffic import Asked

__all__ = ["Answer", "Fate", "Played", "play"]

Fate = Literal["answered", "late", "failed", "refused", "shed"]
"""What became of a call: answered; its customer did not wait any longer; every attempt failed; a budget or the
allowance did not cover it; the client's own limits turned it away."""

_log = logging.getLogger("inferkit")
_PROMPT = "Where is my order, and when will it be here? I have waited for a week. "


class Answer(NamedTuple):
    """What became of one call. Times are in seconds; `first` is None where nothing of a reply came.

    `kept` says that the cache had the reply, or an identical call in flight; `model` is the one that wrote it then.
    """

    asked: Asked
    fate: Fate
    first: float | None
    seconds: float
    model: str
    good: bool
    kept: bool = False


class Booked(NamedTuple):
    """What the ledger has under one plan, in nano-dollars and calls."""

    usd: int
    calls: int


class Played(NamedTuple):
    """A whole run: what became of each call, in the order in which they came, and what was counted meanwhile.

    `booked` is what the ledger has by plan. `received`, `refused` and `failed` are requests by model, as the providers
    count them.
    """

    scenario: Simulation
    policy: Setup
    answers: list[Answer]
    booked: dict[str, Booked]
    received: dict[str, int]
    refused: dict[str, int]
    failed: dict[str, int]


def play(
    scenario: Simulation,
    policy: Setup,
    *,
    calls: Sequence[Asked] | None = None,
    ledger: str | os.PathLike[str] | None = None,
) -> Played:
    """Run a scenario. `calls` are its calls where they were drawn before, `ledger` is a file to keep.

    Raises `ConfigurationError` for settings that make no sense.
    """
    if ledger is not None:
        return _play(scenario, policy, calls, Path(ledger))
    with tempfile.TemporaryDirectory(prefix="inferkit-simulation-") as folder:
        return _play(scenario, policy, calls, Path(folder) / "ledger.db")


def _play(scenario: Simulation, policy: Setup, calls: Sequence[Asked] | None, file: Path) -> Played:
    world = _World(scenario, policy, calls_of(scenario) if calls is None else calls)
    with _seeded(scenario.seed, world.entropy):
        run_in(world.time, lambda: world.run(file))
    return world.played()


@contextmanager
def _seeded(seed: int, entropy: Any) -> Iterator[None]:
    """Have chance be the same in each run: that of retries and limits, and that in the ids of calls.

    What the library would log of its providers' outages is part of the scenario, and is kept quiet.
    """
    state, before, level = random.getstate(), record.entropy, _log.level
    random.seed(seed)
    record.entropy = entropy
    _log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        _log.setLevel(level)
        record.entropy = before
        random.setstate(state)


class _World:
    """One run while it goes on."""

    def __init__(self, scenario: Simulation, policy: Setup, calls: Sequence[Asked]) -> None:
        self._scenario = scenario
        self._policy = policy
        self._calls = calls
        self._number = 0
        self.time = VirtualTime(scenario.start.timestamp())
        self._models = {
            each.name: SimulatedModel(
                each,
                [outage for outage in scenario.outages if outage.provider in (each.name, each.name.partition(":")[0])],
                seed=scenario.seed,
                call_of=self._call_of,
                seconds=lambda: self.time.elapsed,
            )
            for each in scenario.providers
        }
        self._prompts: dict[int, str] = {}
        self._are_told_apart = bool(scenario.traffic.repeated or policy.cache)
        self._answers: dict[int, Answer] = {}
        self._booked: dict[str, list[int]] = {}

    def entropy(self, size: int) -> bytes:
        """Give a call's number as the chance in its id: spread, so that what goes by the id goes by chance."""
        seed = f"{self._scenario.seed} {self._number}"
        spread = random.Random(seed).randbytes(size - 4)  # noqa: S311 - no secret
        return spread + self._number.to_bytes(4, "big")

    def _call_of(self, request: Request) -> Asked:
        return self._calls[int(request.record.id[-8:], 16)]

    async def run(self, file: Path) -> None:
        """Make all calls, each at its time, and read what was booked."""
        ledger = SqliteLedger(file)
        client = self._client(ledger)
        try:
            async with asyncio.TaskGroup() as group:
                for asked in self._calls:
                    wait = asked.at - self.time.elapsed
                    if wait > 0:
                        await asyncio.sleep(wait)
                    group.create_task(self._one(client, asked))
            for entry in ledger.entries():
                booked = self._booked.setdefault(entry.charge.attribution.plan or "", [0, 0])
                booked[0] += entry.charge.usd or 0
                booked[1] += entry.calls
        finally:
            await client.aclose()
            ledger.close()

    def _client(self, ledger: SqliteLedger) -> AsyncClient:
        scenario, policy = self._scenario, self._policy
        adapters: dict[str, _Adapter] = {}
        for name, model in self._models.items():
            provider, _, rest = name.partition(":")
            adapters.setdefault(provider, _Adapter(provider)).models[rest] = model
        retry = Retry(policy.max_retries, health=policy.health, random=random.random)
        if policy.pause is not None:
            retry = Retry(
                policy.max_retries, base=policy.pause, longest=policy.pause, health=policy.health, random=lambda: 1.0
            )
        settings: Any = {
            "models": {name: models[:1] if policy.only_first else models for name, models in scenario.models.items()},
            "providers": adapters,
            "prices": {each.name: each.price for each in scenario.providers if each.price is not None},
            "plans": scenario.plans,
            "ledger": ledger,
            "cache": False if policy.cache is None else policy.cache(),
            "share": False,
            "layers": [Insert(retry, instead_of="retry")],
            "routes": policy.routes,
            "limits": policy.limits,
            "hedge": policy.hedge,
            **policy.settings,
        }
        return AsyncClient(**settings)

    async def _one(self, client: AsyncClient, asked: Asked) -> None:
        """Make one call, and note what becomes of it."""
        whose, now = asked.customers, self.time.now
        self._number = asked.number  # for the id, which is made before anything is waited for
        options: Any = {
            "user": asked.user,
            "plan": whose.plan,
            "priority": whose.priority,
            "max_output_tokens": whose.max_output_tokens,
            "timeout": whose.timeout,
        }
        stream = client.stream(whose.model, self._prompt(asked), **options)
        began, first, text = now(), None, ""
        fate: Fate = "answered"
        try:
            async with stream as reply:
                async for chunk in reply:
                    if first is None:
                        first = now() - began
                    text = text or chunk.text
        except BudgetExceeded:
            fate = "refused"
        except DeadlineExceeded:
            fate = "late"
        except Overloaded:
            fate = "shed"
        except ProviderError:
            fate = "failed"
        served = stream.reply
        model = f"{served.provider}:{served.model}" if served.provider else ""
        good = fate == "answered" and text == "good"
        kept = served.cache in ("hit", "coalesced")
        self._answers[asked.number] = Answer(asked, fate, first, now() - began, model, good, kept)

    def _prompt(self, asked: Asked) -> str:
        """Give a text of about as many tokens as a call's prompt; where that matters, each question has its own."""
        text = self._text(asked.input_tokens)
        if not self._are_told_apart:
            return text
        which = f" {asked.number}." if asked.question is None else f" {asked.customers.plan} asks {asked.question}."
        return text[: -len(which)] + which

    def _text(self, tokens: int) -> str:
        known = self._prompts.get(tokens)
        if known is None:
            size = tokens * 4
            known = self._prompts[tokens] = (_PROMPT * (size // len(_PROMPT) + 1))[:size]
        return known

    def played(self) -> Played:
        """Give what became of it all."""
        models = self._models.items()
        return Played(
            self._scenario,
            self._policy,
            [self._answers[asked.number] for asked in self._calls],
            {plan: Booked(*amounts) for plan, amounts in self._booked.items()},
            {name: model.received for name, model in models},
            {name: model.refused for name, model in models},
            {name: model.failed for name, model in models},
        )


class _Adapter:
    """A provider with its models."""

    def __init__(self, name: str) -> None:
        self.fingerprint = name
        self.keeps_limit = True
        self.models: dict[str, SimulatedModel] = {}

    async def __call__(self, request: Request) -> Response:
        return await self.models[request.model](request)
