"""Clients that are set up by a file and by the environment, against servers on the loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from decimal import Decimal

import anyio
import pytest

from chat_wire import HELLO, completion
from inferkit import AsyncClient, BudgetExceeded, Client, ConfigurationError, ConfigurationFileError, NoRoute
from inferkit.client.configuration.configuration import NOT_IN_FILES, read_configuration
from inferkit.client.settings import SETTINGS
from wire import Wire, reply, sse

PAID = {"input": 1, "output": 1}
EVERYTHING = """
default = "fast"
routes = { fast = ["fits", "cheapest"], smart = { policy = "weighted", weights = { "work:big" = 1 } } }
transport = { library = "httpx", max_connections = 7, timeouts.read = 20 }
on_unpriced = { input = 1, output = "2.50" }
default_plan = "free"
cache = { ttl = 60, memory = { max_entries = 5 }, disk = { size_limit = 2_000_000, folder = "replies" } }
ledger = "spent.db"
on_store_error = "allow"
estimates = "learned"
max_retries = 1
on_interrupt = "continue"
failover = { filtered = "elsewhere" }
follow_limits = false
share = false
hedge = { quantile = 0.9, rules = { ratio = 0.5 } }
timeout = 30.5
home = "data"
preload = false

[models]
fast = "work:small"
smart = ["work:big", "mine:any", "local"]

[providers.work]
base_url = "http://127.0.0.1:9/v1"
api_key_env = "WORK_KEY"
headers = { x-team = "support" }
quirks = { max_tokens_field = "max_completion_tokens", files = false, without = ["prediction"] }
embeddings = { max_inputs = 8 }
free_fields = ["trace"]
timeouts = { connect = 1 }

[providers.mine]
preset = "vllm"
base_url = "http://127.0.0.1:9/v1"
quirks.reasoning_field = "thoughts"
transport = "httpx"

[providers.claude]
wire = "anthropic"
base_url = "http://127.0.0.1:9/v1"
api_key_env = "CLAUDE_KEY"
max_tokens = 100

[providers.google]
wire = "gemini"
base_url = "http://127.0.0.1:9/v1"

[providers.answers]
wire = "responses"
base_url = "http://127.0.0.1:9/v1"

[[budget]]
name = "all"
usd = "200.10"
warn_at = [0.5, "0.8"]

[[budget]]
name = "each-user"
calls = 5
per = { hours = 5 }
each = "user"

[plans.free]
allowance = { calls = 10 }

[plans.pro]
price = 99.90
allowance = "unlimited"

[prices."work:small"]
input = 0.25
output = "2"
above.200_000 = { input = 1, output = 4 }

[limits."work:*"]
requests_per_minute = 500
concurrent = 50

[health]
retries = false
breaker = { failures = 9, cooldown = 0.5 }
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(path, text):
    path.write_text(textwrap.dedent(text), "utf-8")
    return path


def test_everything_that_a_client_is_set_up_with_may_stand_in_a_file(tmp_path, monkeypatch):
    monkeypatch.delenv("INFERKIT_HOME")
    found = read_configuration(write(tmp_path / "inferkit.toml", EVERYTHING)).settings()
    assert found.keys() == SETTINGS.keys() - NOT_IN_FILES
    assert (found["home"], found["ledger"]) == (str(tmp_path / "data"), str(tmp_path / "spent.db"))
    assert (found["timeout"], found["transport"].max_connections, found["transport"].timeouts.read) == (30.5, 7, 20)
    assert (found["health"].retries, found["health"].breaker.failures) == (None, 9)
    first, second = found["budget"]
    assert (first.usd, first.warn_at, second.per.total_seconds()) == ("200.10", (Decimal("0.5"), "0.8"), 18_000)
    assert [(plan.name, plan.price) for plan in found["plans"]] == [("free", 0), ("pro", Decimal("99.90"))]
    price = found["prices"]["work:small"]
    assert (price.input, price.above[200_000].output) == (Decimal("0.25"), 4)
    work, mine = found["providers"]["work"].endpoint, found["providers"]["mine"].endpoint
    assert (work.name, work.headers["x-team"], work.credential.env) == ("work", "support", "WORK_KEY")
    assert (work.quirks.files, work.quirks.without, work.embeddings.max_inputs) == (None, {"prediction"}, 8)
    assert (mine.quirks.reasoning_field, mine.quirks.custom_tools, mine.credential.env) == ("thoughts", False, None)
    assert found["providers"]["claude"].endpoint.quirks.max_tokens == 100
    with Client.from_config() as llm:
        assert set(llm.models) == {"fast", "smart"}
        assert [one.name for one in llm.explain("fast", "hi", user="ana").candidates] == ["work:small"]


