"""What the fixtures of pytest set a client up with: every provider that its models name is a fake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from inferkit.pricing.prices import Price

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.client.settings import Settings
    from inferkit.ledger.ledger import Ledger
    from inferkit.testing.fakes import FakeProvider

__all__ = ["faked"]

_MODELS = {"fake": "fake:model"}
_PRICE = Price(input="1", output="2")  # so that budgets of money have something to count


def faked(provider: FakeProvider, ledger: Ledger, *given: Mapping[str, Any]) -> Settings:
    """Give the settings of a client for tests: those `given`, the last of them first, over what keeps it in memory."""
    settings: dict[str, Any] = {"models": _MODELS, "ledger": ledger, "cache": False}
    for each in given:
        settings |= each
    stand = [each for one in settings["models"].values() for each in ([one] if isinstance(one, str) else one)]
    names = {"fake", *(name.partition(":")[0] for name in stand)}
    settings["providers"] = dict.fromkeys(names, provider) | dict(settings.get("providers") or {})
    settings["prices"] = {"fake:*": _PRICE} | dict(settings.get("prices") or {})
    return cast("Settings", settings)
