"""Budgets, caching, routing, fallback and traces around every model call, inside your own process.

Everything public is here. Names are loaded when they are first used, so that `import inferkit` stays light.
It is longer than other modules, since it says every public name twice: for type checkers, and for who looks one up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit._lazy import lazily

if TYPE_CHECKING:
    from inferkit.budgets.attributed import Attributed, attributed, identify
    from inferkit.budgets.block import BudgetBlock, budget
    from inferkit.budgets.budget import Budget, Remaining, Spent, Threshold
    from inferkit.budgets.decorator import budgeted
    from inferkit.client.async_client import AsyncClient
    from inferkit.client.catalog import Catalog
    from inferkit.client.client import Client
    from inferkit.client.inventory import ModelInfo
    from inferkit.client.stack import default_stack
    from inferkit.client.streams import AsyncStream, Stream
    from inferkit.client.tool_streams import AsyncToolStream, ToolStream
    from inferkit.core.attempt import Attempt
    from inferkit.core.body import End
    from inferkit.core.chunks import Chunk, ToolCallDelta
    from inferkit.core.embeddings import Embeddings
    from inferkit.core.errors import (
        AuthenticationFailed,
        BudgetExceeded,
        CacheError,
        CircuitOpen,
        ConfigurationError,
        ConfigurationFileError,
        ContentFiltered,
        ContextOverflow,
        DeadlineExceeded,
        InferkitError,
        InvalidReply,
        InvalidRequest,
        LedgerError,
        LocalModelError,
        ModelFileError,
        NoRoute,
        Overloaded,
        ProviderError,
        RateLimited,
        StreamError,
        StreamInterrupted,
        ToolRoundsExceeded,
        Unavailable,
        UnpricedModel,
    )
    from inferkit.core.messages import (
        AudioPart,
        CustomTool,
        FilePart,
        ImagePart,
        Message,
        OpaquePart,
        Part,
        ReasoningPart,
        RefusalPart,
        TextPart,
        Tool,
        ToolCallPart,
        ToolResultPart,
    )
    from inferkit.core.record import CallRecord
    from inferkit.core.reply import Reply
    from inferkit.core.request import Handler, Key, Layer, Request, Target
    from inferkit.core.response import Response
    from inferkit.core.stack import Insert, StackOrderWarning, compose
    from inferkit.core.tool_run import ToolEnded, ToolEvent, ToolRound, ToolRun, ToolStarted
    from inferkit.core.usage import Usage
    from inferkit.layers.cache import Cache
    from inferkit.layers.hedge import Hedge
    from inferkit.layers.retry import Retry
    from inferkit.ledger.ledger import Ledger
    from inferkit.ledger.sqlite.ledger import SqliteLedger
    from inferkit.local import Local
    from inferkit.plans.plan import Plan
    from inferkit.plans.subscriptions import Plans, Subscription
    from inferkit.pricing.local_cost import LocalCost
    from inferkit.pricing.prices import Price
    from inferkit.providers.anthropic import Anthropic
    from inferkit.providers.gemini import Gemini
    from inferkit.providers.http.settings import Http
    from inferkit.providers.http.transport import Timeouts
    from inferkit.providers.openai_chat import OpenAIChat
    from inferkit.providers.openai_responses import OpenAIResponses
    from inferkit.resilience.breaker import BreakerRules
    from inferkit.resilience.failover import Failover
    from inferkit.resilience.health import Health, ModelHealth
    from inferkit.resilience.limiter import RateLimit
    from inferkit.resilience.retry_budget import RetryRules
    from inferkit.runtime.protocol import Runtime

_load = lazily(
    "inferkit",
    {
        "client.catalog": ("Catalog",),
        "client.async_client": ("AsyncClient",),
        "client.client": ("Client",),
        "client.inventory": ("ModelInfo",),
        "client.stack": ("default_stack",),
        "core.errors": (
            "AuthenticationFailed",
            "BudgetExceeded",
            "CacheError",
            "CircuitOpen",
            "ConfigurationError",
            "ConfigurationFileError",
            "ContentFiltered",
            "ContextOverflow",
            "DeadlineExceeded",
            "InferkitError",
            "InvalidReply",
            "InvalidRequest",
            "LedgerError",
            "LocalModelError",
            "ModelFileError",
            "NoRoute",
            "Overloaded",
            "ProviderError",
            "RateLimited",
            "StreamError",
            "StreamInterrupted",
            "ToolRoundsExceeded",
            "Unavailable",
            "UnpricedModel",
        ),
        "core.attempt": ("Attempt",),
        "core.record": ("CallRecord",),
        "core.reply": ("Reply",),
        "core.body": ("End",),
        "core.response": ("Response",),
        "runtime.protocol": ("Runtime",),
        "core.tool_run": ("ToolEnded", "ToolEvent", "ToolRound", "ToolRun", "ToolStarted"),
        "core.stack": ("Insert", "StackOrderWarning", "compose"),
        "client.streams": ("AsyncStream", "Stream"),
        "client.tool_streams": ("AsyncToolStream", "ToolStream"),
        "core.chunks": ("Chunk", "ToolCallDelta"),
        "core.embeddings": ("Embeddings",),
        "core.usage": ("Usage",),
        "core.messages": (
            "AudioPart",
            "CustomTool",
            "FilePart",
            "ImagePart",
            "Message",
            "OpaquePart",
            "Part",
            "ReasoningPart",
            "RefusalPart",
            "TextPart",
            "Tool",
            "ToolCallPart",
            "ToolResultPart",
        ),
        "core.request": ("Handler", "Key", "Layer", "Request", "Target"),
        "budgets.attributed": ("Attributed", "attributed", "identify"),
        "budgets.block": ("BudgetBlock", "budget"),
        "budgets.budget": ("Budget", "Remaining", "Spent", "Threshold"),
        "budgets.decorator": ("budgeted",),
        "plans.plan": ("Plan",),
        "plans.subscriptions": ("Plans", "Subscription"),
        "pricing.local_cost": ("LocalCost",),
        "pricing.prices": ("Price",),
        "ledger.ledger": ("Ledger",),
        "ledger.sqlite.ledger": ("SqliteLedger",),
        "layers.cache": ("Cache",),
        "layers.hedge": ("Hedge",),
        "layers.retry": ("Retry",),
        "local": ("Local",),
        "resilience.breaker": ("BreakerRules",),
        "resilience.failover": ("Failover",),
        "resilience.health": ("Health", "ModelHealth"),
        "resilience.limiter": ("RateLimit",),
        "resilience.retry_budget": ("RetryRules",),
        "providers.http.settings": ("Http",),
        "providers.http.transport": ("Timeouts",),
        "providers.anthropic": ("Anthropic",),
        "providers.gemini": ("Gemini",),
        "providers.openai_chat": ("OpenAIChat",),
        "providers.openai_responses": ("OpenAIResponses",),
    },
)

__all__ = [
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


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("inferkit")
    return _load(name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