def test_a_call_goes_where_the_file_says_with_the_key_that_the_environment_has(tmp_path, monkeypatch):
    with Wire(lambda _: [reply(completion("On its way."))]) as server:
        write(
            tmp_path / "pyproject.toml",
            f"""
            [tool.inferkit]
            cache = false
            [tool.inferkit.models]
            fast = "shop:small"
            [tool.inferkit.providers.shop]
            base_url = "{server.url}"
            api_key_env = "SHOP_KEY"
            [tool.inferkit.prices."shop:small"]
            input = 1
            output = 2
            [tool.inferkit.budget]
            name = "all"
            calls = 1
            """,
        )
        monkeypatch.setenv("SHOP_KEY", "secret-1")
        with Client.from_config() as llm:
            assert llm.complete("fast", "Where is my order?").cost == Decimal("0.000038")
            with pytest.raises(BudgetExceeded):
                llm.complete("fast", "And now?")
        assert server.wait_until_closed()  # what the file made, its client closes
    assert server.requests[0].headers["authorization"] == "Bearer secret-1"


def test_both_clients_are_set_up_so(tmp_path):
    with Wire(lambda _: sse(HELLO)) as server:
        write(
            tmp_path / "inferkit.toml", f'models.a = "s:m"\ncache = false\n[providers.s]\nbase_url = "{server.url}"\n'
        )

        async def ask():
            async with AsyncClient.from_config(ledger=False) as llm, llm.stream("hi") as stream:
                return "".join([chunk.text async for chunk in stream])

        assert anyio.run(ask) == "Hello"
        with Client.from_config(portal=True) as llm, llm.stream("hi") as stream:
            assert "".join(chunk.text for chunk in stream) == "Hello"


def test_arguments_go_before_the_environment_and_that_before_the_file(tmp_path, monkeypatch):
    write(tmp_path / "inferkit.toml", 'timeout = 1\nmax_retries = 1\non_interrupt = "continue"\nhome = "file"\n')
    monkeypatch.setenv("INFERKIT_TIMEOUT", " 2.5 ")
    monkeypatch.setenv("INFERKIT_MAX_RETRIES", "2")
    monkeypatch.setenv("INFERKIT_ESTIMATES", "")
    found = read_configuration().settings({"timeout": 3, "max_retries": None, "cache": False})
    assert found == {"timeout": 3, "max_retries": 2, "on_interrupt": "continue", "cache": False}
    monkeypatch.delenv("INFERKIT_HOME")
    assert read_configuration().settings()["home"] == str(tmp_path / "file")


def test_what_the_environment_says_of_the_transport_leaves_the_rest_of_it(tmp_path, monkeypatch):
    write(tmp_path / "inferkit.toml", 'transport = { library = "aiohttp", max_connections = 3 }\n')
    monkeypatch.setenv("INFERKIT_TRANSPORT", "httpx")
    transport = read_configuration().settings()["transport"]
    assert (transport.library, transport.max_connections) == (None, 3)
    write(tmp_path / "inferkit.toml", 'transport = "aiohttp"\n')
    assert "transport" not in read_configuration().settings()


def test_an_argument_replaces_what_the_file_says_even_where_that_is_wrong(tmp_path):
    write(tmp_path / "inferkit.toml", "timeout = 0\n[models]\na = 'nobody:x'\n")
    with Client.from_config(timeout=5, models={"b": "local"}, ledger=False, cache=False) as llm:
        assert set(llm.models) == {"b"}


def test_nothing_found_is_a_client_with_defaults():
    with Client.from_config(ledger=False, cache=False) as llm:
        assert set(llm.models) == {"local"}


