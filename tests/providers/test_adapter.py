"""A wire, an endpoint and a transport put together: what goes where, and nothing lost on the way there and back."""

from __future__ import annotations

import json

import pytest

from chat_wire import ask, completion, delta
from inferkit import Client, Message
from inferkit.core.chunks import Chunk
from inferkit.core.errors import ConfigurationError, InvalidRequest
from inferkit.core.messages import ImagePart, RefusalPart
from inferkit.providers.adapter import Adapter
from inferkit.providers.endpoints import Credential, Endpoint
from inferkit.providers.openai_chat import OpenAIChat
from inferkit.providers.wires.chat.quirks import ChatQuirks
from inferkit.providers.wires.chat.wire import CHAT
from inferkit.runtime.direct import DirectRuntime, drive
from wire import SSE_HEAD, Wire, chunked, event, reply, sse

SECRET = "sk-very-secret"


class Played:
    """A transport that plays pieces of a body."""

    def __init__(self, *pieces, status=200):
        self.status = status
        self.headers = {}
        self.sent = []
        self.closed = 0
        self._pieces = list(pieces)

    async def post(self, url, headers, body, **_):
        self.sent.append((url, dict(headers), body))
        return self

    async def read(self):
        return self._pieces.pop(0) if self._pieces else b""

    async def read_error(self):
        return b"".join(self._pieces)

    def end_within(self, seconds):
        pass

    def holds_more(self):
        return False

    async def finish(self):
        await self.aclose()

    async def aclose(self, runtime=None):
        self.closed += 1


def adapter(transport, **fields):
    fields = {"base_url": "https://acme.test/v1", "credential": Credential(SECRET)} | fields
    return Adapter(CHAT, Endpoint("acme", **fields), transport)


def test_an_endpoint_says_where_a_request_goes_and_as_whom():
    transport = Played(*[event(delta("Hi", finish="stop"))] * 3)
    azure = {
        "base_url": "https://acme.test/openai/?api-version=7",
        "path": "/deployments/{model}/chat/completions?x=1",
        "credential": Credential(SECRET, header="api-key", scheme=""),
        "headers": {"X-Title": "mine"},
        "quirks": ChatQuirks("max_completion_tokens"),
    }
    drive(adapter(transport, **azure)(ask(DirectRuntime(), model="gpt 5/..", max_output_tokens=7)))
    url, headers, body = transport.sent[0]
    assert url == "https://acme.test/openai/deployments/gpt%205%2F../chat/completions?x=1&api-version=7"
    assert (headers["api-key"], headers["x-title"]) == (SECRET, "mine")
    assert "authorization" not in headers
    assert b'"max_completion_tokens":7' in body


def test_what_one_read_brought_is_one_batch_and_what_broke_it_comes_after_it():
    first = b"".join(map(event, [delta("A"), delta("B"), delta("C")]))
    transport = Played(first, event(delta("D")) + event({"error": {"code": 503}}))
    response = drive(adapter(transport)(ask(DirectRuntime())))
    assert [chunk.text for chunk in drive(response.next_batch())] == ["A", "B", "C"]
    assert [chunk.text for chunk in drive(response.next_batch())] == ["D"]
    with pytest.raises(Exception, match="acme answered with an error"):
        drive(response.next_batch())
    assert transport.closed


def test_a_whole_reply_gives_its_connection_back_before_it_is_read():
    transport = Played(json.dumps(completion("Hi")).encode())
    response = drive(adapter(transport)(ask(DirectRuntime(), stream=False)))
    assert transport.closed == 1
    assert [chunk.text for chunk in drive(response.read())] == ["Hi"]


def test_a_secret_is_not_shown():
    endpoint = Endpoint("acme", f"https://acme.test/v1?key={SECRET}", Credential(SECRET), {"x": SECRET})
    one = Adapter(CHAT, endpoint, Played())
    for shown in (repr(endpoint), repr(endpoint.credential), repr(one), one.fingerprint):
        assert SECRET not in shown
    assert repr(one) == "Adapter(name='acme', base_url='https://acme.test/v1')"
    assert repr(Credential(env="MY_KEY")) == "Credential(env='MY_KEY')"


def refused(said, *, key, code=None):
    """Give the error of a server that refuses with these words."""
    transport = Played(json.dumps({"error": {"message": said, "code": code}}).encode(), status=400)
    with pytest.raises(InvalidRequest) as caught:
        drive(adapter(transport, credential=Credential(key))(ask(DirectRuntime())))
    return caught.value


def test_a_key_that_a_server_repeats_is_taken_out_of_its_words():
    error = refused(f"the key {SECRET} and x{SECRET}y are wrong", key=SECRET, code=SECRET)
    assert error.detail == "the key [removed] and x[removed]y are wrong"
    assert SECRET not in f"{error} {error.code}"


