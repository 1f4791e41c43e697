"""Checks a real provider, with your own key and within a budget, against what inferkit's tests assume of it.

    python tools/live_wires.py openai:gpt-5-mini --usd 0.05
    python tools/live_wires.py anthropic:claude-haiku-4-5 --effort low --image
    python tools/live_wires.py anthropic-bedrock:eu.anthropic.claude-haiku-4-5-20251001-v1:0
    python tools/live_wires.py vertex:gemini-2.5-flash
    python tools/live_wires.py openai:text-embedding-3-small --embeddings
    python tools/live_wires.py mine:large --base-url https://models.example/v1 --key-env MY_KEY --price 1 2

Every provider that is known by name can be checked, and every server that speaks Chat Completions. A key is read
where the provider's adapter reads it, and clouds take the account of the machine. `--effort` has the model think, and
its reasoning sent back with what a tool answered; `--image` shows it a picture.

inferkit's own tests run without a network and without keys: they play what documentation and public reports say of
providers. This asks one for a few short replies and says, line by line, what came otherwise. `--record FILE` keeps all
of it on a tape, without the key, which may be sent along with a report.

Exit status: 0 if nothing differed, 1 if something did, 2 if the provider could not be asked.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from inferkit import (
    Anthropic,
    AuthenticationFailed,
    Budget,
    BudgetExceeded,
    Client,
    ConfigurationError,
    Gemini,
    ImagePart,
    InferkitError,
    InvalidRequest,
    Message,
    NoRoute,
    OpenAIChat,
    OpenAIResponses,
    Price,
    Tool,
    UnpricedModel,
)
from inferkit.providers.http.choosing import make_transport
from inferkit.testing import Tape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from inferkit import Reply

    Check = tuple[str, Callable[[Client], Iterator["Finding"]]]

Finding = tuple[str, bool, str]
"""What is assumed, whether it was so, and what came."""
_QUESTION = "Reply with the single word: ready"
_WEATHER = Tool(
    "get_weather",
    "Says what the weather is like in a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
_SCHEMA = {
    "type": "object",
    "properties": {"color": {"type": "string"}},
    "required": ["color"],
    "additionalProperties": False,
}


def whole(llm: Client) -> Iterator[Finding]:
    """Ask for a whole reply."""
    yield from _about(llm.complete("it", _QUESTION, max_output_tokens=_ROOM))


def streamed(llm: Client) -> Iterator[Finding]:
    """Ask for a stream."""
    with llm.stream("it", "Count from 1 to 20, with commas.", max_output_tokens=_ROOM) as stream:
        pieces = [chunk for chunk in stream if chunk.text]
    yield "a stream comes in several pieces", len(pieces) > 1, f"{len(pieces)} pieces with text"
    yield from _about(stream.reply)


def cut_off(llm: Client) -> Iterator[Finding]:
    """Ask for more than there is room for."""
    reply = llm.complete("it", "Write a poem of forty lines about rain.", max_output_tokens=24)
    found = reply.finish_reason
    yield 'a reply that was cut off ends with "length"', found == "length", f"{found!r}"
    said = reply.usage.output_tokens
    yield "the limit on output tokens is kept", said <= 24, f"{said} output tokens of 24"


def with_a_tool(llm: Client) -> Iterator[Finding]:
    """Have a tool called."""
    reply = llm.complete("it", "What is the weather in Paris? Use the tool.", tools=[_WEATHER], max_output_tokens=_ROOM)
    calls = reply.tool_calls
    yield "a tool is called where it is asked for", len(calls) == 1, f"{len(calls)} calls"
    for call in calls:
        yield "a call has an id and a name", bool(call.id) and call.name == "get_weather", f"name {call.name!r}"
        yield "its arguments are JSON", _is_json(call.arguments), f"{len(str(call.arguments))} characters"
    yield 'the reply ends with "tool_calls"', reply.finish_reason == "tool_calls", f"{reply.finish_reason!r}"


def with_what_it_answered(llm: Client, effort: str | None = None) -> Iterator[Finding]:
    """Send back what a tool answered, with all that the model said before."""
    options: dict[str, Any] = {"tools": [_WEATHER], "max_output_tokens": _ROOM if effort is None else _ROOM_TO_THINK}
    if effort is not None:
        options["reasoning_effort"] = effort
    talk = [Message.user("What is the weather in Paris? Use the tool.")]
    asked = llm.complete("it", talk, **options)
    calls = asked.tool_calls
    if effort is not None:
        thought = asked.usage.reasoning_tokens > 0 or bool(asked.reasoning)
        yield "a model that is to think does, or says what it took", thought, f"{asked.usage.reasoning_tokens} tokens"
    yield "a tool is called where it is asked for", len(calls) == 1, f"{len(calls)} calls"
    results = [Message.tool(call.id, '{"sky": "clear", "celsius": 21}') for call in calls]
    told = llm.complete("it", [*talk, asked.message, *results], **options)
    yield "the conversation goes on with what the tool answered", "21" in told.text, f"{len(told.text)} characters"
    yield "and nothing is left out of it", not told.left_out, ", ".join(told.left_out) or "nothing"


def with_an_image(llm: Client) -> Iterator[Finding]:
    """Show it a picture."""
    question = Message.user(
        "Which color is this? Answer with one word.", ImagePart(url=f"data:image/png;base64,{_RED}")
    )
    reply = llm.complete("it", [question], max_output_tokens=_ROOM)
    yield "a picture is seen", "red" in reply.text.lower(), f"{len(reply.text)} characters"


def with_a_schema(llm: Client) -> Iterator[Finding]:
    """Have a reply in a given form."""
    reply = llm.complete("it", "Name a color.", schema=_SCHEMA, max_output_tokens=_ROOM)
    yield "a reply in a given form is JSON", _is_json(reply.text), f"{len(reply.text)} characters"


def left_early(llm: Client) -> Iterator[Finding]:
    """Leave a stream after its first piece."""
    with llm.stream("it", "Count from 1 to 500, with commas.", max_output_tokens=_ROOM) as stream:
        first = next(iter(stream), None)
    yield "a stream can be left after its first piece", first is not None, "nothing came" if first is None else "left"


def unknown_model(llm: Client) -> Iterator[Finding]:
    """Ask for a model that is not there."""
    try:
        llm.complete("nothing", _QUESTION, max_output_tokens=16)
    except InvalidRequest as error:
        yield "a model that is not there is a bad request", True, f"HTTP {error.status}, code {error.code}"
    except InferkitError as error:
        yield "a model that is not there is a bad request", False, type(error).__name__
    else:
        yield "a model that is not there is a bad request", False, "a reply"


def with_vectors(llm: Client) -> Iterator[Finding]:
    """Ask for vectors, of which a whole one and a shorter one."""
    found = llm.embed("it", ["Where is my parcel?", "My package has not come.", "Ducks swim."])
    sizes = {len(vector) for vector in found}
    yield "each text has a vector of one length", len(found) == 3 and len(sizes) == 1, f"{len(found)} of {sizes}"
    near, far = (_product(found[0], found[other]) for other in (1, 2))
    yield "texts that mean the same are nearer", near > far, f"{near:.3f}, and {far:.3f}"
    counted = found.usage.input_tokens > 0 and not found.usage.estimated
    yield "a request says what it used", counted, f"{found.usage.input_tokens} tokens"
    yield "a request has a cost", bool(found.cost_nanos), f"{found.cost} dollars"
    short = llm.embed("it", "Where is my parcel?", dimensions=_FEW)
    yield "it can be told how many dimensions", short.dimensions == _FEW, f"{short.dimensions}"


def _product(one: Iterable[float], other: Iterable[float]) -> float:
    return float(sum(a * b for a, b in zip(one, other, strict=True)))


CHECKS: tuple[Callable[[Client], Iterator[Finding]], ...] = (
    whole,
    streamed,
    cut_off,
    with_a_tool,
    with_what_it_answered,
    with_a_schema,
    left_early,
    unknown_model,
)
_FEW = 256  # dimensions
_NO_MODEL = "no-such-model"
_RED = (
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAKklEQVR42mN4ICBAU8QwasGoBaMW"
    "jFowasGoBaMWjFowasGoBaMWDBULALgcAD3G45K4AAAAAElFTkSuQmCC"
)
_ROOM = 400  # output tokens, so that a model that thinks has room for it
_ROOM_TO_THINK = 8000
_OTHERS: dict[str, Callable[..., Any]] = {
    "anthropic": Anthropic,
    "anthropic-bedrock": Anthropic.bedrock,
    "anthropic-mantle": functools.partial(Anthropic.bedrock, api="messages"),
    "anthropic-vertex": Anthropic.vertex,
    "gemini": Gemini,
    "openai-responses": OpenAIResponses,
    "vertex": Gemini.vertex,
}
"""What makes the adapters of providers that speak another API than Chat Completions."""


def _about(reply: Reply) -> Iterator[Finding]:
    yield "a reply has text", bool(reply.text.strip()), f"{len(reply.text)} characters"
    yield 'a reply that is whole ends with "stop"', reply.finish_reason == "stop", f"{reply.finish_reason!r}"
    yield "a reply has an id", bool(reply.id), "none" if not reply.id else "one"
    usage = reply.usage
    counted = usage.input_tokens > 0 and usage.output_tokens > 0
    yield "a reply says what it used", counted and not usage.estimated, f"{usage}"
    yield "a reply has a cost", bool(reply.cost_nanos), f"{reply.cost} dollars"


def _adapter(provider: str, settings: dict[str, Any]) -> Any:
    if provider in _OTHERS:
        return _OTHERS[provider](**settings)
    if "base_url" in settings:
        return OpenAIChat(name=provider, **settings)
    return OpenAIChat.preset(provider, **settings)


def _is_json(text: Any) -> bool:
    try:
        json.loads(text)
    except (TypeError, ValueError):
        return isinstance(text, dict)
    return True


def main() -> int:
    """Check a provider, print what was found, and say whether something differed."""
    options = _options()
    provider, _, model = options.model.partition(":")
    transport = make_transport("httpx")
    if options.record is not None:
        transport = Tape.recording(options.record).recorder(transport)
    settings: dict[str, Any] = {"transport": transport}
    if options.key_env is not None:
        settings["api_key_env"] = options.key_env
    if options.base_url is not None:
        settings["base_url"] = options.base_url
    prices = {f"{provider}:{_NO_MODEL}": Price(input="1", output="1")}  # what is held for it, and not spent
    if options.price is not None:
        prices[f"{provider}:{model}"] = Price(input=options.price[0], output=options.price[1])
    with tempfile.TemporaryDirectory() as home:
        try:
            adapter = _adapter(provider, settings)
            llm = Client(
                models={"it": f"{provider}:{model}", "nothing": f"{provider}:{_NO_MODEL}"},
                providers={provider: adapter},
                prices=prices,
                budget=Budget(usd=options.usd, per="total", name="this check"),
                cache=False,
                max_retries=1,
                timeout=180,
                home=home,
            )
        except (ConfigurationError, NoRoute) as error:
            print(error, file=sys.stderr)
            return 2
        with llm:
            differed, could_ask = _check(llm, _checks(options))
            spent = llm.ledger.balance("this check", "total")
        adapter.close()
    print(f"\nspent: {Decimal(spent.posted.usd) / 10**9} of {options.usd} dollars")
    if not could_ask:
        return 2
    print("nothing differed from what the tests assume" if not differed else f"{differed} things differed")
    return 1 if differed else 0


def _checks(options: argparse.Namespace) -> Iterator[Check]:
    if options.embeddings:
        yield with_vectors.__doc__ or "", with_vectors
        return
    for check in CHECKS:
        if check is with_what_it_answered and options.effort is not None:
            yield check.__doc__ or "", functools.partial(with_what_it_answered, effort=options.effort)
        else:
            yield check.__doc__ or "", check
    if options.image:
        yield with_an_image.__doc__ or "", with_an_image


def _check(llm: Client, checks: Iterable[Check]) -> tuple[int, bool]:
    differed = 0
    for title, check in checks:
        print(f"\n{title}")
        try:
            for assumed, is_so, came in check(llm):
                differed += not is_so
                print(f"  {'as assumed' if is_so else 'DIFFERS   '}  {assumed}: {came}")
        except (AuthenticationFailed, BudgetExceeded, ConfigurationError, UnpricedModel) as error:
            print(f"  cannot go on: {error}", file=sys.stderr)
            return differed, False
        except InferkitError as error:  # the provider's words may quote what was sent, so they are not printed
            differed += 1
            print(f"  DIFFERS     it is answered: {type(error).__name__}: {error}")
    return differed, True


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", help='"provider:model", for example openai:gpt-5-mini')
    parser.add_argument("--usd", default="0.05", help="the most that may be spent, in dollars (0.05)")
    parser.add_argument("--base-url", help="a server that is not known by name")
    parser.add_argument("--key-env", help="the environment variable that holds its key")
    parser.add_argument("--price", nargs=2, metavar=("INPUT", "OUTPUT"), help="dollars for a million tokens")
    parser.add_argument(
        "--effort", metavar="LEVEL", help='how hard it is to think where that is checked, such as "low"'
    )
    parser.add_argument("--image", action="store_true", help="check also that it sees a picture")
    parser.add_argument("--embeddings", action="store_true", help="check the vectors that it gives, and nothing else")
    parser.add_argument("--record", metavar="FILE", help="keep all exchanges on a tape")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
