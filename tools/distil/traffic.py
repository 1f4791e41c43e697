"""A data set from recorded traffic: `python -m distil.traffic TAPE... --out data.jsonl`.

A tape (`inferkit.testing.tape`) holds requests and replies as they went over the wire, bodies included. What the user
asked last becomes the message and what the model replied the answer, for every exchange that ended well. Whose replies
they are and who may learn from them is for you to know: a tape holds what people wrote.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from inferkit.core.errors import ConfigurationError
from inferkit.providers.endpoints import Endpoint
from inferkit.providers.wires.anthropic.wire import AnthropicWire
from inferkit.providers.wires.chat.wire import ChatWire
from inferkit.providers.wires.gemini.wire import GeminiWire
from inferkit.providers.wires.responses.wire import ResponsesWire
from inferkit.testing.tape import Recorded, Tape

from .dataset import DatasetError, Example, example, save, without_conflicts

_WIRES: dict[str, type[Any]] = {
    "/chat/completions": ChatWire,
    "/messages": AnthropicWire,
    "/responses": ResponsesWire,
    "enerateContent": GeminiWire,
}


def examples_of(exchanges: Sequence[Recorded]) -> Iterator[Example | str]:
    """For each exchange what there is to learn from it, or why there is nothing."""
    for exchange in exchanges:
        try:
            yield _example(exchange)
        except DatasetError as error:
            yield str(error)
        except (ConfigurationError, ValueError):
            yield "its request or reply cannot be read"


def _example(exchange: Recorded) -> Example:
    address = urlsplit(exchange.url)
    wire = next((kind() for end, kind in _WIRES.items() if address.path.endswith(end)), None)
    if wire is None:
        raise DatasetError("its address is not that of a chat")
    if exchange.status != 200 or exchange.end != "complete":
        raise DatasetError("it did not end well")
    fields = wire.read_request(json.loads(exchange.body))
    if isinstance(wire, GeminiWire):
        fields |= wire.read_path(address.path)
    asked = [message.text for message in fields["messages"] if message.role == "user"]
    endpoint = Endpoint("tape", f"{address.scheme}://{address.netloc}")
    reader = wire.reader(endpoint, dict(exchange.headers), streamed=bool(fields.get("stream")))
    chunks = [*reader.feed(exchange.reply), *reader.end()]
    if reader.failure is not None:
        raise DatasetError("it did not end well")
    return example({"message": asked[-1] if asked else "", "answer": "".join(chunk.text or "" for chunk in chunks)})


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the data set and says what was left out, and why."""
    parser = argparse.ArgumentParser(prog="python -m distil.traffic", description=__doc__)
    parser.add_argument("tapes", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        found = [one for path in options.tapes for one in examples_of(Tape.read(path).exchanges)]
    except (ConfigurationError, OSError) as error:
        print(f"distil: {error}", file=sys.stderr)
        return 2
    kept = without_conflicts([one for one in found if isinstance(one, Example)])
    for why, times in Counter(one for one in found if isinstance(one, str)).most_common():
        print(f"left out {times}: {why}")
    save(kept, options.out)
    print(f"{len(kept)} of {len(found)} exchanges are examples, with doubles and contradictions left out")
    return 0 if kept else 2


if __name__ == "__main__":
    sys.exit(main())
