"""What the recipes have in common: which model answers, what it costs, and who may ask how much.

Without any of these variables the embedded model answers, which needs no key:
`SHOP_MODEL="openai:gpt-5-mini"` (and its key) names another, and `SHOP_SERVER="http://localhost:8000/v1"` a server of
your own that speaks Chat Completions. `SHOP_CALLS_A_DAY` is what each customer may ask.
"""

import os
from typing import Any

from inferkit import Budget, OpenAIChat, Price

SERVER = os.environ.get("SHOP_SERVER")
MODEL = os.environ.get("SHOP_MODEL", "shop:large" if SERVER else "local")

SETTINGS: dict[str, Any] = {
    "models": {"answer": MODEL},
    "providers": {"shop": OpenAIChat(base_url=SERVER, name="shop")} if SERVER else {},
    "prices": {"shop:*": Price(input="0.25", output="2.00"), "local:*": Price(input="0.05", output="0.20")},
    "cache": False,  # so that each question is a call, which is what the recipes show
}

CUSTOMER = Budget(
    calls=int(os.environ.get("SHOP_CALLS_A_DAY", "20")),
    usd="0.10",
    per="day",
    name="customer",
    each="user",
)
