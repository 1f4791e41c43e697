"""Every error inferkit raises, as one tree.

```
InferkitError               .request_id .attempts .run .embedded
├ BudgetExceeded            .scope .limit .spent .resets_at .partial
├ DeadlineExceeded          (also a TimeoutError) .partial
├ NoRoute
├ ConfigurationError        (also a ValueError)
│ ├ ConfigurationFileError  .file .line .column
│ ├ LocalModelError         the next candidate is asked
│ │ └ ModelFileError
│ └ UnpricedModel
├ LedgerError
├ CacheError                  where somebody clears it or looks into it; no call fails for a cache
├ InvalidReply              .problems .detail .finish_reason .partial
├ ToolRoundsExceeded
└ ProviderError             .provider .status .code .retryable .retry_after
  ├ RateLimited  ├ AuthenticationFailed  ├ InvalidRequest  ├ ContentFiltered  ├ Overloaded
  ├ Unavailable
  │ └ CircuitOpen
  └ StreamInterrupted       .partial
StreamError(RuntimeError)   misuse of a stream: read twice, read after closing
```

Messages never carry a prompt, a reply or a secret. A partial reply is an attribute, not part of the message.
It is longer than other modules, since a tree is read as a whole.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal

    from inferkit.core.attempt import Attempt
    from inferkit.core.usage import Usage

__all__ = [
    "AuthenticationFailed",
    "BudgetExceeded",
    "CacheError",
    "CircuitOpen",
    "ConfigurationError",
    "ConfigurationFileError",
    "ContentFiltered",
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
    "is_never_written",
    "mark_never_written",
]


_NEVER_WRITTEN = "_never_written"


def mark_never_written(error: BaseException) -> None:
    """Note on an error, of whatever type, that it came before any of the request's body was written to the server."""
    setattr(error, _NEVER_WRITTEN, True)


def is_never_written(error: BaseException) -> bool:
    """Whether it is known that no server has read what was asked."""
    return getattr(error, _NEVER_WRITTEN, False)


class InferkitError(Exception):
    """Base of everything that can go wrong with a call.

    `request_id` is the call's id in ledger and traces; `attempts` lists what was tried before it failed. `run` is what
    `run_tools` had done when it came, a `ToolRun`, and None elsewhere: pass its `messages`, and it goes on there. Of a
    call of `embed` that failed in the middle, `embedded` has the vectors that had come, by the places of their texts.
    """

    request_id: str | None = None
    attempts: tuple[Attempt, ...] = ()
    run: Any = None
    embedded: Mapping[int, Any] = MappingProxyType({})

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive copying between processes: subclasses take keyword arguments, which plain pickling loses."""
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[InferkitError], args: tuple[Any, ...], state: dict[str, Any]) -> InferkitError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class BudgetExceeded(InferkitError):
    """A budget does not cover the call. Nothing was sent, or the stream was cut at the cap.

    `scope` names the budget (for example `free-tier:alice`), `unit` what it counts (`usd`, `tokens` or `calls`),
    `limit` and `spent` are in that unit (`spent` includes what running calls hold), `resets_at` is when the budget has
    room again by itself (None: never, or not known), and `partial` is the text received before a running stream was
    cut.
    """

    others_may_do = False  # only this candidate is not covered: the retry layer asks the others
    was_cut = False  # in the middle of a stream: what was spent is known when that is settled

    def __init__(
        self,
        message: str,
        *,
        scope: str,
        limit: Decimal,
        spent: Decimal,
        unit: str = "usd",
        partial: str = "",
        resets_at: datetime | None = None,
    ) -> None:
        super().__init__(message)
        self.scope = scope
        self.resets_at = resets_at
        self.limit = limit
        self.spent = spent
        self.unit = unit
        self.partial = partial


class DeadlineExceeded(InferkitError, TimeoutError):
    """The call's own time limit passed. `partial` is the text received until then."""

    def __init__(
        self,
        message: str = "the call did not end within its timeout; pass a longer timeout= or fewer tokens",
        *,
        partial: str = "",
    ) -> None:
        super().__init__(message)
        self.partial = partial


class NoRoute(InferkitError):
    """No model stands behind the name that was asked for."""


