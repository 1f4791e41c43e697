"""What a process has loaded after its first call over HTTP, with everything on that is on by default, and no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from chat_wire import completion
from wire import Wire, reply

CALL = """
import json, sys
from pathlib import Path
from inferkit import {client}, Budget, OpenAIChat

settings = dict(
    providers={{"openai": OpenAIChat(base_url=sys.argv[1], api_key="k", name="openai")}},
    models={{"fast": "openai:gpt-5-mini"}},
    budget=Budget(usd="1", per="month", name="all"),
    home=Path(sys.argv[2]),
)
{call}
print(json.dumps(sorted(sys.modules)))
"""
CALLS = {
    "sync": ("Client", 'with Client(**settings) as llm:\n    llm.complete("fast", "hi", max_output_tokens=50)'),
    "preloaded": ("Client", "Client(preload=True, **settings).close()"),
    "async": (
        "AsyncClient",
        """
import asyncio

async def call():
    async with AsyncClient(**settings) as llm:
        await llm.complete("fast", "hi", max_output_tokens=50)

asyncio.run(call())
""",
    ),
}
NOT_USED = {"httpx", "rich", "click", "pygments", "typer", "jinja2", "opentelemetry.sdk", "aiohttp", "numpy"}

PARTS_NOT_USED = {
    "cli", "economics", "integrations", "layers.continuation", "layers.hedge", "layers.turns",
    "ledger.sqlite.filling", "ledger.sqlite.group_commit", "ledger.sqlite.hours", "ledger.sqlite.rollups",
    "ledger.sqlite.totals", "ledger.sqlite.wanted", "ledger.summary", "local",
    "plans", "pricing.local_cost", "providers.anthropic", "providers.gemini", "providers.openai_responses",
    "providers.waits", "providers.wires.anthropic", "providers.wires.embeddings", "providers.wires.gemini",
    "providers.wires.responses", "resilience.limiter", "resilience.waiting", "routing.cascade", "routing.explanation",
    "routing.learned", "simulation", "testing", "typed.form",
}  # fmt: skip
MOST_MODULES = 245  # of inferkit's own, at about 30 kB each


@pytest.fixture(scope="module", params=CALLS)
def loaded(request, tmp_path_factory):
    plain = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    unmeasured = {name: value for name, value in plain.items() if not name.startswith("COVERAGE")}
    client, call = CALLS[request.param]
    program = CALL.format(client=client, call=call)
    with Wire(lambda _: [reply(completion())]) as wire:
        command = [sys.executable, "-c", program, wire.url, str(tmp_path_factory.mktemp("home"))]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, env=unmeasured)
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stdout))


def test_it_loads_no_library_that_it_does_not_use(loaded):
    assert "httpcore" in loaded
    assert not loaded & NOT_USED


def test_it_loads_no_part_of_inferkit_that_it_does_not_use(loaded):
    own = [name.removeprefix("inferkit.") for name in loaded if name.startswith("inferkit.")]
    assert not [name for name in own if any(f"{name}.".startswith(f"{part}.") for part in PARTS_NOT_USED)]
    assert len(own) <= MOST_MODULES


def test_every_part_that_is_watched_is_there():
    """Else a part that was renamed would be watched no more."""
    assert not [part for part in PARTS_NOT_USED if find_spec(f"inferkit.{part}") is None]