def test_what_lies_beside_the_file_is_named_from_there(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/tiny.gguf").write_bytes(b"")
    models = 'a = "local:tiny.gguf"\nb = ["local:some-package", "local"]\n'
    path = write(tmp_path / "etc/inferkit.toml", f"[models]\n{models}")
    found = read_configuration(path).settings()["models"]
    assert found == {"a": [f"local:{tmp_path}/etc/tiny.gguf"], "b": ["local:some-package", "local"]}


def test_a_mistake_in_the_file_of_plans_has_its_place_there_too(tmp_path):
    text = '[plans.free]\nallowance = "unlimited"\n\n[plans.pro]\nallowance = { usd = 0 }\n'
    plans = write(tmp_path / "plans.toml", text)
    places, message = wrong(tmp_path / "inferkit.toml", 'plans = "plans.toml"\n')
    assert places == ["1:1"]
    assert f"in {plans}, the allowance of plan" in message
    assert "(line 5, column 15)" in message


def wrong(path, text):
    write(path, text)
    with pytest.raises(ConfigurationFileError) as raised:
        Client.from_config(path)
    error = raised.value
    places = [line.removeprefix(f"{path}:").split(": ", 1)[0] for line in str(error).split("\n")]
    assert places[0] == f"{error.line}:{error.column}"
    assert error.file == str(path)
    return places, str(error)


@pytest.mark.parametrize(
    ("text", "places", "said"),
    [
        (
            "timeout = -1",
            ["1:11"],
            "timeout is a number of seconds greater than 0 (for no limit None, or no line in a file); got -1",
        ),
        ("timeout = inf", ["1:11"], "for no limit None, or no line in a file); got Infinity"),
        ("max_retries = true", ["1:15"], "max_retries is 0 or more, a whole number; got true"),
        ("cache = 1", ["1:9"], "cache is true, false or a Cache"),
        ("[cache]\ndisc = false", ["2:1"], "there is no disc here; what may stand here is: disk, max_reply_characters"),
        ("cache = {memory = {max_entries = 'a'}}", ["1:20"], "max_entries is a whole number; got a text"),
        ("on_interrupt = 'go on'", ["1:16"], 'on_interrupt is "raise" or "continue"; got a text'),
        ("transport.max_conections = 3", ["1:11"], "there is no max_conections here (did you mean max_connections?)"),
        ("transport = 'carrier pigeon'", ["1:13"], 'transport is "httpx", "aiohttp" or an Http'),
        ("hedge = { quantile = 3 }", ["1:11"], "quantile is between 0 and 1"),
        ("[hedge]\nrules.ratio = 11", ["2:7"], "ratio is from 0 to 10"),
        ("health.breaker = { failures = 0 }", ["1:20"], "failures is 1 or more"),
        ("failover.filtered = 'elsewere'", ["1:10"], '(did you mean "elsewhere"?)'),
        ("[failover.fast]\nto_long = 'raise'", ["2:1"], "there is no to_long here (did you mean too_long?)"),
        ("limits.'a:*' = { concurrent = 1.5 }", ["1:18"], "concurrent is a whole number; got 1.5"),
        ("[limits]\n'a:*' = 3", ["2:9"], "a:* is a table; got 3"),
        ("[models]\nfast = ['local', 'opnai:gpt-5']", ["2:18"], '"opnai:gpt-5" (did you mean openai?)'),
        ("[models]\nfast = []", ["2:8"], 'fast is "provider:model", or a list of such'),
        ("models.a = 'local'\ndefault = 'b'", ["2:11"], 'no model stands behind "b"'),
        ("[routes]\nfast = 'cheepest'", ["2:1"], "there is no policy 'cheepest'"),
        ("[routes]\nfast = 'cheapest'", ["1:1"], 'routes= has a policy for "fast", but no model stands behind'),
        ("[budget]\nusd = '1O'\nname = 'all'", ["2:1"], 'budget "all": a budget\'s usd is a plain number of dollars'),
        ("[budget]\nusd = 1\nname = 'a'\nper = 'monht'", ["4:1"], "a budget's period is one of call, hour"),
        ("[[budget]]\nusd = 1", ["1:1"], "needs a name"),
        ("[[budget]]\nname = 'a'\nuds = 1", ["3:1"], 'budget "a" has no uds'),
        ("budget = 5", ["1:10"], "budget is a table, or several: [[budget]]"),
        ("[plans.pro.allowance]\nusd = 0", ["2:1"], "a budget of zero dollars allows nothing"),
        ("[plans.pro]\nprce = 1", ["2:1"], 'plan "pro" has no prce (did you mean price?)'),
        ("plans = 'none.toml'", ["1:1"], "none.toml cannot be read"),
        ("default_plan = 'free'", ["1:1"], "default_plan names one of the plans"),
        ("[prices.'a:b']\ninput = 1", ["1:1"], 'the price of "a:b" says nothing of output'),
        ("[prices.'a:b']\ninput=1\noutput=1\nabove.9 = {input=1,outputs=1}", ["4:20"], "has no outputs (did you mean"),
        ("[providers.a]\nbas_url = 'http://x'", ["2:1"], "there is no bas_url here (did you mean base_url?)"),
        ("[providers]\na = 'http://x'", ["2:5"], "a is a table: [providers.work]"),
        ("[providers.a]\npreset = 'vlm'", ["2:10"], "preset is one of azure"),
        ("[providers.a]\nwire = 'chat'\npreset = 'vllm'", ["3:1"], "leave one of the two out"),
        ("[providers.a]\nbase_url = 'ftp://x'", ["2:1"], "base_url= must begin with http"),
        ("[providers.a]\nbase_url = 'http://x'\nquirks = {audio = 'plane'}", ["3:11"], '(did you mean "plain"?)'),
        ("[providers.a]\nbase_url = 'http://x'\ntimeouts.read = 'a'", ["3:10"], "read is a number; got a text"),
        ("[providers.a]\nwire = 'gemini'\nembeddings = true", ["3:1"], "only servers that speak the wire chat"),
        ("timeout = 0\n[hedge]\nleast = 0\n[modles]", ["4:1"], "there is no setting modles (did you mean models?)"),
        ("timeout = 0\n[hedge]\nleast = 0", ["1:11", "3:1"], "least a number of calls from 1"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_column(tmp_path, text, places, said):
    found, message = wrong(tmp_path / "inferkit.toml", text + "\n")
    assert found == places, message
    assert said in message


@pytest.mark.parametrize(
    "line",
    [
        'api_key = "sk-very-secret"',
        'key = "sk-very-secret"',
        'headers = { Authorization = "Bearer sk-very-secret" }',
        'headers.x-api-key = "sk-very-secret"',
        'api_key_env = "sk-very-secret"',
        'api_key_env = "gsk_very_secret"',
        "api_key_env = ['sk-very-secret']",
        'headers = "sk-very-secret"',
        'timeouts = "sk-very-secret"',
        'base_url = "https://ana:sk-very-secret@host/v1"',
        'base_url = "https://host/v1?key=sk-very-secret"',
    ],
)
def test_a_key_in_the_file_is_refused_and_never_repeated(tmp_path, line):
    base = "" if line.startswith("base_url") else 'base_url = "https://host/v1"\n'
    found, message = wrong(tmp_path / "inferkit.toml", f"[providers.work]\n{base}{line}\n")
    assert found[0].startswith("3:" if base else "2:"), message
    assert "secret" not in message
    if "key" in line.split("=")[0] or "https" in line or "Authorization" in line:
        assert "environment variable" in message


def test_a_key_at_the_top_is_refused_too(tmp_path):
    _, message = wrong(tmp_path / "inferkit.toml", 'api_key = "sk-very-secret"\n')
    assert "name the environment variable that holds it" in message
    assert "secret" not in message


def test_what_the_code_got_wrong_is_not_laid_to_the_file(tmp_path):
    write(tmp_path / "inferkit.toml", "timeout = 3\n")
    with pytest.raises(NoRoute):
        Client.from_config(models={"a": "nobody:x"})
    with pytest.raises(ConfigurationError, match="unknown setting tiemout") as raised:
        Client.from_config(tiemout=3)
    assert not isinstance(raised.value, ConfigurationFileError)


SILENT = """
import json, os, sys
from inferkit import Client
from inferkit.testing import FakeProvider

def make(way):
    fake = {"providers": {"f": FakeProvider("Hi.")}, "models": {"a": "f:m"}}
    if way == "from_config":
        return Client.from_config(**fake)
    return Client(**fake, **({"plans": "plans.toml", "default_plan": "free"} if way == "plans" else {}))

os.environ["INFERKIT_HOME"] = "before"
with make("from_config") as llm:  # everything that is imported is there after this
    llm.complete("hi", user="ana")
EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.scandir", "sqlite3.connect", "socket.connect"}
CONFIGURATION = ("inferkit.toml", "plans.toml", "/UTC")
seen = []
sys.addaudithook(lambda event, args: seen.append((event, str(args[0]))) if event in EVENTS else None)
for way in ("Client", "from_config", "plans"):
    os.environ["INFERKIT_HOME"] = way
    seen.clear()
    llm = make(way)
    touched, there = [each for each in seen if not each[1].endswith(CONFIGURATION)], os.path.exists(way)
    llm.complete("hi", user="ana")
    print(json.dumps([touched, there, os.path.exists(way + "/ledger.sqlite3")]))
    llm.close()
"""


def test_a_client_that_was_never_asked_has_touched_no_disk_but_for_its_configuration(tmp_path):
    write(tmp_path / "plans.toml", "[plans.free]\nallowance = { calls = 10 }\n")
    write(tmp_path / "inferkit.toml", 'plans = "plans.toml"\ndefault_plan = "free"\n')
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SILENT], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines == [[[], False, True]] * 3, done.stderr


def test_the_ordinary_way_imports_nothing_that_reads_files():
    script = (
        "import json, sys; from inferkit import Client; Client(ledger=False, cache=False).close(); "
        "print(json.dumps(sorted(sys.modules)))"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=clean)
    loaded = set(json.loads(done.stdout))
    assert not loaded & {"pydantic", "tomllib", "inferkit.client.configuration.configuration", "inferkit.plans.models"}
