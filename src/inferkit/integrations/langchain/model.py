"""`ChatInferkit`: what LangChain asks of a chat model, asked of an inferkit client."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import ConfigDict, Field, field_validator

from inferkit.client.shared import engine_of, run_of
from inferkit.integrations.asking import PRIVATE, Question
from inferkit.integrations.langchain.options import as_choice, as_tool, split
from inferkit.integrations.langchain.requests import as_messages
from inferkit.integrations.langchain.responses import Pieces, as_message, last_piece
from inferkit.runtime.loops import current_runtime

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage, BaseMessage
    from langchain_core.outputs import ChatGenerationChunk
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool

    from inferkit.client.call import Call
    from inferkit.core.reply import Reply

__all__ = ["ChatInferkit"]

_NOT_SENT = frozenset({"response_schema"})


class ChatInferkit(BaseChatModel):
    """A chat model that an inferkit client serves, with all that it does around a call.

    `ChatInferkit(model="fast", llm=llm)`: `model` is a name that `llm` knows, an alias of its `models=` or
    "openai:gpt-5-mini"; without one it is the client's default. `llm` is an `inferkit.Client` or an
    `inferkit.AsyncClient`; either serves both of LangChain's sides, and stays the application's to close. `options` are
    those of `Client.complete` for every call (`{"user": "alice", "feature": "search"}`); for one call they are passed
    to it, as in `invoke(messages, user="alice")`.

    inferkit's errors are raised as they are: `BudgetExceeded`, `RateLimited` and so on. Retries and fallbacks are those
    of `llm`. Replies say in `response_metadata["inferkit"]` what became of the call: its id, its cost in dollars, who
    served it.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, populate_by_name=True)

    llm: Any = Field(exclude=True, repr=False)
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    """The most tokens that a reply may take."""
    top_p: float | None = None
    stop: list[str] | None = None
    timeout: float | None = None
    """Seconds for a whole call, with its retries; None is the client's."""
    reasoning_effort: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("llm")
    @classmethod
    def _is_client(cls, given: Any) -> Any:
        engine_of(given)
        return given

    @property
    def _llm_type(self) -> str:
        return PRIVATE

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self._name, **self._defaults()}

    @property
    def _name(self) -> str:
        return self.model or engine_of(self.llm).catalog.default

    def _defaults(self) -> dict[str, Any]:
        own = {
            "temperature": self.temperature, "max_tokens": self.max_tokens, "top_p": self.top_p, "stop": self.stop,
            "timeout": self.timeout, "reasoning_effort": self.reasoning_effort,
        }  # fmt: skip
        return {**{name: value for name, value in own.items() if value is not None}, **self.options}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        named = LangSmithParams(ls_provider=PRIVATE, ls_model_name=kwargs.get("model") or self._name)
        return LangSmithParams(**{**params, **named})

    def _question(self, messages: list[BaseMessage], stop: list[str] | None, given: dict[str, Any]) -> Question:
        asked = {**self._defaults(), **{name: given[name] for name in given.keys() - _NOT_SENT}}
        if stop is not None:
            asked["stop"] = stop
        model = asked.pop("model", self.model)
        options, words = split(asked)
        return Question(model, as_messages(messages), options, words, given.get("response_schema"))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - a whole reply has nothing to tell it
        **kwargs: Any,
    ) -> ChatResult:
        question = self._question(messages, stop, kwargs)
        call = question.call(self.llm, stream=False)
        run_of(self.llm)(call.read)
        return _result(_ended(question, call))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ChatResult:
        question = self._question(messages, stop, kwargs)
        call = question.call(self.llm, stream=False)
        await call.read(current_runtime())
        return _result(_ended(question, call))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        question, run = self._question(messages, stop, kwargs), run_of(self.llm)
        call, pieces = question.call(self.llm, stream=True), Pieces()
        try:
            run(call.open)
            while (batch := run(lambda _: _next(call))) is not None:
                for piece in filter(None, map(pieces.read, batch)):
                    if run_manager is not None:
                        run_manager.on_llm_new_token(piece.text, chunk=piece)
                    yield piece
            yield last_piece(_ended(question, call))
        finally:
            run(lambda _: call.close())

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        question = self._question(messages, stop, kwargs)
        call, pieces = question.call(self.llm, stream=True), Pieces()
        try:
            await call.open(current_runtime())
            while (batch := await _next(call)) is not None:
                for piece in filter(None, map(pieces.read, batch)):
                    if run_manager is not None:
                        await run_manager.on_llm_new_token(piece.text, chunk=piece)
                    yield piece
            yield last_piece(_ended(question, call))
        finally:
            await call.close()

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Give the model with tools that it may call; `tool_choice` is "auto", "any", "none" or a tool's name."""
        choice = as_choice(tool_choice)
        if choice is not None:
            kwargs["tool_choice"] = choice
        return self.bind(tools=[as_tool(each, strict=strict) for each in tools], **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: Literal["json_schema", "function_calling", "json_mode"] = "json_schema",
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Give a model whose replies are objects of a schema, which is asked of each provider in its own form.

        With `method="function_calling"` the object is the arguments of a function that the model has to call.
        "json_mode" is the same as "json_schema", which promises more.
        """
        if method == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        if method not in ("json_schema", "json_mode"):
            raise ValueError(f'method= is "json_schema", "json_mode" or "function_calling"; got {method!r}')
        kwargs.pop("strict", None)  # it always is, where the provider can be
        if kwargs:
            raise ValueError(f"Received unsupported arguments {kwargs}")
        form = convert_to_json_schema(schema)
        told = {"kwargs": {"method": method}, "schema": form}
        asked = self.bind(response_schema=form, ls_structured_output_format=told)
        parser: Runnable[Any, Any] = JsonOutputParser()
        if isinstance(schema, type) and is_basemodel_subclass(schema):
            parser = PydanticOutputParser(pydantic_object=schema)
        if not include_raw:
            return asked | parser
        found = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        none = RunnablePassthrough.assign(parsed=lambda _: None)
        both: Runnable[LanguageModelInput, Any] = RunnableMap(raw=asked) | found.with_fallbacks(
            [none], exception_key="parsing_error"
        )
        return both


async def _next(call: Call) -> Any:
    try:
        return await call.read_batch()
    except StopAsyncIteration:
        return None


def _ended(question: Question, call: Call) -> Reply:
    question.note_unsent(call.record)
    return call.reply


def _result(reply: Reply) -> ChatResult:
    message = as_message(reply)
    info = {"finish_reason": reply.finish_reason}
    return ChatResult(generations=[ChatGeneration(message=message, generation_info=info)], llm_output=info)
