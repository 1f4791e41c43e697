"""What stands behind the names of a client, and whether it can be called at all: asked for before the first call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.client.catalog import Catalog

__all__ = ["ModelInfo", "inventory"]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One candidate of a client. `problem` says why it cannot be called and what to do; None where nothing is known.

    Of a local model the file's header tells the rest: the `engine` that runs it, its `architecture`, `tokeniser`,
    `quantisation`, and `context_length` in tokens. No provider is asked anything.
    """

    name: str
    provider: str
    model: str
    engine: str | None = None
    architecture: str | None = None
    tokeniser: str | None = None
    quantisation: str | None = None
    context_length: int | None = None
    problem: str | None = None


def inventory(catalog: Catalog) -> Mapping[str, tuple[ModelInfo, ...]]:
    """Give the candidates of every name, best first."""
    return {name: tuple(_info(catalog, *parts) for parts in catalog.names(name)) for name in catalog.names_known}


def _info(catalog: Catalog, provider: str, model: str) -> ModelInfo:
    name = f"{provider}:{model}" if model else provider
    try:
        target = catalog.target(name)
        describe = getattr(target.adapter, "describe", None)
        if describe is None:
            return ModelInfo(name, provider, model)
        facts = describe()
    except ConfigurationError as error:
        return ModelInfo(name, provider, model, problem=str(error))
    return ModelInfo(
        name,
        provider,
        target.model,
        facts.engine,
        facts.architecture,
        facts.tokeniser,
        facts.quantisation,
        facts.context_length,
    )
