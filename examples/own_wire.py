"""A wire of one's own: a small protocol of JSON lines, served through inferkit's stack like any other provider's."""

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer

from inferkit import Chunk, Client, ProviderError, Request, Unavailable, Usage
from inferkit.providers.adapter import Adapter
from inferkit.providers.endpoints import Credential, Endpoint
from inferkit.providers.http.httpx_transport import HttpxTransport


class LineReader:
    """Reads a reply: a line `{"say": ...}` for each piece, and `{"end": ..., "tokens": [in, out]}` for the end."""

    model: str | None = None
    id: str | None = None

    def __init__(self, provider: str) -> None:
        self.failure: ProviderError | None = None
        self.done = False
        self._provider = provider
        self._rest = b""

    @property
    def complete(self) -> bool:
        return self.done

    def feed(self, data: bytes) -> list[Chunk]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [self._chunk(json.loads(line)) for line in lines]

    def _chunk(self, line: dict[str, object]) -> Chunk:
        match line:
            case {"say": str(text)}:
                return Chunk(text, event=line)
            case {"end": str(reason), "tokens": [int(sent), int(received)]}:
                self.done = True
                return Chunk(finish_reason=reason, usage=Usage(sent, received), event=line)
        return Chunk(event=line)

    def end(self) -> list[Chunk]:
        self.failure = Unavailable(f"{self._provider}: its reply was cut off", provider=self._provider)
        return []


class LineWire:
    def path(self, request: Request) -> str:
        return f"/{request.model}/talk"

    def write_request(self, request: Request, endpoint: Endpoint) -> bytes:
        return json.dumps({"turns": [[each.role, each.text] for each in request.messages]}).encode()

    def reader(self, endpoint: Endpoint, headers: Mapping[str, str], *, streamed: bool) -> LineReader:
        return LineReader(endpoint.name)

    def read_error(self, provider: str, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        return Unavailable(f"{provider} answered with HTTP {status}", provider=provider, status=status)


class Server(BaseHTTPRequestHandler):
    """The provider: it says what it was told, word by word."""

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["content-length"])))["turns"][-1][1]
        words = [f"{word} " for word in said.split()]
        lines = [{"say": word} for word in words] + [{"end": "stop", "tokens": [len(words), len(words)]}]
        self.send_response(200)
        self.end_headers()
        for line in lines:
            self.wfile.write(json.dumps(line).encode() + b"\n")

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = Endpoint("parrot", f"http://127.0.0.1:{server.server_port}", Credential("secret"))
        parrot = Adapter(LineWire(), endpoint, HttpxTransport())
        with Client(providers={"parrot": parrot}, models={"fast": "parrot:grey"}, cache=False, ledger=False) as llm:
            with llm.stream("fast", "Who is a pretty bird?") as reply:
                for chunk in reply:
                    print(chunk.text, end="")
            print(reply.reply.usage)
        parrot.close()
        server.shutdown()
