"""`with attributed(...)` and `identify(...)`: whom the calls of a block of code, or of a request, are for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.budgets.context import current_scopes, join, leave
from inferkit.budgets.keys import key_text
from inferkit.budgets.scope import ForWhom
from inferkit.budgets.threads import carry_into_threads
from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from typing import Self

    from inferkit.budgets.keys import KeyValue

__all__ = ["Attributed", "attributed", "identify"]


def attributed(
    *, user: KeyValue | None = None, tenant: KeyValue | None = None, feature: str | None = None
) -> Attributed:
    """Say of the model calls of a block of code whom they are for, and what for, so that each of them need not.

    ```python
    with attributed(user="ana", tenant="acme", feature="search"):  # or: async with
        run_agent()
    ```

    The tasks and threads that the block starts are attributed too, and what `@budgeted` functions give back. What is
    None is left to whoever says it further outside. The innermost that says it counts: a call's own `user=`, a function
    with a budget for each user, or a block. A `user` or `tenant` is a str, an int, a UUID or a member of an Enum.

    Do not hold a block across a `yield`: what the reader does in between would be attributed too. Raises
    `ConfigurationError` for what is no user, tenant or feature.
    """
    return Attributed(**_texts(user, tenant, feature))


def identify(*, user: KeyValue | None = None, tenant: KeyValue | None = None, feature: str | None = None) -> None:
    """Say whom the rest of a request is for, once that is known: after its session was read, or its token checked.

    It fills in what the innermost `attributed(...)` block around it holds, which inferkit's middleware opens for each
    request: so it holds for the request's other functions, threads, background tasks and streamed body, wherever in the
    request it is called. What is None stays as it is.

    Raises `ConfigurationError` for what is no user, tenant or feature, and where no request or block is around it.
    """
    given = _texts(user, tenant, feature)
    for each in reversed(current_scopes()):
        if isinstance(each, ForWhom):
            for name, text in given.items():
                setattr(each, name, text or getattr(each, name))
            return
    raise ConfigurationError(
        "identify() says whom a request is for, and there is none around this: put inferkit's middleware around the "
        "application (AsgiMiddleware, WsgiMiddleware or DjangoMiddleware of inferkit.integrations), or use `with "
        "attributed(user=...)`"
    )


def _texts(user: KeyValue | None, tenant: KeyValue | None, feature: str | None) -> dict[str, str | None]:
    given = {"user": user, "tenant": tenant, "feature": feature}
    return {name: None if value is None else key_text(value, f"{name}=") for name, value in given.items()}


class Attributed:
    """What `attributed(...)` gives: a context manager, sync and async, that may be entered more than once."""

    __slots__ = ("_given",)

    def __init__(self, user: str | None, tenant: str | None, feature: str | None) -> None:
        self._given = (user, tenant, feature)

    def __repr__(self) -> str:
        return "attributed(user={!r}, tenant={!r}, feature={!r})".format(*self._given)

    def __enter__(self) -> Self:
        carry_into_threads()
        join(ForWhom(*self._given, self))  # one for each request that enters, since `identify` tells it more
        return self

    def __exit__(self, *_: object) -> None:
        for each in reversed(current_scopes()):
            if isinstance(each, ForWhom) and each.block is self:
                leave(each)
                break

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()
