"""Requests and replies for the tests of the cache."""

from types import SimpleNamespace

from inferkit.core.chunks import Chunk
from inferkit.core.request import Target
from inferkit.core.usage import Usage
from inferkit.testing import make_request

SECONDS = 20  # no test waits this long unless something hangs
REPLY = (Chunk("Hel"), Chunk("lo"), Chunk(finish_reason="stop", usage=Usage(7, 2)))


def stands_for(fingerprint="", model="gpt-5-mini"):
    """Candidates behind a name: a model at a server, which the fingerprint stands for."""
    adapter = SimpleNamespace(fingerprint=fingerprint)
    return (Target("openai", model, adapter),)


def ask(runtime=None, question="Where is my order?", **fields):
    fields.setdefault("candidates", stands_for())
    return make_request(question, model="fast", runtime=runtime).replace(**fields)


def text_of(chunks):
    return "".join(chunk.text for chunk in chunks)
