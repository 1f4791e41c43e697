"""A support desk on FastAPI: replies are streamed, each customer has a budget, and who leaves is not answered on.

Run it:

    python -m uvicorn --app-dir examples/recipes fastapi_app:app --workers 2
    curl -N localhost:8000/stream -H 'x-customer: ana' -H 'content-type: application/json' -d '{"text": "Where is it?"}'
"""

import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel
from shop import CUSTOMER, SETTINGS

from inferkit import AsyncClient, BudgetExceeded, Overloaded, RateLimited, Unavailable, identify
from inferkit.integrations import AsgiMiddleware


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncClient(budget=CUSTOMER, **SETTINGS) as llm:  # closed when the server stops
        app.state.llm = llm
        yield


def known(x_customer: Annotated[str, Header()]) -> None:
    identify(user=x_customer)  # yours checks a session or a token first


app = FastAPI(lifespan=lifespan, dependencies=[Depends(known)])
app.add_middleware(AsgiMiddleware, feature="support")


class Question(BaseModel):
    text: str


@app.post("/answer")
async def answer(question: Question, request: Request) -> dict[str, str]:
    llm: AsyncClient = request.app.state.llm
    reply = await llm.complete("answer", question.text, max_output_tokens=200)
    return {"answer": reply.text, "worker": str(os.getpid())}


@app.post("/stream")
async def stream(question: Question, request: Request) -> StreamingResponse:
    llm: AsyncClient = request.app.state.llm
    reply = llm.stream("answer", question.text, max_output_tokens=200)
    first = await anext(reply, None)  # a refusal is raised here, while the status can still say so

    async def body() -> AsyncIterator[str]:
        async with aclosing(reply):  # also when the customer leaves: the connection is closed, and what came is booked
            if first is not None:
                yield first.text
            async for chunk in reply:
                yield chunk.text

    return StreamingResponse(body(), media_type="text/plain")


@app.exception_handler(BudgetExceeded)
async def over_budget(request: Request, refusal: Exception) -> JSONResponse:
    assert isinstance(refusal, BudgetExceeded)
    again = refusal.resets_at.isoformat() if refusal.resets_at else None
    return JSONResponse({"error": "you have asked all that your plan allows", "again": again}, 402)


@app.exception_handler(RateLimited)
@app.exception_handler(Overloaded)
@app.exception_handler(Unavailable)
async def busy(request: Request, failure: Exception) -> JSONResponse:
    seconds = getattr(failure, "retry_after", None) or 5
    return JSONResponse({"error": "the model is busy"}, 503, {"retry-after": str(round(seconds))})
