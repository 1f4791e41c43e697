"""What a newcomer does first, with the wheel and what it asks for, and nothing else: `python -W error smoke.py`.

It runs outside of the checkout, in an environment without extras, against a provider on the loopback.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import threading
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

EXTRAS = ("aiohttp", "botocore", "google.auth", "h2", "numpy", "opentelemetry.exporter", "pytest", "xllamacpp")
MOST_MEGABYTES = 50
REPLY = {
    "id": "c-1",
    "object": "chat.completion",
    "model": "large",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "On its way."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 20, "completion_tokens": 4, "total_tokens": 24},
}


class Provider(BaseHTTPRequestHandler):
    """Answers every question alike, as OpenAI's API does."""

    def do_POST(self) -> None:
        """Answer one question."""
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(REPLY).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Do it, and fail where anything does."""
    assert not [name for name in EXTRAS if _is_there(name)], (
        "an extra is installed: this says nothing of the wheel alone"
    )
    with tempfile.TemporaryDirectory() as home:
        megabytes = memory_after_a_call(home)
        print(f"{megabytes:.1f} MB in memory after a call")
        assert megabytes <= MOST_MEGABYTES, f"that is more than the {MOST_MEGABYTES} MB that the first call may take"
        said = command("--help")
        assert "demo" in said
        assert "report" in said
        shown = command("demo")
        assert "BudgetExceeded" in shown
        assert "inferkit.call" in shown
        report = json.loads(command("report", "--ledger", f"{home}/ledger.db", "--format", "json"))
        assert report, "the report is empty"


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def memory_after_a_call(home: str) -> float:
    """Make a budgeted call, be refused the one that the budget does not cover, and give the memory after the first."""
    import inferkit

    assert "site-packages" in inferkit.__file__, f"this is not the installed wheel, but {inferkit.__file__}"
    from inferkit import Budget, BudgetExceeded, Client, OpenAIChat, Price

    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    shop = OpenAIChat(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="none", name="shop")
    with Client(
        providers={"shop": shop},
        models={"fast": "shop:large"},
        prices={"shop:*": Price(input="1", output="2")},
        budget=Budget(usd="0.0006", per="day", name="each", each="user"),
        home=home,
        ledger=f"{home}/ledger.db",
    ) as llm:
        reply = llm.complete("fast", "Where is my parcel?", user="ana", max_output_tokens=100)
        megabytes = resident()
        assert reply.text == "On its way."
        assert reply.cost == Decimal("0.000028"), reply.cost
        refused = None
        for _ in range(40):  # about twenty are covered
            try:
                llm.complete("fast", "Where is my parcel?", user="ana", max_output_tokens=100, cache="bypass")
            except BudgetExceeded as refusal:
                refused = refusal
        assert refused is not None, "no call was refused"
        assert refused.spent <= refused.limit
        assert llm.complete("fast", "Where is my parcel?", user="ana", max_output_tokens=100).cache == "hit"
        llm.complete("fast", "Where is my parcel?", user="ben", max_output_tokens=100, cache="bypass")
    server.shutdown()
    server.server_close()
    return megabytes


def resident() -> float:
    """Give the memory of this process in MB: of which pages it has, as the kernel counts them."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1000, 1)
    return 0.0


def command(*arguments: str) -> str:
    """Run the installed command without a terminal, and give what it writes."""
    program = str(Path(sys.executable).with_name("inferkit"))
    done = subprocess.run(
        [program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout


if __name__ == "__main__":
    main()
