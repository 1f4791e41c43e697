"""What a caller may ask for with one call for embeddings."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypedDict

from inferkit.client import checks
from inferkit.client.declarations import Declared, declared_in, reader
from inferkit.client.every_call import PROVIDER, EveryCallOptions
from inferkit.client.options import OPTIONS
from inferkit.core.errors import ConfigurationError
from inferkit.core.misspelt import near

__all__ = ["EMBED_OPTIONS", "EmbedOptions", "read_embed_options"]


class _VectorOptions(TypedDict, total=False):
    """What is asked of vectors."""

    dimensions: Annotated[
        int,
        Declared(
            checks.whole(1),
            "a whole number from 1",
            "How many numbers a vector has, where the model can give fewer than it usually does.",
            otherwise="the model's own",
            convert=int,
        ),
    ]
    task: Annotated[
        str,
        Declared(
            checks.is_text,
            'a text, for example "query", "document" or "clustering"',
            "What the vectors are for, on servers that can be told it.",
            otherwise=PROVIDER,
        ),
    ]
    concurrency: Annotated[
        int,
        Declared(
            checks.whole(1),
            "a whole number from 1",
            "How many requests are under way at once where the texts do not fit into one.",
            default=4,
            convert=int,
        ),
    ]


class EmbedOptions(_VectorOptions, EveryCallOptions, total=False):
    """The keyword arguments of `embed`. `concurrency` is read at the door; the others are as those of `complete`."""


EMBED_OPTIONS = declared_in(EmbedOptions)


def _unknown_to_embed(names: set[str]) -> ConfigurationError:
    unknown = ", ".join(sorted(names))
    if names & OPTIONS.keys():
        return ConfigurationError(f"{unknown} is for replies; an embedding has none")
    return ConfigurationError(
        f"unknown option {unknown}{near(names, EMBED_OPTIONS)}; provider-specific parameters go into extra={{...}}"
    )


read_embed_options: Callable[[Mapping[str, Any]], dict[str, Any]] = reader(EMBED_OPTIONS, _unknown_to_embed)
"""Give what a caller asks for, checked and converted. Raises `ConfigurationError` for what makes no sense."""