@pytest.mark.parametrize("key", ["e", "key", "keys"])
def test_a_very_short_key_is_taken_out_where_it_stands_by_itself_and_not_out_of_words(key):
    said = "the monkeys of keyspace: {0}, '{0}' and Bearer {0}; everyone_{0}_here"
    expected = "the monkeys of keyspace: {0}, '{0}' and Bearer {0}; everyone_KEY_here".format("[removed]")
    assert refused(said.format(key), key=key).detail == expected.replace("KEY", key)
    assert refused("no", key=key, code="model_keyed").code == "model_keyed"
    assert refused("no", key=key, code=key).code is None


def test_a_fingerprint_follows_the_key_and_the_way_it_is_sent(monkeypatch):
    one = adapter(Played(), credential=Credential(env="MY_KEY"))
    prints = [one.fingerprint]
    for key in ("a", "b"):
        monkeypatch.setenv("MY_KEY", key)
        assert one.fingerprint == one.fingerprint
        prints.append(one.fingerprint)
    prints.append(adapter(Played(), credential=Credential("b"), path="/other").fingerprint)
    assert len(set(prints)) == 4


def test_an_endpoint_that_makes_no_sense_is_refused():
    for fields, says in (({"base_url": "acme"}, "base_url="), ({"headers": [("a", "b")]}, "headers=")):
        with pytest.raises(ConfigurationError, match=says):
            adapter(Played(), **fields)
    nobody = adapter(Played(), credential=Credential(env="NO_KEY"))
    with pytest.raises(ConfigurationError, match="set the environment variable NO_KEY"):
        drive(nobody(ask(DirectRuntime())))


SAID = {
    "content": "",
    "reasoning": "hm",
    "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s"}],
    "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}}],
    "annotations": [{"type": "url_citation", "url_citation": {"url": "https://a"}}],
}


def streamed(message):
    last = delta(finish="stop") | {"citations": ["https://a"]}
    return [
        SSE_HEAD,
        *[chunked(event(each)) for each in (delta(**message), last)],
        chunked(event("[DONE]")),
        chunked(b""),
    ]


@pytest.mark.parametrize("message", [SAID, {"content": "", "audio": {"id": "a", "data": "eA=="}}])
def test_a_hit_is_the_same_reply_with_everything_that_it_had(tmp_path, message):
    """Also in another process: the second client reads what is on the disk."""
    with Wire(lambda _: streamed(message)) as wire:
        replies = []
        for _ in range(2):
            provider = OpenAIChat(base_url=wire.url, reasoning_field="reasoning")
            settings = {"providers": {"p": provider}, "models": {"fast": "p:m"}, "ledger": False, "home": tmp_path}
            with Client(**settings) as llm:
                replies += [llm.complete("fast", "Draw") for _ in range(2)]
            provider.close()
        assert len(wire.requests) == 1
    assert [each.cache for each in replies] == ["miss", "hit", "hit", "hit"]
    first = replies[0]
    assert first.extra["citations"] == ["https://a"]
    for hit in replies[1:]:
        assert (hit.text, hit.reasoning, hit.finish_reason) == (first.text, first.reasoning, first.finish_reason)
        assert (hit.message, hit.extra) == (first.message, first.extra)


def test_the_message_of_a_reply_goes_on_with_the_conversation():
    with Wire(lambda _: [reply(completion(**SAID))]) as wire:
        provider = OpenAIChat(base_url=wire.url, reasoning_field="reasoning")
        with Client(providers={"p": provider}, models={"fast": "p:m"}, ledger=False, cache=False) as llm:
            first = llm.complete("fast", "Draw")
            llm.complete("fast", [Message.user("Draw"), first.message, Message.user("Larger")])
        provider.close()
        sent = wire.requests[1].json["messages"][1]
    assert sent == {"role": "assistant", "content": None} | {
        name: value for name, value in SAID.items() if name not in {"content", "annotations"}
    }
    assert any(isinstance(part, ImagePart) for part in first.message.parts)


def test_a_refusal_is_seen_as_it_streams():
    with Wire(lambda _: sse(map(event, [delta(refusal="I can"), delta(refusal="not."), delta(finish="stop")]))) as wire:
        provider = OpenAIChat(base_url=wire.url)
        chunks = drive(drive(provider(ask(DirectRuntime()))).read())
        provider.close()
    assert [chunk._replace(event=None) for chunk in chunks] == [
        Chunk("I can", parts=(RefusalPart(""),)),
        Chunk("not.", parts=(RefusalPart(""),)),
        Chunk(finish_reason="refusal"),
    ]
