"""Which proxy the environment wants for a URL: HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, and NO_PROXY for exceptions."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from inferkit.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["environment_proxies", "proxy_for"]

_SCHEMES = {"http", "https", "socks5", "socks5h"}


def environment_proxies() -> Mapping[str, str]:
    """Give the proxies that are set, by what they are for: "http", "https", "all"; and "no" for where there is none."""
    from urllib.request import getproxies

    return getproxies()


def proxy_for(url: str, proxies: Mapping[str, str]) -> str | None:
    """Give the URL of the proxy that a request goes through, or None.

    Raises `ConfigurationError` that names the variable where its value is no proxy's address; the value itself may hold
    a password, and is not quoted.
    """
    target = urlsplit(url)
    for kind in (target.scheme, "all"):
        proxy = proxies.get(kind)
        if proxy:
            if _is_excepted(target.hostname or "", target.port, target.scheme, proxies.get("no", "")):
                return None
            return _checked(proxy if "://" in proxy else f"http://{proxy}", f"{kind.upper()}_PROXY")
    return None


def _checked(proxy: str, variable: str) -> str:
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0 and proxy.isprintable()
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(
            f"the environment variable {variable} (or {variable.lower()}) holds no proxy that can be used; it takes "
            "http://host:port, https://, socks5:// or socks5h://, and an empty value takes it away"
        )
    return proxy


def _is_excepted(host: str, port: int | None, scheme: str, exceptions: str) -> bool:
    port = port or (443 if scheme == "https" else 80)
    return any(_excepts(each.strip().lower(), host.lower(), port, scheme) for each in exceptions.split(","))


def _excepts(exception: str, host: str, port: int, scheme: str) -> bool:
    """Say whether one entry of NO_PROXY is about a host. What makes no sense there excepts nothing."""
    if exception in {"", "*"}:
        return exception == "*"
    named_scheme, separated, rest = exception.rpartition("://")
    if separated and named_scheme not in {scheme, "all"}:
        return False
    name, named_port = _split(rest)
    if named_port and named_port != str(port):
        return False
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False)
    except ValueError:  # one of them is a name
        name = name.removeprefix("*").removeprefix(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))


def _split(entry: str) -> tuple[str, str]:
    """Take a port off a host, which may be an address with or without its brackets, or a network."""
    if entry.startswith("["):
        name, _, port = entry[1:].partition("]")
        return name, port.removeprefix(":")
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, port
    return entry, ""
