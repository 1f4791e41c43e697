"""Who is asked for a name: the models behind it, the policies over them, and how they stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from inferkit.core.errors import ConfigurationError, NoRoute
from inferkit.resilience.health import ModelHealth
from inferkit.routing.combining import Routes
from inferkit.routing.told_speed import is_told
from inferkit.runtime import clock, imports
from inferkit.runtime.direct import drive

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from inferkit.client.catalog import Catalog
    from inferkit.core.request import Layer, Request
    from inferkit.layers.limit import LimitLayer
    from inferkit.resilience.failover import Failover
    from inferkit.resilience.health import Health
    from inferkit.routing.explanation import Explanation

__all__ = ["Steering"]


class Steering:
    """The models and policies of a client, which may change while it is used.

    `limits` are the names that limits are stated for. Raises `ConfigurationError` for policies that make no sense, and
    for names that nothing stands behind.
    """

    def __init__(
        self,
        catalog: Catalog,
        routes: Any,
        failover: Failover | Mapping[str, Failover] | None = None,
        limits: Iterable[str] = (),
    ) -> None:
        self._catalog = catalog
        self._health: Health | None = None
        self._limits: LimitLayer | None = None
        self._standing: Callable[[Request], Coroutine[Any, Any, Request]] | None = None
        self.routes = Routes(routes)
        self.failover = failover
        self._check(self.routes.names)
        self._check(failover if isinstance(failover, Mapping) else (), "failover=")
        self._check(limits, "limits=", "limit")

    def find_knowledge(self, layers: Iterable[Layer]) -> None:
        """Take what the layers of a stack know: of models that fail, of their limits, and of customers."""
        for layer in layers:
            self._health = self._health or getattr(layer, "health", None)
            self._standing = self._standing or getattr(layer, "standing", None)
            if hasattr(layer, "limits_of"):
                self._limits = cast("LimitLayer", layer)

    def reroute(self, models: Mapping[str, str | Sequence[str]] | None, routes: Any) -> None:
        """Take other models and policies. Raises as they do at first, and changes nothing then."""
        given, before = Routes(routes), self._catalog.aliases
        if models is not None:
            self._catalog.become(models)
        try:
            self._check(self.routes.names if routes is None else given.names)
        except ConfigurationError:
            self._catalog.become(before)
            raise
        if routes is not None:
            self.routes.become(routes)

    def explain(self, request: Request) -> Explanation:
        """Say whom a request would be sent to, and why. Raises `NoRoute` for a name that nothing stands behind.

        Where the policy goes by how budgets and customers stand, the ledger is asked: it raises `LedgerError`.
        """
        with imports.lock:
            from inferkit.routing.explanation import explain

        self._catalog.refuse_text(request.model)
        candidates = self._catalog.resolve(request.model)
        stands = self._stand([target.name for target in candidates])
        request = request.replace(candidates=candidates)
        if self._standing is not None and self.routes.needs(request.model):
            request = drive(self._standing(request))
        return explain(request, self.routes, stands)

    def health(self) -> dict[str, ModelHealth]:
        """Say how each model stands that is listed, or that lately failed. Empty in a stack without retries."""
        if self._health is None:
            return {}
        listed = [target for name in self._catalog.names_known for target in self._catalog.names(name)]
        names = [self._catalog.name_of(provider, model) for provider, model in listed]
        limited = [] if self._limits is None else self._limits.names
        return self._stand([*names, *self._health.troubled, *limited])

    def _stand(self, names: Iterable[str]) -> dict[str, ModelHealth]:
        health, now = self._health, clock.now()
        stand = {name: ModelHealth(name) if health is None else health.of(name, now) for name in names}
        if self._limits is not None:
            stand = {name: _limited(one, self._limits.limits_of(name)) for name, one in stand.items()}
        return {
            name: replace(one, told=(*one.told, "speed")) if is_told(self.routes, name) else one
            for name, one in stand.items()
        }

    def _check(self, names: Iterable[str], where: str = "routes=", what: str = "policy") -> None:
        for name in names:
            try:
                self._catalog.names(name)
            except NoRoute as error:
                raise ConfigurationError(f'{where} has a {what} for "{name}", but {error}') from error


def _limited(one: ModelHealth, facts: dict[str, Any]) -> ModelHealth:
    """Add how a model stands with its limits."""
    return replace(one, **{**facts, "told": (*one.told, *facts.get("told", ()))})
