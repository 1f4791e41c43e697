"""What is public, where the docs take it from, and what `import inferkit` costs."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

import inferkit
import inferkit.economics
import inferkit.integrations
import inferkit.ledger
import inferkit.local
import inferkit.routing
import inferkit.telemetry
import inferkit.testing

FACE = [
    "Anthropic",
    "AsyncClient",
    "AsyncStream",
    "AsyncToolStream",
    "Attempt",
    "Attributed",
    "AudioPart",
    "AuthenticationFailed",
    "BreakerRules",
    "Budget",
    "BudgetBlock",
    "BudgetExceeded",
    "Cache",
    "CacheError",
    "CallRecord",
    "Catalog",
    "Chunk",
    "CircuitOpen",
    "Client",
    "ConfigurationError",
    "ConfigurationFileError",
    "ContentFiltered",
    "ContextOverflow",
    "CustomTool",
    "DeadlineExceeded",
    "Embeddings",
    "End",
    "Failover",
    "FilePart",
    "Gemini",
    "Handler",
    "Health",
    "Hedge",
    "Http",
    "ImagePart",
    "InferkitError",
    "Insert",
    "InvalidReply",
    "InvalidRequest",
    "Key",
    "Layer",
    "Ledger",
    "LedgerError",
    "Local",
    "LocalCost",
    "LocalModelError",
    "Message",
    "ModelFileError",
    "ModelHealth",
    "ModelInfo",
    "NoRoute",
    "OpaquePart",
    "OpenAIChat",
    "OpenAIResponses",
    "Overloaded",
    "Part",
    "Plan",
    "Plans",
    "Price",
    "ProviderError",
    "RateLimit",
    "RateLimited",
    "ReasoningPart",
    "RefusalPart",
    "Remaining",
    "Reply",
    "Request",
    "Response",
    "Retry",
    "RetryRules",
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
    "Timeouts",
    "Tool",
    "ToolCallDelta",
    "ToolCallPart",
    "ToolEnded",
    "ToolEvent",
    "ToolResultPart",
    "ToolRound",
    "ToolRoundsExceeded",
    "ToolRun",
    "ToolStarted",
    "ToolStream",
    "Unavailable",
    "UnpricedModel",
    "Usage",
    "attributed",
    "budget",
    "budgeted",
    "compose",
    "default_stack",
    "identify",
]
INTEGRATIONS = [
    "AsgiMiddleware",
    "DjangoMiddleware",
    "Instrumented",
    "WsgiMiddleware",
    "async_http_client",
    "cause_of",
    "http_client",
    "instrument",
    "transport",
    "uninstrument",
    "wrap",
]
TELEMETRY = ["Export", "SpanCollector", "Telemetry", "export_to_jaeger", "trace_tree"]
TESTING = [
    "CutOff",
    "FakeProvider",
    "FrozenClock",
    "MemoryStore",
    "Piece",
    "Recorded",
    "Refused",
    "ResetAt",
    "Script",
    "Spending",
    "Stalled",
    "Surplus",
    "Tape",
    "calls",
    "make_request",
    "memory_ledger",
    "never_called",
    "settled",
    "spent",
]
ROUTING = [
    "STANDING",
    "Best",
    "BudgetStanding",
    "ByBudgetLeft",
    "ByMargin",
    "Calibration",
    "Cascade",
    "Cheapest",
    "Considered",
    "During",
    "Explanation",
    "Fastest",
    "Fits",
    "InTurn",
    "Learned",
    "MarginStanding",
    "Narrowing",
    "Only",
    "Ordered",
    "Policy",
    "Ranking",
    "Standing",
    "Sticky",
    "Weighted",
    "When",
    "calibrate",
    "confidence",
    "is_valid",
]
ALSO_IN_THE_DOCS = {
    "inferkit.caching.choice": {"Chosen"},
    "inferkit.caching.disk": {"DiskTier"},
    "inferkit.caching.entry": {"CachedReply"},
    "inferkit.caching.memory": {"MemoryTier"},
    "inferkit.caching.stored": {"decode", "encode"},
    "inferkit.economics": {"Period", "Scenario", "build_report", "play"},
    "inferkit.economics.render": {"Section", "Table", "render_page"},
    "inferkit.ledger": set(inferkit.ledger.__all__)
    - {"Accounts", "Journal", "Noticeboard", "Pending", "Records", "Store", "Summary", "Summing", "Total"},
    "inferkit.providers.adapter": {"Adapter"},
    "inferkit.providers.endpoints": {"Credential", "Endpoint"},
    "inferkit.providers.http.httpx_transport": {"HttpxTransport"},
    "inferkit.providers.wires.anthropic.quirks": {"BEDROCK"},
    "inferkit.providers.wires.chat.quirks": {"ChatQuirks"},
    "inferkit.providers.embedding_quirks": {"EmbeddingQuirks"},
    "inferkit.providers.wires.chat.wire": {"CHAT"},
    "inferkit.testing.ledger": {"LedgerContract"},
    "inferkit.integrations.langchain": {"ChatInferkit"},
    "inferkit.integrations.pydantic_ai": {"InferkitModel", "InferkitModelSettings"},
}
PUBLIC = {"inferkit", "inferkit.integrations", "inferkit.routing", "inferkit.telemetry", "inferkit.testing"}
ROOT = Path(__file__).parent.parent
OF_THE_LEDGER = re.compile(r"^ *(from inferkit.ledger import (?:[^(\n]+|\([^)]+\)))", re.MULTILINE)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("package", "names"),
    [
        (inferkit, FACE),
        (inferkit.integrations, INTEGRATIONS),
        (inferkit.routing, ROUTING),
        (inferkit.telemetry, TELEMETRY),
        (inferkit.testing, TESTING),
    ],
)
def test_the_public_names_are_these_and_each_can_be_had(package, names):
    assert package.__all__ == names
    for name in names:
        assert getattr(package, name) is not None
    assert set(names) <= set(dir(package))


def test_the_package_knows_its_version():
    assert inferkit.__version__
    assert "__version__" in dir(inferkit)


@pytest.mark.parametrize(
    "package",
    [
        inferkit,
        inferkit.economics,
        inferkit.integrations,
        inferkit.ledger,
        inferkit.local,
        inferkit.routing,
        inferkit.telemetry,
    ],
)
def test_a_type_checker_finds_each_name_where_it_is_loaded_from(package):
    """The imports that only checkers see, the names that are public and the places they are loaded from agree."""
    (block,) = (each for each in ast.parse(inspect.getsource(package)).body if isinstance(each, ast.If))
    seen = {name.name: each.module for each in block.body for name in each.names}
    assert sorted(seen) == sorted(package.__all__)
    for name, module in seen.items():
        assert getattr(package, name) is getattr(import_module(module), name)


def test_the_docs_and_the_examples_use_what_is_public():
    also = Counter()
    for file, code in python_of_the_docs():
        for module, name in imported(code):
            assert hasattr(import_module(module), name), f"{file}: from {module} import {name}"
            if module not in PUBLIC:
                assert name in ALSO_IN_THE_DOCS.get(module, ()), f"{file}: from {module} import {name}"
                also[module, name] += 1
    assert set(also) == {(module, name) for module, names in ALSO_IN_THE_DOCS.items() for name in names}


def python_of_the_docs():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for code in PYTHON.findall(page.read_text(encoding="utf-8")):
            yield page.name, code
    for example in (ROOT / "examples").rglob("*.py"):
        yield example.name, example.read_text(encoding="utf-8")
    store = (ROOT / "src" / "inferkit" / "testing" / "memory.py").read_text(encoding="utf-8")
    yield "memory.py", "\n".join(OF_THE_LEDGER.findall(store))  # the rest of it is the library's own


def imported(code):
    for each in ast.walk(ast.parse(code)):
        if isinstance(each, ast.ImportFrom) and each.module.split(".")[0] == "inferkit":
            yield from ((each.module, name.name) for name in each.names)
        if isinstance(each, ast.Import):
            assert all(name.name == "inferkit" or not name.name.startswith("inferkit.") for name in each.names)


def test_a_class_name_means_one_thing():
    names = Counter(
        each.name
        for file in (ROOT / "src" / "inferkit").rglob("*.py")
        for each in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(each, ast.ClassDef)
    )
    assert not [name for name, times in names.items() if times > 1]


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


def test_only_a_file_needs_what_checks_files():
    loaded = modules_after(
        "from inferkit import Client, Plan\n"
        "from inferkit.economics import Period, Scenario, build_report, play\n"
        "Client(plans=[Plan('free', allowance='unlimited')], default_plan='free', cache=False).close()"
    )
    assert "pydantic" not in loaded


def test_a_first_call_loads_only_what_it_needs():
    loaded = modules_after(
        "from inferkit import Client\n"
        "from inferkit.testing import FakeProvider\n"
        "llm = Client(providers={'f': FakeProvider()}, models={'a': 'f:m'}, ledger=False, cache=False)\n"
        "llm.complete('a', 'hi')"
    )
    assert not loaded & {"rich", "typer", "opentelemetry.sdk.trace", "ctransformers", "huggingface_hub", "trio"}
