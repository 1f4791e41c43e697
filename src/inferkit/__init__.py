"""Budgets, caching, routing, fallback and traces around every model call, inside your own process.

Everything public is here. Names are loaded when they are first used, so that `import inferkit` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit._lazy import lazily

if TYPE_CHECKING:
    from inferkit._catalog import Catalog, Target
    from inferkit._client import AsyncClient, Client
    from inferkit._engine import default_stack
    from inferkit._errors import (
        AuthenticationFailed,
        BudgetExceeded,
        ConfigurationError,
        ContentFiltered,
        DeadlineExceeded,
        InferkitError,
        InvalidRequest,
        LedgerError,
        ModelFileError,
        NoRoute,
        ProviderError,
        RateLimited,
        StreamError,
        StreamInterrupted,
        Unavailable,
        UnpricedModel,
    )
    from inferkit._record import Attempt, CallRecord
    from inferkit._reply import Reply
    from inferkit._response import End, Response
    from inferkit._runtime import Runtime
    from inferkit._stack import StackOrderWarning, compose
    from inferkit._streams import AsyncStream, Stream
    from inferkit._types import (
        Chunk,
        Handler,
        ImagePart,
        Key,
        Layer,
        Message,
        Part,
        ReasoningPart,
        Request,
        TextPart,
        Tool,
        ToolCallDelta,
        ToolCallPart,
        ToolResultPart,
        Usage,
    )
    from inferkit.budgets.block import BudgetBlock, budget
    from inferkit.budgets.budget import Budget, Remaining, Spent, Threshold
    from inferkit.budgets.decorator import budgeted
    from inferkit.budgets.plan import Plan
    from inferkit.budgets.plans import Plans, Standing
    from inferkit.budgets.prices import Price
    from inferkit.budgets.sqlite import SqliteLedger
    from inferkit.layers.cache import Cache
    from inferkit.layers.retry import Retry
    from inferkit.local import Local
    from inferkit.providers.openai_chat import OpenAIChat

_load = lazily(
    "inferkit",
    {
        "_catalog": ("Catalog", "Target"),
        "_client": ("AsyncClient", "Client"),
        "_engine": ("default_stack",),
        "_errors": (
            "AuthenticationFailed",
            "BudgetExceeded",
            "ConfigurationError",
            "ContentFiltered",
            "DeadlineExceeded",
            "InferkitError",
            "InvalidRequest",
            "LedgerError",
            "ModelFileError",
            "NoRoute",
            "ProviderError",
            "RateLimited",
            "StreamError",
            "StreamInterrupted",
            "Unavailable",
            "UnpricedModel",
        ),
        "_record": ("Attempt", "CallRecord"),
        "_reply": ("Reply",),
        "_response": ("End", "Response"),
        "_runtime": ("Runtime",),
        "_stack": ("StackOrderWarning", "compose"),
        "_streams": ("AsyncStream", "Stream"),
        "_types": (
            "Chunk",
            "Handler",
            "ImagePart",
            "Key",
            "Layer",
            "Message",
            "Part",
            "ReasoningPart",
            "Request",
            "TextPart",
            "Tool",
            "ToolCallDelta",
            "ToolCallPart",
            "ToolResultPart",
            "Usage",
        ),
        "budgets.block": ("BudgetBlock", "budget"),
        "budgets.budget": ("Budget", "Remaining", "Spent", "Threshold"),
        "budgets.decorator": ("budgeted",),
        "budgets.plan": ("Plan",),
        "budgets.plans": ("Plans", "Standing"),
        "budgets.prices": ("Price",),
        "budgets.sqlite": ("SqliteLedger",),
        "layers.cache": ("Cache",),
        "layers.retry": ("Retry",),
        "local": ("Local",),
        "providers.openai_chat": ("OpenAIChat",),
    },
)

__all__ = [
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
    "Standing",
    "Stream",
    "StreamError",
    "StreamInterrupted",
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


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("inferkit")
    return _load(name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
