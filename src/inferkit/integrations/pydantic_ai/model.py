"""`InferkitModel`: what Pydantic AI asks of a model, asked of an inferkit client."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic_ai.models import Model, check_allow_model_requests
from pydantic_ai.profiles import ModelProfile

from inferkit.client.shared import engine_of
from inferkit.core.errors import InferkitError
from inferkit.integrations.asking import PRIVATE, Question
from inferkit.integrations.pydantic_ai.failures import raise_theirs
from inferkit.integrations.pydantic_ai.requests import as_messages
from inferkit.integrations.pydantic_ai.responses import Streamed, as_response
from inferkit.integrations.pydantic_ai.settings import UNSUPPORTED, options_in, words_in
from inferkit.runtime.loops import current_runtime

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import ModelRequestParameters, StreamedResponse
    from pydantic_ai.profiles import ModelProfileSpec
    from pydantic_ai.settings import ModelSettings
    from pydantic_ai.tools import RunContext

    from inferkit.client.shared import Shared

__all__ = ["InferkitModel"]

_PROFILE = ModelProfile(supports_json_schema_output=True, supports_image_output=True, supports_thinking=True)


class InferkitModel(Model[Any]):
    """A model that an inferkit client serves, with all that it does around a call: `Agent(InferkitModel("fast", llm))`.

    `model_name` is one that `llm` knows: an alias of its `models=`, or "openai:gpt-5-mini"; without one it is the
    client's default. `llm` is an `inferkit.AsyncClient` or an `inferkit.Client`, and stays the application's to close.
    `settings` are those of every request (`InferkitModelSettings` has who asks and who pays), and `profile` says what
    the model can, where that is less than all of them can.

    A provider's failure is Pydantic AI's error for it, with inferkit's as its `__cause__`; what inferkit itself
    refuses, such as `BudgetExceeded`, is raised as it is. Retries and fallbacks are those of `llm`.
    """

    unsupported_settings = UNSUPPORTED

    def __init__(
        self,
        model_name: str | None,
        llm: Shared,
        *,
        settings: ModelSettings | None = None,
        profile: ModelProfileSpec | None = None,
    ) -> None:
        engine = engine_of(llm)
        self._llm = llm
        self._name = model_name
        self._default = engine.catalog.default
        super().__init__(settings=settings, profile=profile)

    @property
    def model_name(self) -> str:
        """The name that the inferkit client is asked for."""
        return self._name or self._default

    @property
    def system(self) -> str:
        """Who provides the model, to Pydantic AI."""
        return PRIVATE

    def _provider_model_profile(self) -> ModelProfile:
        return _PROFILE

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Give the whole reply."""
        question, _ = await self._question(messages, model_settings, model_request_parameters)
        try:
            call = question.call(self._llm, stream=False)
            await call.read(current_runtime())
        except InferkitError as error:
            raise_theirs(error, self.model_name)
        question.note_unsent(call.record)
        return as_response(call.reply)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,  # noqa: ARG002 - it says nothing of the request
    ) -> AsyncGenerator[StreamedResponse]:
        """Give the reply as it comes; leaving the context closes it."""
        question, parameters = await self._question(messages, model_settings, model_request_parameters)
        try:
            call = question.call(self._llm, stream=True)
            await call.open(current_runtime())
        except InferkitError as error:
            raise_theirs(error, self.model_name)
        try:
            yield Streamed(parameters, _call=call, _question=question, _asked=self.model_name)
        finally:
            await call.close()

    async def _question(
        self, messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
    ) -> tuple[Question, ModelRequestParameters]:
        check_allow_model_requests()
        settings, parameters = self.prepare_request(settings, parameters)
        settings = settings or {}
        output = parameters.output_object if parameters.output_mode == "native" else None
        question = Question(
            self._name,
            await as_messages(messages, parameters),
            options_in(settings, parameters),
            words_in(settings),
            None if output is None else output.json_schema,
        )
        return question, parameters