class ConfigurationError(InferkitError, ValueError):
    """Something was set up wrongly; the message says what to change."""


class ConfigurationFileError(ConfigurationError):
    """A configuration file says something wrong; each line of the message names a place in it, and what to change.

    `file` is its path, `line` and `column` are those of the first thing that is wrong, both counted from 1.
    """

    def __init__(self, message: str, *, file: str, line: int, column: int) -> None:
        super().__init__(message)
        self.file = file
        self.line = line
        self.column = column


class LocalModelError(ConfigurationError):
    """A local model cannot run here: for its file, or for what this machine lacks. The next candidate is asked."""


class ModelFileError(LocalModelError):
    """A local model file is missing, damaged, or of a kind that the engine cannot run."""


class UnpricedModel(ConfigurationError):
    """A model has no known price, and the budget was told to block such calls."""


class LedgerError(InferkitError):
    """The ledger cannot be read or written. Calls with a budget are blocked until it can."""


class CacheError(InferkitError):
    """The cache cannot be cleared or looked into. No call fails for its cache."""


class InvalidReply(InferkitError):
    """The reply is no valid object of the kind that `schema=` asked for.

    `problems` are pairs of a field's path and a code for what is wrong with it. `partial` is the reply's text, and
    `detail` says in full what is wrong; they quote the reply, and so are never part of this error's text.
    `finish_reason` is the reply's.
    """

    def __init__(
        self,
        message: str,
        *,
        partial: str = "",
        detail: str | None = None,
        problems: tuple[tuple[str, str], ...] = (),
        finish_reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.partial = partial
        self.detail = detail
        self.problems = problems
        self.finish_reason = finish_reason


class ToolRoundsExceeded(InferkitError):
    """The model asks for functions again and again. Its last reply stands in `run`, and its calls were not run."""


class ProviderError(InferkitError):
    """A provider answered with an error, or did not answer properly.

    `provider` is the name that it is registered under, `status` the HTTP status where there was one, `code` the
    provider's own error code, `retryable` says whether the same request may succeed later, and `retry_after` is the
    wait the provider asked for, in seconds. `detail` is the provider's own message; it may quote the prompt, so it is
    never part of this error's text. `usage` is what the provider says that it took all the same, where it said so.
    `quota_headers` are the headers of its answer, in lower case, that speak of its limits.
    """

    retryable = False
    usage: Usage | None = None
    quota_headers: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        status: int | None = None,
        code: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        detail: str | None = None,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.detail = detail
        if retryable is not None:
            self.retryable = retryable


class RateLimited(ProviderError):
    """The provider asks to slow down (HTTP 429)."""

    retryable = True


class Unavailable(ProviderError):
    """The provider could not be reached, is overloaded, or failed inside."""

    retryable = True


class CircuitOpen(Unavailable):
    """The model has been failing and is left alone for a while (`retry_after`, in seconds): nothing was sent."""


class Overloaded(ProviderError):
    """More calls want to a model than the application's own limits let through: nothing was sent."""


class AuthenticationFailed(ProviderError):
    """The provider did not accept the credentials (HTTP 401 or 403)."""


class InvalidRequest(ProviderError):
    """The provider cannot serve this request as it stands (HTTP 400, 404, 413, 422)."""


class ContextOverflow(InvalidRequest):
    """The prompt, or prompt and reply together, do not fit into the model's context; a model with a longer one may do.

    `prompt_tokens` is the prompt's length and `context_length` what the context holds, where that was said.
    """

    def __init__(
        self, message: str, *, prompt_tokens: int | None = None, context_length: int | None = None, **details: Any
    ) -> None:
        super().__init__(message, **details)
        self.prompt_tokens = prompt_tokens
        self.context_length = context_length


class ContentFiltered(ProviderError):
    """The provider refused the request because of its content."""


class StreamInterrupted(ProviderError):
    """The stream broke after its first chunk. `partial` is the text received until then."""

    def __init__(self, message: str, *, provider: str, partial: str = "", **details: Any) -> None:
        super().__init__(message, provider=provider, **details)
        self.partial = partial


class StreamError(RuntimeError):
    """A stream was used wrongly: read a second time, or read after it was closed."""
