"""A chat model of LangChain's over an inferkit client: `ChatInferkit(llm=llm)`. It takes `inferkit[langchain]`."""

from inferkit.integrations.asking import missing

try:
    from inferkit.integrations.langchain.model import ChatInferkit
except ImportError as error:
    raise missing("langchain", "langchain", "langchain_core", error) from error

__all__ = ["ChatInferkit"]
