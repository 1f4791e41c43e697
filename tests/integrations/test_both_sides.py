"""An SDK or a framework that was given an HTTP client on one of its sides does not go round inferkit on the other."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys

import httpx2
import pytest
from google import genai
from google.genai.types import HttpOptions

from inferkit import Budget, Client
from inferkit.integrations import async_http_client, http_client
from integrations.answering import saying
from integrations.faces import FACES

GOOGLE = FACES[3]
SIDES = [("httpx_client", http_client), ("httpx_async_client", async_http_client)]
DAY = Budget(calls=9, per="day", each="user", name="each")


@pytest.fixture
def llm(tmp_path):
    with Client(cache=False, ledger=tmp_path / "ledger.db", budget=DAY) as made:
        yield made


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize(("side", "make"), SIDES, ids=["plain", "async"])
@pytest.mark.parametrize("as_options", [dict, lambda given: HttpOptions(**given)], ids=["dict", "HttpOptions"])
def test_googles_other_side_is_over_inferkit_as_well(llm, library, side, make, as_options):
    with saying(GOOGLE) as wire:
        options = {"base_url": wire.url.removesuffix("/v1"), side: make(llm, library=library, user="ana")}
        sdk = genai.Client(api_key="k", http_options=as_options(options))
        GOOGLE.ask(sdk)
        asyncio.run(GOOGLE.ask_async(sdk.aio))
        assert [each.headers["user-agent"] for each in wire.requests] == ["inferkit", "inferkit"]
    assert DAY.usage("ana", ledger=llm.ledger).calls == 2


@pytest.mark.parametrize("side", ["http_client", "http_async_client"])
def test_langchains_other_side_too(llm, side):
    langchain = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed: it is not tested")
    make = http_client if side == "http_client" else async_http_client
    with saying(FACES[0]) as wire:
        given = {side: make(llm, user="ben")}
        chat = langchain.ChatOpenAI(model="m", api_key="k", base_url=wire.url, max_retries=0, **given)
        chat.invoke("Hi")
        asyncio.run(chat.ainvoke("Hi"))
    assert DAY.usage("ben", ledger=llm.ledger).calls == 2
    langchain.OpenAIEmbeddings(api_key="k", **{side: make(llm)})


def test_a_side_that_is_somebody_elses_is_left_to_it_and_said(llm, caplog):
    with caplog.at_level(logging.WARNING, "inferkit"), httpx2.Client() as own:
        options = {"httpx_async_client": async_http_client(llm), "httpx_client": own}
        genai.Client(api_key="k", http_options=options)
        (said,) = caplog.messages
        assert "httpx_async_client= over inferkit, and a httpx_client= that is not" in said
        caplog.clear()
        genai.Client(api_key="k", http_options={"httpx_client": own})
        genai.Client(api_key="k")
        genai.Client(api_key="k", http_options={**options, "httpx_client": http_client(llm)})
    assert caplog.messages == []


def test_what_is_not_imported_is_not_imported_for_it():
    program = (
        "import sys; from inferkit import Client; from inferkit.integrations import http_client; "
        "http_client(Client(ledger=False, cache=False)); "
        "print([each for each in sys.modules if each.startswith(('google.genai', 'langchain'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
