"""A model of Pydantic AI's over an inferkit client: `InferkitModel("fast", llm)`. It takes `inferkit[pydantic-ai]`."""

from inferkit.integrations.asking import missing

try:
    from inferkit.integrations.pydantic_ai.model import InferkitModel
    from inferkit.integrations.pydantic_ai.settings import InferkitModelSettings
except ImportError as error:
    raise missing("pydantic_ai", "pydantic-ai", "pydantic_ai", error) from error

__all__ = ["InferkitModel", "InferkitModelSettings"]
