"""What stands behind a model's name: aliases, providers and their adapters."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ConfigurationError, LocalModelError, NoRoute
from inferkit.core.misspelt import near
from inferkit.core.request import Target
from inferkit.runtime import imports
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from inferkit.core.request import Handler, Request
    from inferkit.core.response import Response
    from inferkit.pricing.price_book import PriceBook
    from inferkit.providers.http.settings import Http, Library
    from inferkit.providers.http.transport import Transport

__all__ = ["Catalog"]


class Catalog:
    """Resolves the names that callers use into the models that serve them.

    `models` maps an alias to one target or to a list in order of preference; `aliases` has them. A target is
    `"provider:model"`, or `"local"` for the embedded model, or `"local:path/to/file.gguf"`. `providers` adds adapters
    under names of your own. Adapters of known providers are made when they are first needed, and what `prices` knows of
    a model is looked up once; `transport` is how their requests travel. `meets` is told of each target when its name is
    resolved for the first time, before a call asks it.
    """

    def __init__(
        self,
        models: Mapping[str, str | Sequence[str]] | None = None,
        providers: Mapping[str, Handler] | None = None,
        *,
        default: str | None = None,
        prices: PriceBook | None = None,
        transport: Library | Http | Transport | None = None,
    ) -> None:
        self.aliases: Mapping[str, tuple[str, ...]] = {}
        self._providers: dict[str, Handler] = dict(providers or {})
        self._prices = prices
        self.transport = transport
        self._made: dict[str, Handler] = {}
        self._left: list[Any] = []
        self._resolved: dict[str, tuple[Target, ...]] = {}
        self._default = default
        self.meets: Callable[[Target], object] | None = None
        self.renew()
        renew_after_fork(self)
        self.become(models or {})

    def become(self, models: Mapping[str, str | Sequence[str]]) -> None:
        """Have other aliases, for all calls from now on.

        Raises `NoRoute` for one that stands for what nobody knows, and changes nothing then.
        """
        given = {alias: _names(alias, targets) for alias, targets in models.items()}
        default = self._default or next(iter(given), "local")
        with self._lock:
            before, self.aliases = self.aliases, given
            try:
                for name in {name for names in given.values() for name in names}:
                    self._check(name)
                if default not in given:
                    self._check(default)
            except NoRoute:
                self.aliases = before
                raise
            self.default = default
            self._resolved = {}
        self.introduce()

    def introduce(self) -> None:
        """Tell of the models that are listed, as far as there are adapters for them."""
        if self.meets is not None:
            listed = {one for names in self.aliases.values() for one in names}
            for provider, _, model in (name.partition(":") for name in sorted(listed)):
                if provider in self._providers:
                    self.meets(Target(provider, model, self._providers[provider]))

    def renew(self) -> None:
        """Renew the lock in a forked child, where nobody is making an adapter."""
        self._lock = threading.Lock()

    def resolve(self, name: str) -> tuple[Target, ...]:
        """Give the candidates for an alias or a `provider:model` name, best first.

        Raises `NoRoute` for a name that nothing stands behind, `ConfigurationError` where an adapter cannot be made.
        """
        known = self._resolved.get(name)
        if known is not None:
            return known
        if name not in self.aliases:
            self._check(name)
        with self._lock:
            names = self.aliases.get(name, (name,))
            candidates = tuple(self._target(one, alone=len(names) == 1) for one in names)
            if self.meets is not None:
                for one in candidates:
                    self.meets(one)
            usable = not any(isinstance(one.adapter, _CannotRun) for one in candidates)
            if usable and (name in self.aliases or len(self._resolved) < _REMEMBERED):
                self._resolved[name] = candidates
        return candidates

    @property
    def names_known(self) -> tuple[str, ...]:
        """The names that are given here: all aliases, and the default."""
        return tuple(dict.fromkeys((*self.aliases, self.default)))

    def target(self, name: str) -> Target:
        """Give what stands behind one `provider:model`. Raises `ConfigurationError` where it cannot be made."""
        with self._lock:
            return self._target(name, alone=True)

    def names(self, name: str) -> tuple[tuple[str, str], ...]:
        """Give provider and model of each candidate without making its adapter. Raises `NoRoute`."""
        known = self.aliases.get(name)
        if known is None:
            self._check(name)
            known = (name,)
        return tuple((provider, model) for provider, _, model in (one.partition(":") for one in known))

    def name_of(self, provider: str, model: str) -> str:
        """Give what a target is called: a local model is called by its file, once that is known."""
        if provider == "local" and provider not in self._providers:
            model = getattr(self._made.get(f"local:{model}" if model else provider), "model", model)
        return f"{provider}:{model}" if model else provider

    def adapters_made(self) -> list[Any]:
        """Give the adapters that this catalog made itself, or was left, and therefore closes."""
        return [*self._made.values(), *self._left]

    def take_over(self, adapters: Iterable[Any]) -> None:
        """Have adapters of `providers` closed with those that were made here: nobody else knows of them."""
        self._left += adapters

    def is_name(self, text: str) -> bool:
        """Say whether a text is an alias, or names a model, so that nobody can have meant it for a question."""
        if text in self.aliases or text == "local":
            return True
        provider, colon, model = text.partition(":")
        named = bool(colon and model) and not any(character.isspace() for character in text)
        return named and (provider in self._providers or provider == "local" or provider in _known())

    def refuse_text(self, name: str) -> None:
        """Raise `NoRoute` for what cannot be a model's name: a prompt in its place must not get into traces."""
        provider = name.partition(":")[0]
        if name in self.aliases or provider in self._providers or provider == "local":
            return
        if len(name) > _LONGEST_NAME or any(character.isspace() for character in name):
            raise NoRoute(
                "what was passed as the model's name does not look like one; pass the model first and the messages "
                'second: complete("fast", "What is...?")'
            )

    def _check(self, name: str) -> None:
        provider, _, model = name.partition(":")
        known = provider in self._providers or provider == "local" or provider in _known()
        if not known or (not model and provider != "local" and provider not in self._providers):
            if name in self.aliases:
                raise NoRoute(f'an alias stands for models, and not for another alias: list what "{name}" stands for')
            aliases = ", ".join(self.aliases) or "none"
            known_providers = {*self._providers, *_known(), "local"}
            meant = _meant(name, known_providers, self.aliases)
            providers = ", ".join(sorted(known_providers))
            raise NoRoute(
                f'no model stands behind "{name}"{meant}; the aliases are: {aliases}; otherwise name a model as '
                f'"provider:model", where the providers are: {providers}'
            )

    def _target(self, name: str, *, alone: bool) -> Target:
        """Make the target for a name. A local model that is not there is passed by, unless it is `alone`."""
        provider, _, model = name.partition(":")
        if provider in self._providers:
            return self.priced(provider, model, self._providers[provider])
        made_name = name if provider == "local" else provider
        adapter = self._made.get(made_name)
        if adapter is None:
            try:
                adapter = self._made[made_name] = _make(provider, model, self.transport)
            except LocalModelError as error:
                if alone:
                    raise
                return Target(provider, model, _CannotRun(error))  # made anew each time: it may be there by then
        if provider == "local":
            model = getattr(adapter, "model", model)
        return self.priced(provider, model, adapter)

    def priced(self, provider: str, model: str, adapter: Handler) -> Target:
        """Make the target for a model of an adapter, with what is known of its price."""
        prices = self._prices
        if prices is None:
            return Target(provider, model, adapter)
        region = getattr(adapter, "price_region", None)
        if region is not None:
            prices.serve_from(provider, region)
        return Target(provider, model, adapter, prices.find(provider, model))


