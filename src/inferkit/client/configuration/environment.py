"""The settings that the environment has: each by its name in capitals, `INFERKIT_MAX_RETRIES` for `max_retries`."""

from __future__ import annotations

import os
from typing import Any

from inferkit.client.settings import SETTINGS
from inferkit.core.errors import ConfigurationError
from inferkit.runtime.variables import PREFIX, VARIABLES, read_variable

__all__ = ["read_environment", "unknown_variables", "variables"]


def read_environment() -> dict[str, Any]:
    """Give what the environment says. Raises `ConfigurationError` for what makes no sense."""
    found = {}
    for name, one in SETTINGS.items():
        text = None if one.from_text is None else read_variable(name.upper())
        if text is None or one.from_text is None:
            continue
        value = one.from_text.read(text)
        if not one.check(value):
            takes = one.from_text.takes or one.expected
            raise ConfigurationError(f"the environment variable {PREFIX}{name.upper()} is {takes}")
        found[name] = value
    return found


def variables() -> dict[str, tuple[str, str]]:
    """Give every variable of inferkit's by its whole name: what it takes, and what it says."""
    known = {PREFIX + name: of for name, of in VARIABLES.items()}
    for name, one in SETTINGS.items():
        if one.from_text is not None:
            known[PREFIX + name.upper()] = (one.from_text.takes or one.expected, one.meaning)
    return known


def unknown_variables() -> dict[str, str]:
    """Give the variables of inferkit's prefix that nothing reads, each with what may have been meant, or nothing."""
    from difflib import get_close_matches

    known = [name.removeprefix(PREFIX) for name in variables()]
    unknown = (name.removeprefix(PREFIX) for name in os.environ if name.startswith(PREFIX))
    found = {name: get_close_matches(name, known, 1) for name in sorted(unknown) if name not in known}
    return {PREFIX + name: PREFIX + meant[0] if meant else "" for name, meant in found.items()}
