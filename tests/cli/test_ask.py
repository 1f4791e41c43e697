"""`inferkit ask`: one call through what is configured, as a person makes it."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from chat_wire import HELLO, delta
from command import command
from inferkit import SqliteLedger
from inferkit.cli.tracing import CommandTrace
from otlp import Receiver
from wire import UNTIL_CLOSED, Wire, event, reply, sse

__all__ = ["command"]

COMMAND = [sys.executable, "-W", "error", "-m", "inferkit", "ask"]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))


@pytest.fixture
def configured(tmp_path):
    def write(*servers, more=""):
        names = ", ".join(f'"s{number}:m"' for number, _ in enumerate(servers))
        tables = "".join(
            f'[providers.s{number}]\nbase_url = "{server.url}"\n[prices."s{number}:m"]\ninput = 1\noutput = 2\n'
            for number, server in enumerate(servers)
        )
        (tmp_path / "inferkit.toml").write_text(f"models.fast = [{names}]\nmax_retries = 1\n{more}\n{tables}")

    return write


def entries(tmp_path):
    with contextlib.closing(SqliteLedger(tmp_path / "home/ledger.sqlite3")) as ledger:
        charges = [(entry.kind, entry.charge) for entry in ledger.entries()]
    return [(kind, charge.model, charge.usd, charge.estimated) for kind, charge in charges]


def test_the_reply_goes_out_and_what_it_cost_goes_to_the_error_output(command, configured, tmp_path):
    with Wire(lambda _: sse(HELLO)) as server:
        configured(server)
        ran = command("ask", "Where is my order?", "--system", "Be brief.")
        again = command("ask", "Where is my order?", "--system", "Be brief.")
    assert (ran.code, ran.out) == (0, "Hello\n")
    assert ran.said("model fast served by s0:m", "tokens in 20", "out 9", "finish stop", "cost $0.000038, cache miss")
    assert (again.code, again.out) == (0, "Hello\n")
    assert again.said("cost $0, saved $0.000038, cache hit")
    (request,) = server.requests
    assert [message["role"] for message in request.json["messages"]] == ["system", "user"]
    assert max(map(len, ran.err.splitlines())) <= 80


def test_a_fallback_is_shown_as_what_it_was(command, configured):
    with Wire(lambda _: [reply({"error": {"message": "down"}}, 503)]) as down, Wire(lambda _: sse(HELLO)) as up:
        configured(down, up)
        ran = command("ask", "hi")
    assert (ran.code, ran.out) == (0, "Hello\n")
    assert ran.said("attempt primary provider s0", "attempt fallback provider s1")
    assert ran.said("outcome error error Unavailable", "served by s1:m", "out 9")


def test_the_trace_is_drawn_in_the_order_of_what_happened(command, configured):
    with Wire(lambda _: [reply({"error": {"message": "down"}}, 503)]) as down, Wire(lambda _: sse(HELLO)) as up:
        configured(down, up, more='[budget]\nname = "all"\nusd = 1')
        ran = command("ask", "a secret question")
    lines = [" ".join(line.strip(" │├└─").split()) for line in ran.err.splitlines()]
    assert lines[1].startswith("trace ")
    begins = ["inferkit.call ", "· cache", "· budget", "· route", "chat m ", "· retry", "chat m ", "inferkit.stream "]
    found = [next((each for each in begins if each in f"{_untimed(line)} "), None) for line in lines]
    assert [each for each in found if each] == [*begins, "· budget"]
    assert ran.said("decision reserved scope all", "remaining $0.9", "first chunk", "consumer", "decision settled")
    assert "secret" not in ran.err
    assert max(map(len, ran.err.splitlines())) <= 80


def _untimed(line):
    return re.sub(r"· [\d.]+ ms ", "· ", line)


def test_json_has_all_of_it(command, configured):
    with Wire(lambda _: sse(HELLO)) as server:
        configured(server)
        ran = command("ask", "hi", "--json", "--no-cache")
    assert (ran.code, ran.err) == (0, "")
    said = ran.json
    assert (said["text"], said["cost"], said["cache"], said["finish_reason"]) == ("Hello", "0.000038", "bypass", "stop")
    assert [(each["model"], each["outcome"], each["cost"]) for each in said["attempts"]] == [
        ("s0:m", "completed", "0.000038")
    ]
    call, chat, stream = said["trace"]
    assert (call["name"], chat["name"], stream["name"]) == ("inferkit.call", "chat m", "inferkit.stream")
    assert chat["parent_id"] == stream["parent_id"] == call["span_id"]
    assert len({each["trace_id"] for each in said["trace"]}) == 1
    assert chat["attributes"]["gen_ai.usage.output_tokens"] == 9
    assert [event["name"] for event in call["events"]] == ["cache", "route"]
    assert call["start"] == 0 <= chat["start"] <= chat["start"] + chat["seconds"] <= call["seconds"] + 0.001


def test_the_trace_is_sent_where_the_environment_says(command, configured, monkeypatch):
    with Wire(lambda _: sse(HELLO)) as server, Receiver() as collector:
        configured(server)
        env = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.address, "OTEL_TRACES_SAMPLER": "always_off"}
        ran = subprocess.run([*COMMAND, "a secret question"], env=env, stdin=subprocess.DEVNULL, capture_output=True)
        assert (ran.returncode, ran.stdout) == (0, b"Hello\n"), ran.stderr
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.address}/v1/traces")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "night-shift")
        assert command("ask", "hi", "--json").json["text"] == "Hello"
    assert collector.paths == ["/v1/traces", "/v1/traces"]
    assert collector.names() == {"inferkit.call", "chat m", "inferkit.stream"}
    resources = [resource.resource for request in collector.received for resource in request.resource_spans]
    names = [[item.value.string_value for item in each.attributes if item.key == "service.name"] for each in resources]
    assert names == [["inferkit"], ["night-shift"]]
    assert b"secret" not in collector.received[0].SerializeToString()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, "could not be sent to http://127.0.0.1:9"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon"}, 'got "carrier-pigeon"'),
        ({"OTEL_TRACES_EXPORTER": "nobody"}, "install what has the exporter nobody"),
    ],
)
def test_a_trace_that_cannot_be_sent_is_said_and_takes_no_reply_away(command, configured, monkeypatch, variables, said):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with Wire(lambda _: sse(HELLO)) as server:
        configured(server)
        ran = command("ask", "hi")
    assert (ran.code, ran.out) == (0, "Hello\n")
    assert ran.said(said)
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("variables", [{"OTEL_TRACES_EXPORTER": "none,console"}, {"OTEL_SDK_DISABLED": "true"}])
def test_nothing_is_sent_where_the_environment_says_so(command, configured, monkeypatch, variables):
    with Wire(lambda _: sse(HELLO)) as server, Receiver() as collector:
        configured(server)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        ran = command("ask", "hi")
    assert (ran.code, ran.out, collector.paths) == (0, "Hello\n", [])
    assert ran.said("no trace: OTEL_SDK_DISABLED") == ("OTEL_SDK_DISABLED" in variables)


def test_ctrl_c_while_the_trace_is_sent_leaves_the_reply(configured):
    asked = threading.Event()

    def silent(_):
        asked.set()
        return [UNTIL_CLOSED]

    with Wire(lambda _: sse(HELLO)) as server, Wire(silent) as collector:
        configured(server)
        env = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_TIMEOUT": "60"}
        asking = subprocess.Popen(
            [*COMMAND, "hi"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert asked.wait(60)
        asking.send_signal(signal.SIGINT)
        out, err = asking.communicate(timeout=60)
    assert (asking.returncode, out) == (130, b"Hello\n"), err
    assert b"the trace was not sent" in err
    assert b"Traceback" not in err


def test_what_ctrl_c_finds_in_the_making_as_the_trace_is_sent_has_no_say(command, configured, monkeypatch):
    """pytest makes an error of what a thing says that cannot be closed, as a reply of http.client that is half made."""

    class HalfMade:
        def __init__(self):
            raise KeyboardInterrupt

        def __del__(self):
            self.never_made.close()

    def export(_):
        yield HalfMade()

    monkeypatch.setattr(CommandTrace, "export", export)
    with Wire(lambda _: sse(HELLO)) as server:
        configured(server)
        ran = command("ask", "hi")
    assert (ran.code, ran.out) == (130, "Hello\n")
    assert ran.said("interrupted; the trace was not sent")


@pytest.mark.parametrize(
    ("how", "options", "code", "kind"),
    [
        ([reply({"error": {"message": "no"}}, 401)], [], 4, "AuthenticationFailed"),
        ('[budget]\nname = "all"\nusd = "0.0000001"', [], 3, "BudgetExceeded"),
        ([UNTIL_CLOSED], ["--timeout", "0.2"], 5, "DeadlineExceeded"),
        ("", ["--model", "nobody:x"], 1, "NoRoute"),
        ("timeout = 0", [], 1, "ConfigurationFileError"),
    ],
)
def test_each_kind_of_failure_has_an_exit_status_of_its_own(command, configured, how, options, code, kind):  # noqa: PLR0917
    with Wire(lambda _: [] if isinstance(how, str) else how) as server:
        configured(server, more=how if isinstance(how, str) else "")
        ran = command("ask", "hi", *options)
        said = command("ask", "hi", "--json", *options)
    assert (ran.code, ran.out) == (code, "")
    assert f"{kind}: " in ran.err
    assert "Traceback" not in ran.err
    assert said.code == code
    if code != 1:
        assert said.json["error"]["type"] == kind


def test_what_a_provider_said_is_shown_to_who_asked(command, configured):
    with Wire(lambda _: [reply({"error": {"message": "there is no model m"}}, 404)]) as server:
        configured(server)
        assert command("ask", "hi").said("there is no model m")


def test_nothing_to_ask_says_how_to_ask(command, configured):
    assert command("ask").said('nothing was asked: inferkit ask "What is...?", or pipe a text in')


def test_what_is_piped_in_follows_the_question(command, configured, monkeypatch):
    with Wire(lambda _: sse(HELLO)) as server:
        configured(server)
        for arguments in (["Summarise."], []):
            monkeypatch.setattr(sys, "stdin", io.StringIO("a long text\n"))
            assert command("ask", *arguments).out == "Hello\n"
    asked = [request.json["messages"][-1]["content"] for request in server.requests]
    assert asked == ["Summarise.\n\na long text", "a long text"]


def test_ctrl_c_settles_what_was_spent_and_says_so(configured, tmp_path):
    with Wire(lambda _: sse([event(delta("Once upon")), UNTIL_CLOSED])) as server:
        configured(server)
        asking = subprocess.Popen(
            [*COMMAND, "Tell me a story."], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert asking.stdout.read(9) == b"Once upon"
        asking.send_signal(signal.SIGINT)
        rest, err = asking.communicate(timeout=60)
    assert asking.returncode == 130, err
    assert rest == b"\n"
    assert b"interrupted; spent $" in err
    assert b"(estimated)" in err
    assert b"Traceback" not in err
    ((kind, model, usd, estimated),) = entries(tmp_path)
    assert (kind, model, estimated) == ("settled", "m", True)
    assert usd > 0


def test_a_reader_that_left_ends_the_call(configured, tmp_path):
    going = threading.Event()
    with Wire(lambda _: sse([event(delta("one\n")), going, event(delta("two\n")), UNTIL_CLOSED])) as server:
        configured(server)
        asking = subprocess.Popen(
            [*COMMAND, "hi"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert asking.stdout.readline() == b"one\n"
        asking.stdout.close()
        going.set()
        err = asking.stderr.read()
        assert asking.wait(60) == 141, err
        asking.stderr.close()
    assert b"Traceback" not in err
    assert [kind for kind, *_ in entries(tmp_path)] == ["settled"]


def test_a_reply_cannot_move_the_cursor_of_a_terminal(command, configured, monkeypatch):
    with Wire(lambda _: sse([event(delta("a\x1b[2Jb\tc\x9b1md\xa0e", finish="stop")), event("[DONE]")])) as server:
        configured(server)
        assert command("ask", "hi").out == "a\x1b[2Jb\tc\x9b1md\xa0e\n", "a file gets what came"
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        assert command("ask", "hi").out == "a[2Jb\tc1md\xa0e\n"