class _CannotRun:
    """Stands for a local model that is not there: a call that comes to it is told why, and goes to the next one."""

    def __init__(self, error: LocalModelError) -> None:
        self._error = error

    async def __call__(self, _: Request) -> Response:
        raise self._error


_LONGEST_NAME = 200
_REMEMBERED = 1024  # names that are not aliases come from callers, perhaps from their users: remember some, not all


def _names(alias: str, targets: str | Sequence[str]) -> tuple[str, ...]:
    names = (targets,) if isinstance(targets, str) else tuple(targets) if isinstance(targets, Sequence) else ()
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigurationError(
            f'the alias "{alias}" needs at least one target, for example {{"{alias}": ["openai:gpt-5-mini", "local"]}}'
        )
    return names


def _known() -> Collection[str]:
    from inferkit.providers.by_name import NAMES

    return NAMES


def _make(provider: str, model: str, transport: Library | Http | Transport | None) -> Handler:
    if provider == "local":
        with imports.lock:
            from inferkit.local import Local

        return Local(model or None)
    from inferkit.providers.by_name import make

    return make(provider, transport)


def _meant(name: str, providers: Collection[str], aliases: Iterable[str]) -> str:
    """Say what a name that nobody knows may stand for; nothing where it is like none."""
    provider = name.partition(":")[0]
    maker, _, model = name.partition("/")
    if provider in providers:
        return f' (name one of its models, as "{provider}:MODEL")'
    if model and maker in providers:  # as other libraries write it
        return f" (did you mean {maker}:{model}?)"
    return near({provider}, {*providers, *aliases})
