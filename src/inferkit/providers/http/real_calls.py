"""Whether calls may leave this machine: `INFERKIT_REAL_CALLS=forbid` in the environment keeps those of tests here."""

from __future__ import annotations

import ipaddress
import json
import re
from urllib.parse import unquote, urlsplit

from inferkit.core.errors import ConfigurationError
from inferkit.runtime.variables import PREFIX, read_variable

__all__ = ["VARIABLE", "check", "forbidden", "refused", "said"]

_NAME = "REAL_CALLS"
VARIABLE = PREFIX + _NAME
_IN_PATH = re.compile(r"/models?/([^/:]+(?::[^/:]+)?)(?=[:/])")  # Gemini's and Bedrock's


def said() -> bool:
    """Say whether the environment forbids them. Raises `ConfigurationError` for a word that says neither."""
    word = read_variable(_NAME)
    if word not in {None, "allow", "forbid"}:
        raise ConfigurationError(f'{VARIABLE} is "allow" or "forbid"; got {word!r}')
    return word == "forbid"


forbidden = said()
"""Transports ask this before each request; the plugin of pytest sets it for each test."""

refused: list[str] = []
"""What was asked for and not sent, so that a test which catches the error fails all the same."""


def check(url: str, provider: str, body: bytes) -> None:
    """Raise `ConfigurationError`, which names the model, for a request that is not for this machine itself."""
    parts = urlsplit(url)
    if _is_loopback(parts.hostname or ""):
        return
    what = f"{provider}:{_model(parts.path, body)} at {parts.hostname}"
    refused.append(what)
    raise ConfigurationError(
        f"a real call was refused, to {what}: {VARIABLE}=forbid lets calls go to this machine alone. In a test, "
        "answer it with a FakeProvider (the fixture inferkit_client has one) or play it from a tape (inferkit_tape); "
        "one that is meant to ask the provider is marked @pytest.mark.inferkit_real_calls"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _model(path: str, body: bytes) -> str:
    found = _IN_PATH.search(path)
    if found is not None:
        return unquote(found[1])
    try:
        model = json.loads(body)["model"]
    except (ValueError, KeyError, TypeError):
        return "?"
    return model if isinstance(model, str) else "?"
