"""What `import inferkit` gives, and what it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import inferkit

FACE = [
    "AsyncClient",
    "AsyncStream",
    "Attempt",
    "AuthenticationFailed",
    "Budget",
    "BudgetBlock",
    "BudgetExceeded",
    "Cache",
    "CallRecord",
    "Catalog",
    "Chunk",
    "Client",
    "ConfigurationError",
    "ContentFiltered",
    "DeadlineExceeded",
    "End",
    "Handler",
    "ImagePart",
    "InferkitError",
    "InvalidRequest",
    "Key",
    "Layer",
    "Ledger",
    "LedgerError",
    "Local",
    "Message",
    "ModelFileError",
    "NoRoute",
    "OpenAIChat",
    "Part",
    "Plan",
    "Plans",
    "Price",
    "ProviderError",
    "RateLimited",
    "ReasoningPart",
    "Remaining",
    "Reply",
    "Request",
    "Response",
    "Retry",
    "Runtime",
    "Spent",
    "SqliteLedger",
    "StackOrderWarning",
    "Stream",
    "StreamError",
    "StreamInterrupted",
    "Subscription",
    "Target",
    "TextPart",
    "Threshold",
    "Tool",
    "ToolCallDelta",
    "ToolCallPart",
    "ToolResultPart",
    "Unavailable",
    "UnpricedModel",
    "Usage",
    "budget",
    "budgeted",
    "compose",
    "default_stack",
]


def test_the_public_names_are_these_and_each_can_be_had():
    assert inferkit.__all__ == FACE
    for name in FACE:
        assert getattr(inferkit, name) is not None
    assert set(FACE) < set(dir(inferkit))
    assert inferkit.__version__


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(inferkit, "Clinet")


def modules_after(code):
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=unmeasured)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_inferkit_loads_nothing_heavy():
    loaded = modules_after("import inferkit")
    assert not loaded & {
        "httpx",
        "pydantic",
        "anyio",
        "opentelemetry",
        "diskcache",
        "rich",
        "asyncio",
        "ssl",
        "sqlite3",
    }


def test_a_first_call_loads_only_what_it_needs():
    loaded = modules_after(
        "from inferkit import Client\n"
        "from inferkit.testing import FakeProvider\n"
        "llm = Client(providers={'f': FakeProvider()}, models={'a': 'f:m'}, ledger=False, cache=False)\n"
        "llm.complete('a', 'hi')"
    )
    assert not loaded & {"rich", "typer", "opentelemetry.sdk.trace", "ctransformers", "huggingface_hub", "trio"}
