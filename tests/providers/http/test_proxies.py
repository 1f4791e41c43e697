"""Proxies of the environment: which one is used for what, and what is said of one that cannot be used."""

from __future__ import annotations

import pytest

from chat_wire import ask, completion
from inferkit import ConfigurationError
from inferkit.providers.http.proxies import environment_proxies, proxy_for
from ways import close, text
from wire import reply

HTTPS = {"https": "http://proxy:3128"}


@pytest.mark.parametrize(
    ("url", "proxies", "expected"),
    [
        ("https://api.test/v1", {}, None),
        ("https://api.test/v1", HTTPS, "http://proxy:3128"),
        ("http://api.test/v1", HTTPS, None),
        ("http://api.test/v1", {"all": "socks5://proxy:1080"}, "socks5://proxy:1080"),
        ("https://api.test/v1", HTTPS | {"all": "socks5://proxy:1080"}, "http://proxy:3128"),
        ("https://api.test/v1", {"https": "proxy:3128"}, "http://proxy:3128"),
        ("https://api.test/v1", {"https": "", "all": "https://p"}, "https://p"),
        ("https://api.test/v1", HTTPS | {"no": "*"}, None),
        ("https://api.test/v1", HTTPS | {"no": "localhost, API.test"}, None),
        ("https://api.test/v1", HTTPS | {"no": "test"}, None),
        ("https://api.test/v1", HTTPS | {"no": ".test"}, None),
        ("https://api.test/v1", HTTPS | {"no": "*.test"}, None),
        ("https://api.test/v1", HTTPS | {"no": "pi.test"}, "http://proxy:3128"),
        ("https://api.test/v1", HTTPS | {"no": "api.test:443"}, None),
        ("https://api.test:8443/v1", HTTPS | {"no": "api.test:443"}, "http://proxy:3128"),
        ("https://api.test/v1", HTTPS | {"no": "https://api.test"}, None),
        ("https://api.test/v1", HTTPS | {"no": "all://api.test"}, None),
        ("https://api.test/v1", HTTPS | {"no": "http://api.test"}, "http://proxy:3128"),
        ("https://10.1.2.3/v1", HTTPS | {"no": "10.0.0.0/8"}, None),
        ("https://10.1.2.3/v1", HTTPS | {"no": "10.1.2.3"}, None),
        ("https://10.1.2.3/v1", HTTPS | {"no": "11.0.0.0/8"}, "http://proxy:3128"),
        ("https://[::1]:8000/v1", HTTPS | {"no": "[::1]"}, None),
        ("https://[::1]:8000/v1", HTTPS | {"no": "[::1]:8000"}, None),
        ("https://[::1]:8000/v1", HTTPS | {"no": "::1"}, None),
        ("https://[::1]:8000/v1", HTTPS | {"no": "[::2], , [, ], :, ://"}, "http://proxy:3128"),
    ],
)
def test_the_environment_names_a_proxy_and_its_exceptions(url, proxies, expected):
    assert proxy_for(url, proxies) == expected


@pytest.mark.parametrize(
    "value", ["socks://127.0.0.1:7890/", "ftp://proxy", "http://", "http://[::1", "http://proxy:99999", "http://p:0"]
)
@pytest.mark.parametrize("variable", ["ALL_PROXY", "https_proxy"])
def test_what_is_no_proxy_is_refused_by_its_variable_and_not_quoted(way, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value.replace("://", "://user:secret@", 1))
    adapter = way.adapter("https://api.test/v1")

    async def call(runtime):
        with pytest.raises(ConfigurationError, match=variable.upper()) as caught:
            await adapter(ask(runtime))
        return str(caught.value)

    assert "secret" not in way(call)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_that_are_not_there_are_refused_by_their_variable(way, monkeypatch, variable):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv(variable, "/nowhere/ca.pem")
    adapter = type(way)(way.library, way.place, tls=False).adapter("https://127.0.0.1:1/v1")

    async def call(runtime):
        with pytest.raises(ConfigurationError, match=variable):
            await adapter(ask(runtime))

    way(call)


def test_a_proxy_that_speaks_socks_says_what_it_takes(way, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    adapter = way.adapter("https://api.test/v1")

    async def call(runtime):
        with pytest.raises(ConfigurationError, match="SOCKS") as caught:
            await adapter(ask(runtime))
        return str(caught.value)

    assert ("httpx[socks]" if way.library == "httpx" else 'leave transport= at "httpx"') in way(call)


def test_an_exception_with_brackets_is_understood(way, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "[::1], 127.0.0.0/8")
    monkeypatch.delenv("no_proxy", raising=False)
    with way.wire(lambda _: [reply(completion("Hello"))]) as wire:
        adapter = way.adapter(wire.url)

        async def call(runtime):
            told = await text(adapter, runtime, stream=False)
            await close(adapter, runtime)
            return told

        assert way(call) == "Hello"


def test_the_environment_is_read_as_every_other_program_reads_it(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://upper")
    monkeypatch.setenv("https_proxy", "http://lower")
    assert environment_proxies()["https"] == "http://lower"
