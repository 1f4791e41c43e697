"""Who is asked what: the model's name and the messages, by position or by name, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from inferkit.client.options import read_options
from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferkit.client.catalog import Catalog
    from inferkit.core.messages import Messages

__all__ = ["NOT_GIVEN", "read_question"]


class _NotGiven:
    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN: Any = _NotGiven()  # where None is a mistake: a variable that nobody has set


def read_question(  # noqa: PLR0917 - as they were passed
    catalog: Catalog,
    first: str | Messages,
    second: Messages,
    model: str | None,
    messages: Messages,
    options: Mapping[str, Any],
) -> tuple[str | None, Messages]:
    """Give the model's name, or None for the client's default, and the messages. Raises `ConfigurationError`."""
    if model is not NOT_GIVEN or messages is not NOT_GIVEN:
        return _by_name(first, second, model, messages)
    if second is NOT_GIVEN:
        if type(first) is str and catalog.is_name(first):
            raise ConfigurationError(
                f'there is nothing to ask: "{first}" is the name of a model; pass the messages second: '
                f'complete("{first}", "What is...?"); if it is the question, pass it as messages="{first}"'
            )
        if first is NOT_GIVEN:
            read_options(options)  # says what is wrong with a word that was taken for `messages=`
            raise _nothing_to_ask()
        return None, first
    if second is None:
        raise ConfigurationError('the messages are None; pass them second: complete("fast", "What is...?")')
    if not isinstance(first, str):
        raise ConfigurationError('pass the model first and the messages second: complete("fast", messages)')
    return first, second


def _by_name(
    first: str | Messages, second: Messages, model: str | None, messages: Messages
) -> tuple[str | None, Messages]:
    """Put together what was passed by name, and by position what was not. No model is the client's default."""
    both = model is not NOT_GIVEN and messages is not NOT_GIVEN
    if second is not NOT_GIVEN or (both and first is not NOT_GIVEN):
        raise ConfigurationError("the model or the messages are passed twice, by position and by name; pass each once")
    if messages is NOT_GIVEN:
        messages = first
    elif model is NOT_GIVEN:
        model = None if first is NOT_GIVEN else cast("str", first)
    if messages is NOT_GIVEN:
        raise _nothing_to_ask()
    if messages is None:
        raise ConfigurationError('the messages are None; pass them: complete("fast", messages="What is...?")')
    if not isinstance(model, str | None):
        raise ConfigurationError('the model is a name: complete(model="fast", messages="What is...?")')
    return model, messages


def _nothing_to_ask() -> ConfigurationError:
    return ConfigurationError('there is nothing to ask; pass the messages: complete("fast", "What is...?")')
