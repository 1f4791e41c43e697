"""The environment variables that are inferkit's own, whose names begin with `INFERKIT_`: how they are read, everywhere.

Those that a setting of clients has besides are declared with it, in `inferkit.client.settings`.
"""

from __future__ import annotations

import os

__all__ = ["PREFIX", "VARIABLES", "read_variable"]

PREFIX = "INFERKIT_"

VARIABLES: dict[str, tuple[str, str]] = {
    "CONFIG": ("a path", "The file that `from_config()` and the commands are set up by, instead of the nearest one."),
    "HOME": ("a path", "The folder for cache, ledger and saved prompts, for every client that is given no other."),
    "TRANSPORT": (
        '"httpx" or "aiohttp"',
        "How requests travel where the code does not say; what cannot travel so is left to httpx.",
    ),
    "SHOW_TEXT": ('"1" for yes', "Whether the `repr` of a reply shows the beginning of its text."),
    "REAL_CALLS": ('"allow" or "forbid"', "Whether calls may leave this machine, which those of tests need not."),
    "CARRY_INTO_THREADS": ('"0" for no', "Whether threads that a budgeted function starts are paid for by its budget."),
}
"""What each that is no setting's alone takes, and what it says."""


def read_variable(name: str) -> str | None:
    """Give what `INFERKIT_` and this name holds, without the blanks around it; None where that is nothing."""
    return os.environ.get(PREFIX + name, "").strip() or None
