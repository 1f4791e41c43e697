"""A conversation of Pydantic AI's, as inferkit's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    AudioUrl,
    BinaryContent,
    CachePoint,
    DocumentUrl,
    FilePart as GivenFile,
    FileUrl,
    ImageUrl,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextContent,
    TextPart as GivenText,
    ThinkingPart,
    ToolCallPart as GivenCall,
    ToolReturnPart,
    UploadedFile,
    UserPromptPart,
)
from pydantic_ai.models import download_item

from inferkit.core.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from inferkit.integrations.asking import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_ai.messages import ModelMessage, UserContent
    from pydantic_ai.models import ModelRequestParameters

    from inferkit.core.messages import Part

__all__ = ["as_messages"]


async def as_messages(messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> list[Message]:
    """Give the conversation, with the agent's instructions after what stands first in it for the model.

    Files that only their addresses are known of are downloaded where a model has to be sent them: Pydantic AI does
    that, within its own bounds. Raises its `UserError` for what has no form here.
    """
    found: list[Message] = []
    for message in messages:
        if isinstance(message, ModelResponse):
            parts = _parts_of(message)
            found += [Message("assistant", parts)] if parts else []
        else:
            found += await _asked(message)
    first = next((place for place, one in enumerate(found) if one.role != "system"), len(found))
    found[first:first] = [Message.system(each) for each in _instructions(messages, parameters)]
    return found


def _instructions(messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> list[str]:
    if parameters.instruction_parts is not None:
        return [part.content for part in parameters.instruction_parts]
    last = next((one.instructions for one in reversed(messages) if isinstance(one, ModelRequest)), None)
    return [last] if last else []  # who asks a model directly has nothing else


async def _asked(request: ModelRequest) -> list[Message]:
    found: list[Message] = []
    files: list[UserContent] = []
    for part in request.parts:
        if isinstance(part, SystemPromptPart):
            found.append(Message.system(part.content))
        elif isinstance(part, UserPromptPart):
            found += await _user(part.content)
        elif isinstance(part, ToolReturnPart):
            text, more = part.model_response_str_and_user_content()
            files += more
            found.append(Message("tool", (ToolResultPart(part.tool_call_id, text, part.outcome != "success"),)))
        else:
            raise UserError(f"inferkit has no form for a {type(part).__name__} that was not prepared for its model")
    return found + (await _user(files) if files else [])


async def _user(content: str | Sequence[UserContent]) -> list[Message]:
    given: Sequence[UserContent] = [content] if isinstance(content, str) else content
    parts = [await _part(each) for each in given if not isinstance(each, CachePoint)]
    return [Message("user", tuple(parts))] if parts else []


async def _part(given: UserContent) -> Part:  # noqa: PLR0911 - one for each kind of content
    if isinstance(given, str):
        return TextPart(given)
    if isinstance(given, TextContent):
        return TextPart(given.content)
    if isinstance(given, UploadedFile):
        return FilePart(file_id=given.file_id)
    if isinstance(given, BinaryContent):
        return _file(given.data, given.media_type, _detail(given.vendor_metadata), given.identifier)
    assert isinstance(given, FileUrl)
    if isinstance(given, AudioUrl) or given.force_download:
        item = await download_item(given, data_format="bytes")
        return _file(item["data"], item["data_type"], _detail(given.vendor_metadata), given.identifier)
    if isinstance(given, ImageUrl):
        return ImagePart(url=given.url, detail=_detail(given.vendor_metadata))
    if isinstance(given, DocumentUrl):
        return FilePart(url=given.url)
    return FilePart(url=given.url, media_type=given.media_type)


def _file(data: bytes, media_type: str, detail: str | None, name: str) -> Part:
    if media_type.startswith("image/"):
        return ImagePart(data=data, media_type=media_type, detail=detail)
    if media_type.startswith("audio/"):
        return AudioPart(data, media_type)
    return FilePart(data=data, media_type=media_type, filename=name)


def _detail(metadata: dict[str, Any] | None) -> str | None:
    return None if metadata is None else metadata.get("detail")


def _parts_of(response: ModelResponse) -> tuple[Part, ...]:
    """Give what a model said; what only its provider understands goes back where it was inferkit that brought it."""
    parts: list[Part] = []
    for part in response.parts:
        if isinstance(part, GivenText):
            if part.content or part.provider_name == PRIVATE:
                parts.append(TextPart(part.content, _extra(part)))
        elif isinstance(part, ThinkingPart):
            if part.content or part.signature:
                parts.append(ReasoningPart(part.content, part.signature, _extra(part)))
        elif isinstance(part, GivenCall):
            written = part.args if isinstance(part.args, str) and part.args else part.args_as_json_str()
            parts.append(ToolCallPart(part.tool_call_id, part.tool_name, written, _extra(part)))
        elif isinstance(part, GivenFile):
            parts.append(_file(part.content.data, part.content.media_type, None, part.content.identifier))
    for place, kind, value, wire in (response.provider_details or {}).get("opaque", ()):
        parts.insert(place, OpaquePart(kind, value, wire))
    return tuple(parts)


def _extra(part: Any) -> dict[str, Any] | None:
    return (part.provider_details or {}).get("extra") if part.provider_name == PRIVATE else None
