"""LangChain's own tests for chat models, against a server on the loopback: each wire, each side."""

from __future__ import annotations

import pytest

import four_wires
from inferkit import Client, InvalidRequest
from integrations.answering import willing
from wire import Wire

pytest.importorskip("langchain_core", reason="LangChain is not installed: its model is not tested")
pytest.importorskip("langchain_tests", reason="langchain-tests is not installed: LangChain's own tests are not run")

from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from inferkit.integrations.langchain import ChatInferkit

MODEL, OTHER = "gpt-4o", "gpt-4o-mini"


@pytest.fixture(scope="module")
def llm():
    with Client(cache=False, ledger=False) as client:
        yield client


class TestUnits(ChatModelUnitTests):
    chat_model_class = ChatInferkit

    @pytest.fixture(autouse=True)
    def _has_a_client(self, llm):
        self._llm = llm

    @pytest.fixture
    def benchmark(self):
        return lambda function: function()

    @pytest.fixture
    def snapshot(self):
        """Nothing: a model with a client in it is not written down."""

    @property
    def chat_model_params(self):
        return {"model": MODEL, "llm": self._llm}

    @property
    def standard_chat_model_params(self):  # retries are the client's
        return {name: value for name, value in super().standard_chat_model_params.items() if name != "max_retries"}


@pytest.mark.anyio
class _OnAWire(ChatModelIntegrationTests):
    wire_name = ""
    chat_model_class = ChatInferkit

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _has_a_server(cls):
        with Wire(willing(cls.wire_name)) as wire:
            providers = {"p": four_wires.adapter(cls.wire_name, wire.url)}
            models = {MODEL: f"p:{MODEL}", OTHER: f"p:{OTHER}"}
            with Client(cache=False, ledger=False, providers=providers, models=models) as cls.llm:
                yield

    @pytest.fixture
    def anyio_backend(self):
        return "asyncio"

    @pytest.fixture
    def benchmark(self):
        return lambda function: function()

    @pytest.fixture
    def vcr(self):
        """Nothing: there is nothing on the network to record."""

    @property
    def chat_model_params(self):
        return {"model": MODEL, "llm": self.llm, "max_tokens": 500}

    @property
    def supports_image_inputs(self):
        return False  # they fetch theirs from the network

    @property
    def supports_json_mode(self):
        return True

    @property
    def model_override_value(self):
        return OTHER


class TestOnChat(_OnAWire):
    wire_name = "chat"


class TestOnResponses(_OnAWire):
    wire_name = "responses"

    @pytest.mark.xfail(reason="the Responses API has no stop sequences", raises=InvalidRequest)
    def test_stop_sequence(self, model):
        super().test_stop_sequence(model)


class TestOnAnthropic(_OnAWire):
    wire_name = "anthropic"


class TestOnGemini(_OnAWire):
    wire_name = "gemini"
