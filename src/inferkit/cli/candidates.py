"""What stands behind the names that are configured: where it is, whether its key is there, what it costs and can do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from inferkit.client.shared import engine_of
from inferkit.core.errors import InferkitError
from inferkit.providers.adapter import Adapter

if TYPE_CHECKING:
    from inferkit.client.client import Client
    from inferkit.client.inventory import ModelInfo
    from inferkit.local.gguf.model_file import ModelFile
    from inferkit.pricing.prices import Price

__all__ = ["ConfiguredModel", "Key", "candidates"]

Key = Literal["there", "missing", "not needed", "elsewhere"]
_CAN = ("tools", "images", "files", "audio", "schema", "reasoning", "logprobs", "grammar")


@dataclass(frozen=True)
class ConfiguredModel:
    """A model that is configured, under the names that stand for it.

    `address` is its server's, without what may be secret of it; None for what runs here. `key_variable` holds its key,
    of which nothing is known here but whether it is there; "elsewhere" are those of clouds, which are found by their
    own libraries. `problem` says why it cannot be called, and what to do.
    """

    name: str
    names: list[str] = field(default_factory=list)
    address: str | None = None
    key: Key = "not needed"
    key_variable: str | None = None
    price: Price | None = None
    can: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether it runs on this machine, in a worker of inferkit's own."""
        return self.name.partition(":")[0] == "local"


def candidates(llm: Client) -> list[ConfiguredModel]:
    """Give each model once, in the order in which names list them."""
    found: dict[str, ConfiguredModel] = {}
    for name, models in llm.models.items():
        for info in models:
            if info.name not in found:
                found[info.name] = _candidate(llm, info)
            found[info.name].names.append(name)
    return list(found.values())


def _candidate(llm: Client, info: ModelInfo) -> ConfiguredModel:
    if info.problem is not None:
        return ConfiguredModel(info.name, problem=info.problem)
    try:
        target = engine_of(llm).catalog.target(info.name)
    except InferkitError as error:
        return ConfiguredModel(info.name, problem=str(error))
    adapter: Any = target.adapter
    given = getattr(adapter, "capabilities", None)
    can = tuple([each for each in _CAN if getattr(given, each, False)])
    if "embed" in getattr(adapter, "operations", ()):
        can = (*can, "embeddings")
    if hasattr(adapter, "describe"):
        can = tuple([each for each in can if each not in _not_of_this_file(adapter.describe())])
    if not isinstance(adapter, Adapter):
        return ConfiguredModel(info.name, price=target.price, can=can)
    key, problem = _key(adapter)
    return ConfiguredModel(
        info.name,
        address=adapter.endpoint.base_url,
        key=key,
        key_variable=adapter.endpoint.credential.env,
        price=target.price,
        can=can,
        problem=problem,
    )


def _not_of_this_file(model: ModelFile) -> set[str]:
    """Give what local models can and this one cannot, as its file and its engine say it."""
    from inferkit.local.inspection import inspect_file

    template = inspect_file(model.path, model.engine).template
    lacks = set() if template is not None and template.tools else {"tools"}
    return lacks | (set() if model.engine == "xllamacpp" else {"embeddings"})


def _key(adapter: Adapter) -> tuple[Key, str | None]:
    credential = adapter.endpoint.credential
    try:
        there = credential.read() is not None
    except InferkitError as error:
        return "missing", str(error)
    if there:
        return "there", None
    if hasattr(adapter, "account"):
        return "elsewhere", None
    if credential.env is None or not credential.needed or credential.header in adapter.endpoint.headers:
        return "not needed", None
    return "missing", f"it needs a key: set the environment variable {credential.env.replace('|', ' or ')}"
