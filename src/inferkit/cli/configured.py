"""What commands work on where no option says so: as applications do that are set up by `from_config()`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.cli.root_options import ROOT
from inferkit.client.configuration.configuration import Configuration, read_configuration
from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from typing import Unpack

    from inferkit.client.client import Client
    from inferkit.client.settings import Settings

__all__ = ["configuration", "configured_cache", "configured_client", "configured_ledger", "existing_ledger"]


def configuration() -> Configuration:
    """Read what is set up here, or in the file that `inferkit --config` names. Raises `ConfigurationError`."""
    return read_configuration(ROOT.config)


def configured_client(**settings: Unpack[Settings]) -> Client:
    """Make the client that is configured; `settings` go before that. It touches no disk before it is asked.

    Raises `ConfigurationError`.
    """
    from inferkit.client.client import Client

    return Client.from_config(ROOT.config, **settings)


def configured_ledger(option: str | None) -> Path:
    """Give the path of the ledger: the option's, or else as configured. The file need not be there.

    Raises `ConfigurationError` where no ledger is kept.
    """
    if option is not None:
        return Path(option).expanduser().absolute()
    found = configuration()
    path = found.ledger
    if path is None:
        raise ConfigurationError(f"no ledger is kept here, as {found.sources['ledger']} says; name one: --ledger")
    return path


def existing_ledger(option: str | None) -> Path:
    """Give the path of a ledger that is there. Raises `ConfigurationError` for one that is not."""
    path = configured_ledger(option)
    if not path.is_file():
        raise ConfigurationError(f"there is no ledger at {path}; name the one that your application writes: --ledger")
    return path


def configured_cache(option: str | None = None) -> Path | None:
    """Give the folder of cached replies: the option's, or else as configured; None where none are kept on disk."""
    return configuration().cache if option is None else Path(option).expanduser().absolute()
