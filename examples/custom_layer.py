"""A layer of one's own: card numbers are masked before a message leaves the process."""

import re

from inferkit import Client, Handler, Message, Part, Request, Response, TextPart
from inferkit.testing import FakeProvider

CARD = re.compile(r"\b\d(?:[ -]?\d){12,15}\b")


def mask(part: Part) -> Part:
    return TextPart(CARD.sub("[card]", part.text)) if isinstance(part, TextPart) else part


async def mask_cards(request: Request, call_next: Handler) -> Response:
    messages = tuple(Message(message.role, tuple(map(mask, message.parts))) for message in request.messages)
    response = await call_next(request.replace(messages=messages))
    return response.map(on_close=lambda end: print(f"call {request.record.id}: {end.outcome}"))


if __name__ == "__main__":
    provider = FakeProvider("Thank you.")
    with Client(providers={"fake": provider}, models={"any": "fake:model"}, layers=[mask_cards]) as llm:
        print(llm.complete("any", "My card is 4111 1111 1111 1111, is it valid?").text)
    print(provider.requests[0].messages[0].text)
