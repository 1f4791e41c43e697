"""The servers that are known by name, and the table of them in the documentation."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from chat_wire import ask
from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import AudioPart, CustomTool, FilePart, Message, ReasoningPart, Tool, ToolCallPart
from inferkit.providers.openai_chat import OpenAIChat
from inferkit.providers.presets import PRESETS, Preset
from inferkit.providers.wires.chat.quirks import IN_CONTENT, ChatQuirks
from inferkit.providers.wires.chat.wire import CHAT
from inferkit.runtime.direct import DirectRuntime

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"
VARIABLES = {"AZURE_OPENAI_ENDPOINT": "https://acme.openai.azure.com", "AWS_REGION": "eu-central-1"}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("AZURE_OPENAI_ENDPOINT", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


def rows():
    """Say of each server what its preset says."""
    yield "| server | address | key | limit of the reply | reasoning goes back in | takes | is not sent, or otherwise |"
    yield "|---|---|---|---|---|---|---|"
    for name, preset in PRESETS.items():
        quirks = preset.quirks
        takes = ["images"]
        if quirks.audio is not None:
            takes.append("sound")
        if quirks.files is not None:
            takes.append("files, also by address" if quirks.file_urls else "files")
        if quirks.custom_tools:
            takes.append("custom tools")
        back = "parts of the content" if quirks.reasoning_field == IN_CONTENT else quirks.reasoning_field
        notes = []
        if quirks.without:
            notes.append("not " + ", ".join(f"`{field}`" for field in sorted(quirks.without)))
        notes += [f"`{ours}` as `{theirs}`" for ours, theirs in quirks.renames.items()]
        if quirks.short_call_ids:
            notes.append("ids of calls made nine letters long")
        if not quirks.names_tool:
            notes.append("a tool that must be called is sent alone")
        if quirks.logprobs is None:
            notes.append("never says `logprobs`")
        elif quirks.logprobs == "number":
            notes.append("`logprobs` asked for by their number")
        if quirks.thinks_beside:
            notes.append(f"`thinking_budget` and `{quirks.max_tokens_field}` share `max_output_tokens`")
        if quirks.reasoning_tags is not None:
            notes.append(f"reasoning is read between `{quirks.reasoning_tags[0]}` and `{quirks.reasoning_tags[1]}`")
        cells = [
            f"`{name}`",
            f"`{preset.base_url}`".replace("|", " or "),
            f"`{preset.env}`" if preset.env else "none needed",
            f"`{quirks.max_tokens_field}`",
            f"`{back}`" if back and " " not in back else back or "",
            ", ".join(takes),
            "; ".join(notes),
        ]
        yield "| " + " | ".join(cells) + " |"


def test_the_table_in_the_docs_is_that_of_the_presets():
    """INFERKIT_WRITE_DOCS=1 writes it anew."""
    table = "\n".join(rows())
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split("<!-- the servers -->\n", 1)
    old, tail = rest.split("\n<!-- until here -->", 1)
    if os.environ.get("INFERKIT_WRITE_DOCS"):
        PAGE.write_text(f"{head}<!-- the servers -->\n{table}\n<!-- until here -->{tail}", encoding="utf-8")
    assert old == table


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_request_with_everything_is_written_in_each_servers_way(name, monkeypatch):
    for variable, value in VARIABLES.items():
        monkeypatch.setenv(variable, value)
    endpoint, quirks = PRESETS[name].endpoint(), PRESETS[name].quirks
    shown = []
    if quirks.audio is not None:
        shown.append(AudioPart(b"x", "audio/wav"))
    if quirks.files is not None:
        shown.append(FilePart(b"x", "application/pdf", "a.pdf"))
    thought = ReasoningPart("hm", None, {"field": "reasoning_content", "reasoning_details": [{"data": "x"}]})
    call = ToolCallPart("call_1", "find", "{}", {"extra_content": {"google": {}}})
    request = ask(
        DirectRuntime(),
        Message.user("hi", *shown),
        Message.assistant(thought, call),
        Message.tool("call_1", "found"),
        tools=(Tool("find"), *([CustomTool("sql")] if quirks.custom_tools else [])),
        tool_choice="find",
        max_output_tokens=7,
        seed=1,
        prediction="x",
        prompt_cache_key="k",
        prompt_cache_retention="24h",
        logprobs=quirks.logprobs and True,
    )
    sent = json.loads(CHAT.write_request(request, endpoint))
    assert sent[quirks.max_tokens_field] == 7
    assert sent[quirks.renames.get("seed", "seed")] == 1
    whole = json.dumps(sent)
    assert not [field for field in quirks.without if f'"{field}"' in whole]
    if quirks.reasoning_field == IN_CONTENT:
        assert sent["messages"][1]["content"][0]["type"] == "thinking"
    elif quirks.reasoning_field is not None:
        assert sent["messages"][1][quirks.reasoning_field] == "hm"
    assert sent["messages"][1]["tool_calls"][0]["id"] == sent["messages"][2]["tool_call_id"]
    assert (sent["tool_choice"] == "required") is not quirks.names_tool
    assert ("stream_options" in sent) is ("stream_options" not in quirks.without)


def test_an_address_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert PRESETS["bedrock"].address() == "https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1"
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert "eu-central-1" in PRESETS["bedrock"].address()
    for given in (
        "https://acme.openai.azure.com",
        "https://acme.openai.azure.com/",
        "https://acme.openai.azure.com/openai/v1/",
    ):
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", given)
        assert OpenAIChat.preset("azure", api_key="x").endpoint.base_url == "https://acme.openai.azure.com/openai/v1"


def test_a_server_without_an_address_says_what_it_needs():
    with pytest.raises(ConfigurationError, match="azure has no address of its own: .*AZURE_OPENAI_ENDPOINT.*base_url="):
        OpenAIChat.preset("azure")
    with pytest.raises(ConfigurationError, match="AWS_REGION or AWS_DEFAULT_REGION"):
        OpenAIChat.preset("bedrock")
    adapter = OpenAIChat.preset("azure", base_url="https://acme.openai.azure.com/openai/v1")
    assert adapter.endpoint.quirks == PRESETS["azure"].quirks


@pytest.mark.parametrize("region", ["evil.test/", "a b", "x@y", "x?y"])
def test_a_part_of_a_hosts_name_is_only_that(monkeypatch, region):
    monkeypatch.setenv("AWS_REGION", region)
    with pytest.raises(ConfigurationError, match="a part of a host's name"):
        PRESETS["bedrock"].address()


@pytest.mark.parametrize(
    ("server", "address", "owned"),
    [
        ("openai", "https://api.openai.com/v1", True),
        ("openai", "https://eu.api.openai.com/v1", True),
        ("openai", "https://api.openai.com.evil.test/v1", False),
        ("openai", "https://a.b.api.openai.com/v1", False),
        ("azure", "https://acme.openai.azure.com/openai/v1", True),
        ("azure", "https://openai.azure.com/openai/v1", False),
        ("bedrock", "https://bedrock-runtime.eu-central-1.amazonaws.com/openai/v1", True),
        ("bedrock", "https://bedrock-runtime.s3.evil.amazonaws.com/", False),
        ("bedrock", "https://my-bucket.s3.amazonaws.com/", False),
        ("ollama", "http://localhost:11434/v1", False),
        ("openai", "https://[", False),
        ("openai", 7, False),
    ],
)
def test_a_key_in_the_environment_goes_to_its_own_server_alone(server, address, owned):
    assert PRESETS[server].owns(address) is owned


def test_every_server_owns_the_address_that_it_has(monkeypatch):
    for variable, value in VARIABLES.items():
        monkeypatch.setenv(variable, value)
    for preset in PRESETS.values():
        assert preset.owns(preset.address()) is (preset.env is not None)


def test_a_server_of_ones_own_is_described_the_same_way():
    mine = Preset("mine", "https://llm.acme.test/v1", "ACME_KEY", ChatQuirks("max_completion_tokens"))
    adapter = OpenAIChat(
        base_url=mine.address(),
        name="mine",
        quirks=ChatQuirks(renames={"seed": "rng"}),
        max_tokens_field="limit",
        reasoning_field="why",
    )
    assert adapter.endpoint.quirks == ChatQuirks("limit", "why", renames={"seed": "rng"})
