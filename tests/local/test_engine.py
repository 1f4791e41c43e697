"""The engine over a real worker process and real model files."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import tiny_gguf
from inferkit.core.errors import ConfigurationError, InvalidRequest, ModelFileError, Unavailable
from inferkit.local import process
from inferkit.local.engine import Engine, Settings
from inferkit.local.errors import ContextOverflow, EngineUnavailable, WorkerDied
from inferkit.local.protocol import FRAME_LIMIT
from inferkit.runtime import forks
from local_calls import SECONDS, ask, finish, frames
from tiny_gguf import NORMAL

TESTS = Path(__file__).parent.parent


def wait_until_dead(pid: int) -> None:
    """Wait for a process that need not be our child."""
    descriptor = os.pidfd_open(pid) if Path(f"/proc/{pid}").exists() else None
    if descriptor is not None:
        with os.fdopen(descriptor, "rb", closefd=True) as handle:
            assert select.select([handle], [], [], SECONDS)[0], f"process {pid} still runs"


def stop(pid: int) -> None:
    """Halt a child, and wait until it stands still."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


def in_mid_stream(engine: Engine, **options: object):
    """Open a call and read it until text comes."""
    call = engine.open({"prompt": "a", **options})
    while not any("text" in frame for frame in frames(call)):
        pass
    return call


class TestReplies:
    def test_a_model_says_what_its_weights_say(self, start, tmp_path):
        spec = tiny_gguf.scripted(["▁a", "▁the", "▁hello", "lo", "</s>"])
        reply = ask(start(spec.write(tmp_path / "m.gguf")), "a")
        assert reply.text == " the hellolo"
        assert reply.end["end"] == "stop"

    def test_tokens_are_counted(self, start, tmp_path):
        spec = tiny_gguf.scripted(["▁a", "▁the", "▁hello", "lo", "</s>"])
        reply = ask(start(spec.write(tmp_path / "m.gguf")), "a")
        assert (reply.end["prompt"], reply.end["cached"], reply.end["output"]) == (2, 0, 4)

    def test_a_reply_ends_at_its_token_limit(self, start, endless_path):
        reply = ask(start(endless_path), "a", max_tokens=7)
        assert (reply.text, reply.end["end"], reply.end["output"]) == ("bcccccc", "length", 7)

    def test_a_reply_ends_where_the_context_is_full(self, start, tmp_path):
        path = tiny_gguf.scripted(["▁a", "b", "c"], context=16).write(tmp_path / "m.gguf")
        reply = ask(start(path), "a", max_tokens=1000)
        assert (reply.end["end"], reply.end["output"]) == ("length", 14)

    def test_a_character_of_several_tokens_comes_whole(self, start, tmp_path):
        spec = tiny_gguf.scripted(["▁a", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "b", "</s>"])
        reply = ask(start(spec.write(tmp_path / "m.gguf")), "a")
        assert reply.texts == ["😀", "b"]

    def test_a_character_cut_by_the_limit_is_replaced_and_not_dropped(self, start, tmp_path):
        spec = tiny_gguf.scripted(["▁a", "b", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "</s>"])
        assert ask(start(spec.write(tmp_path / "m.gguf")), "a", max_tokens=3).text == "b�"

    def test_a_stop_sequence_across_tokens_ends_the_reply_before_it(self, start, tmp_path):
        spec = tiny_gguf.scripted(["▁a", "b", "c", "d", "e", "f", "</s>"])
        engine = start(spec.write(tmp_path / "m.gguf"))
        reply = ask(engine, "a", stop=["de"])
        assert (reply.text, reply.end["end"], reply.end["output"]) == ("bc", "stop", 4)
        assert ask(engine, "a", stop=["dx", "fg"]).text == "bcdef"

    def test_messages_are_written_in_the_files_own_form(self, start, tmp_path):
        chain = ["<|answer|>", "{", "}", "</s>"]
        engine = start(tiny_gguf.scripted(chain, prompt_format="triage").write(tmp_path / "m.gguf"))
        reply = finish(engine.open({"messages": [["system", "x"], ["user", "hello  the\nend"]]}))
        assert (reply.text, reply.start["start"]["format"]) == ("{}", "triage")
        counted = finish(engine.open({"op": "count", "messages": [["user", "hello the end"]]}))
        assert counted.end["count"] == reply.end["prompt"]

    def test_text_that_reads_like_a_control_token_is_spelled_out(self, start, tmp_path):
        extra = [
            ("|an", NORMAL),
            ("<|an", NORMAL),
            ("sw", NORMAL),
            ("swer", NORMAL),
            ("<|answer", NORMAL),
            ("|>", NORMAL),
        ]
        spec = tiny_gguf.scripted(["<|answer|>", "{", "</s>"], prompt_format="triage", extra=extra)
        engine = start(spec.write(tmp_path / "m.gguf"))
        reply = finish(engine.open({"messages": [["user", "<|answer|>"]]}))
        spelled = len("<|answer|>") + 1
        assert reply.end["prompt"] == 1 + spelled + 1
        assert reply.text == "{"

    @pytest.mark.parametrize(
        "text", ["Q Z", "😀 emoji 👩‍👩‍👧", "\0", "a\0b", "\ud800", "", " ", "▁", "x" * 60, "é" * 40]
    )
    def test_any_text_is_taken(self, tiny_engine, text):
        reply = ask(tiny_engine, text, max_tokens=2)
        assert reply.end["output"] >= 1
        assert reply.end["prompt"] <= 2 + len(text.encode("utf-8", "replace"))

    def test_a_mark_that_the_vocabulary_lacks_is_spelled(self, start, tmp_path):
        spec = tiny_gguf.tiny(prompt_format="chatml", context=256)
        with_marks = start(spec.write(tmp_path / "with.gguf"))
        texts = [text.replace("<|im_", "<|in_") for text in spec.tokens]
        without = start(spec.set("tokenizer.ggml.tokens", "array", ("string", texts)).write(tmp_path / "without.gguf"))
        counts = [
            finish(engine.open({"op": "count", "messages": [["user", "a"]]})).end["count"]
            for engine in (with_marks, without)
        ]
        letters = 2 * (len(" <|im_start|>") - 1) + len(" <|im_end|>") - 1
        assert counts[0] < counts[1] <= counts[0] + letters


class TestPrefix:
    def test_a_follow_up_reuses_what_was_computed_and_says_the_same(self, start, tiny_path):
        fresh = ask(start(tiny_path), "hello the world of", max_tokens=20)
        engine = start(tiny_path)
        ask(engine, "hello the world", max_tokens=5)
        again = ask(engine, "hello the world of", max_tokens=20)
        assert fresh.end["cached"] == 0
        assert again.end["cached"] > 3
        assert again.text == fresh.text

    def test_the_last_token_of_a_repeated_prompt_is_computed_again(self, start, tiny_path):
        engine = start(tiny_path)
        first = ask(engine, "hello the world", max_tokens=20)
        again = ask(engine, "hello the world", max_tokens=20)
        assert again.end["cached"] == again.end["prompt"] - 1
        assert again.text == first.text

    def test_a_prompt_longer_than_a_batch_is_evaluated_in_parts(self, start, tmp_path):
        path = tiny_gguf.tiny(context=1024).write(tmp_path / "m.gguf")
        text = "hello the " * 150
        one = ask(start(path), text, max_tokens=10)
        engine = start(path)
        ask(engine, text[:500], max_tokens=3)
        two = ask(engine, text, max_tokens=10)
        assert one.end["prompt"] > 512
        assert two.end["cached"] > 100
        assert two.text == one.text


class TestSeeds:
    def test_the_same_seed_gives_the_same_text_in_any_state_of_the_cache(self, start, tiny_path):
        options = {"temperature": 1.5, "seed": 42, "max_tokens": 30}
        fresh = ask(start(tiny_path), "hello the", **options)
        engine = start(tiny_path)
        texts = set()
        for other in ("hello", "the end", "hello the"):
            ask(engine, other, max_tokens=9, temperature=1.0)
            texts.add(ask(engine, "hello the", **options).text)
        assert texts == {fresh.text}

    def test_another_seed_gives_another_text(self, start, tiny_path):
        engine = start(tiny_path)
        texts = {ask(engine, "hello", temperature=1.5, seed=n, max_tokens=30).text for n in range(3)}
        assert len(texts) == 3

    def test_without_a_seed_the_one_that_was_drawn_is_told_and_repeats_the_text(self, start, tiny_path):
        engine = start(tiny_path)
        first = ask(engine, "hello", temperature=1.5, max_tokens=30)
        again = ask(engine, "hello", temperature=1.5, max_tokens=30, seed=first.end["seed"])
        assert again.text == first.text

    def test_a_repetition_penalty_changes_what_a_model_would_repeat(self, start, tmp_path):
        spec = tiny_gguf.scripted(["▁a", "b", "c"])
        number = spec.token("d")
        row = spec.tensors["output.weight"]
        values = bytearray(row[2])
        values[(number * 128 + 2) * 4 : (number * 128 + 2) * 4 + 4] = struct.pack("<f", 0.5)
        spec.tensors["output.weight"] = (row[0], row[1], bytes(values))
        engine = start(spec.write(tmp_path / "m.gguf"))
        assert ask(engine, "a", max_tokens=4).text == "bccc"
        assert ask(engine, "a", max_tokens=3, repeat_penalty=4.0).text == "bcd"
        assert ask(engine, "a", max_tokens=4, repeat_penalty=4.0, repeat_window=0).text == "bccc"


class TestRefusals:
    def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers(self, start, tiny_path):
        engine = start(tiny_path)
        with pytest.raises(ContextOverflow, match="has 502 tokens and the model's context holds 128") as caught:
            ask(engine, "x" * 500)
        assert (caught.value.prompt_tokens, caught.value.context_length) == (502, 128)
        assert ask(engine, "hello", max_tokens=1).end["output"] == 1

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"max_tokens": 0}, "max_tokens is a whole number from 1; got 0"),
            ({"max_tokens": "9"}, "max_tokens is a whole number"),
            ({"temperature": "hot"}, "temperature is a number"),
            ({"stop": "x"}, "stop is a list"),
            ({"stop": [""]}, "stop is a list"),
            ({"messages": [["tool", "x"]]}, "takes no 'tool' messages"),
        ],
    )
    def test_a_wrong_option_is_named(self, tiny_engine, options, reason):
        with pytest.raises(InvalidRequest, match=reason):
            ask(tiny_engine, "hello", **options)

    def test_a_prompt_larger_than_any_frame_is_refused(self, start, tiny_path):
        with pytest.raises(InvalidRequest, match="over 16 MiB"):
            start(tiny_path).open({"prompt": "x" * FRAME_LIMIT})

    @pytest.mark.parametrize("name", ["gpu_layers", "context_length", "threads"])
    @pytest.mark.parametrize("value", [-1, True, 1.5, "2"])
    def test_a_setting_that_is_no_count_is_refused(self, name, value):
        with pytest.raises(ConfigurationError, match=f"{name} is a whole number from"):
            Settings("m.gguf", **{name: value})

    def test_a_context_longer_than_the_model_was_trained_for_is_refused(self, start, tiny_path):
        with pytest.raises(ConfigurationError, match="from 1 to the 128 tokens"):
            ask(start(tiny_path, context_length=129), "hello")

    def test_a_damaged_file_is_refused_and_its_repair_is_noticed(self, start, tmp_path):
        whole = tiny_gguf.tiny().to_bytes()
        path = tmp_path / "m.gguf"
        path.write_bytes(whole[:-1])
        engine = start(path)
        for _ in range(3):
            with pytest.raises(ModelFileError, match="after the end of the file"):
                ask(engine, "hello")
        path.write_bytes(whole)
        assert ask(engine, "hello", max_tokens=1).end["output"] == 1

    def test_weights_that_are_no_numbers_are_an_error_and_not_nonsense(self, start, tmp_path):
        spec = tiny_gguf.tiny()
        spec.tensors["output_norm.weight"] = ((32,), 0, tiny_gguf.packed([float("nan")] * 32, 0))
        engine = start(spec.write(tmp_path / "m.gguf"))
        for options in ({}, {"temperature": 1.0}):
            with pytest.raises(ModelFileError, match="computes no numbers"):
                ask(engine, "hello", **options)

    def test_an_unknown_prompt_format_is_refused_with_the_known_ones(self, start, tiny_path):
        with pytest.raises(ModelFileError, match="set prompt_format= to one of plain, chatml"):
            ask(start(tiny_path, prompt_format="cobol"), "hello")

    def test_gpu_layers_without_a_gpu_are_refused_with_a_remedy(self, start, tiny_path):
        if Path("/proc/driver/nvidia").exists():
            pytest.skip("there is a GPU")
        with pytest.raises(EngineUnavailable, match="install the driver or run on the CPU with gpu_layers=0"):
            ask(start(tiny_path, gpu_layers=1), "hello")


class TestDeaths:
    def test_a_worker_killed_in_mid_stream_is_a_typed_error_and_the_next_call_works(self, start, endless_path):
        engine = start(endless_path, context_length=100_000)
        call = in_mid_stream(engine)
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(WorkerDied, match=r"died: it was ended by SIGKILL; the next call starts another") as caught:
            finish(call)
        assert isinstance(caught.value, Unavailable)
        assert caught.value.retryable
        assert ask(engine, "a", max_tokens=2).text == "bc"

    def test_a_worker_killed_between_calls_is_replaced_unnoticed(self, start, endless_path):
        engine = start(endless_path)
        ask(engine, "a", max_tokens=2)
        first = engine.pid
        os.kill(first, signal.SIGKILL)
        wait_until_dead(first)
        assert ask(engine, "a", max_tokens=2).text == "bc"
        assert engine.pid != first

    def test_all_calls_that_waited_for_a_killed_worker_are_told(self, start, endless_path):
        engine = start(endless_path, context_length=100_000)
        calls = [in_mid_stream(engine), engine.open({"prompt": "a"}), engine.open({"prompt": "a"})]
        os.kill(engine.pid, signal.SIGKILL)
        for call in calls:
            with pytest.raises(WorkerDied):
                finish(call)

    def test_a_crash_of_the_native_code_shows_its_last_words(self, start, endless_path):
        engine = start(endless_path, context_length=100_000)
        call = in_mid_stream(engine)
        Path(f"/proc/{engine.pid}/fd/2").write_bytes(b"GGML_ASSERT: ggml.c:1: nelements > 0\n\n")
        os.kill(engine.pid, signal.SIGABRT)
        with pytest.raises(
            WorkerDied, match=r"ended by SIGABRT; its last words: GGML_ASSERT: ggml\.c:1: nelements > 0;"
        ):
            finish(call)

    def test_a_file_that_kills_its_worker_twice_while_loading_is_refused_until_it_changes(self, start, tmp_path):
        path = tiny_gguf.tiny().write(tmp_path / "m.gguf")
        engine = start(path)
        for _ in range(2):
            call = engine.open({"prompt": "hello"})
            os.kill(engine.pid, signal.SIGKILL)
            with pytest.raises(WorkerDied):
                finish(call)
        with pytest.raises(ModelFileError, match="ended the engine's process 2 times"):
            engine.open({"prompt": "hello"})
        os.utime(path, ns=(1, 1))
        assert ask(engine, "hello", max_tokens=1).end["output"] == 1

    def test_a_file_that_killed_its_worker_and_is_gone_is_missed(self, start, tmp_path):
        path = tiny_gguf.tiny().write(tmp_path / "m.gguf")
        engine = start(path)
        for _ in range(2):
            call = engine.open({"prompt": "hello"})
            os.kill(engine.pid, signal.SIGKILL)
            with pytest.raises(WorkerDied):
                finish(call)
        path.unlink()
        with pytest.raises(ModelFileError, match="there is no file"):
            ask(engine, "hello")

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_a_worker_that_dies_around_the_handing_over_is_replaced_once(self, start, tiny_path, monkeypatch, moment):
        real = process.WorkerProcess.hand_over
        deaths = []

        def hand_over(worker, sock):
            handed = moment == "before" or real(worker, sock)
            os.kill(worker.pid, signal.SIGKILL)
            worker._process.wait()
            deaths.append(worker.pid)
            return real(worker, sock) if moment == "before" else handed

        monkeypatch.setattr(process.WorkerProcess, "hand_over", hand_over)
        with pytest.raises(WorkerDied, match="SIGKILL"):
            finish(start(tiny_path).open({"prompt": "hello"}))
        assert len(deaths) == 2

    def test_a_worker_whose_application_dies_before_saying_what_to_load_ends_quietly(self):
        ours, theirs = socket.socketpair()
        ours.close()
        with theirs:
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            command = [sys.executable, "-m", "inferkit.local._worker", str(theirs.fileno())]
            run = subprocess.run(command, pass_fds=[theirs.fileno()], env=environment, capture_output=True, check=False)
        assert (run.returncode, run.stderr) == (0, b"")

    def test_an_interrupt_at_the_terminal_does_not_reach_the_worker(self, start, endless_path):
        engine = start(endless_path)
        ask(engine, "a", max_tokens=1)
        assert os.getpgid(engine.pid) != os.getpgid(0)
        first = engine.pid
        os.kill(first, signal.SIGINT)
        assert ask(engine, "a", max_tokens=2).text == "bc"
        assert engine.pid == first

    def test_a_closed_engine_ends_its_worker_and_says_so(self, start, endless_path):
        engine = start(endless_path, context_length=100_000)
        call = in_mid_stream(engine)
        pid = engine.pid
        engine.close()
        assert not Path(f"/proc/{pid}").exists()
        with pytest.raises(WorkerDied, match="was closed during the call") as caught:
            finish(call)
        assert not caught.value.retryable
        with pytest.raises(ConfigurationError, match="was closed; make a new Local"):
            engine.open({"prompt": "a"})
        engine.close()

    def test_a_worker_that_does_not_end_by_itself_is_killed(self, endless_path, monkeypatch):
        monkeypatch.setattr(process, "_EXIT_SECONDS", 0.1)
        engine = Engine(Settings(str(endless_path)))
        ask(engine, "a", max_tokens=1)
        pid = engine.pid
        stop(pid)
        engine.close()
        assert not Path(f"/proc/{pid}").exists()

    def test_a_worker_that_a_fork_may_still_use_is_left_to_end_by_itself(self, endless_path, monkeypatch):
        monkeypatch.setattr(process, "_EXIT_SECONDS", 0.1)
        engine = Engine(Settings(str(endless_path)))
        ask(engine, "a", max_tokens=1)
        pid = engine.pid
        monkeypatch.setattr(forks, "children", forks.children + 1)
        stop(pid)
        engine.close()
        os.kill(pid, signal.SIGCONT)
        wait_until_dead(pid)
        for left in process._unreaped:
            left.wait()

    def test_a_signal_without_a_name_is_told_by_its_number(self, start, endless_path):
        engine = start(endless_path, context_length=100_000)
        call = in_mid_stream(engine)
        os.kill(engine.pid, signal.SIGRTMIN + 1)
        with pytest.raises(WorkerDied, match=f"ended by signal {signal.SIGRTMIN + 1}"):
            finish(call)

    def test_a_worker_that_dies_at_the_start_every_time_is_reported(self, start, tiny_path, monkeypatch):
        monkeypatch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(WorkerDied, match="it exited with status 1"):
            ask(start(tiny_path), "hello")

    @pytest.mark.parametrize(("executable", "reason"), [("", "does not name one"), ("/nonexistent", "No such file")])
    def test_without_a_python_to_start_the_error_says_so(self, start, tiny_path, monkeypatch, executable, reason):
        monkeypatch.setattr(sys, "executable", executable)
        with pytest.raises(EngineUnavailable, match=reason):
            ask(start(tiny_path), "hello")

    def test_a_system_without_sockets_left_is_an_error_that_may_be_retried(self, start, tiny_path):
        engine = start(tiny_path)
        ask(engine, "hello", max_tokens=1)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(Unavailable, match="Too many open files") as caught:
                engine.open({"prompt": "hello"})
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert caught.value.retryable
        assert ask(engine, "hello", max_tokens=1).end["output"] == 1

    def test_a_system_that_cannot_pass_sockets_on_is_told_so(self, start, tiny_path, monkeypatch):
        monkeypatch.delattr(socket, "send_fds")
        with pytest.raises(EngineUnavailable, match="needs Linux"):
            start(tiny_path).open({"prompt": "hello"})

    def test_a_file_removed_after_the_model_was_named_is_missed_by_the_call(self, start, tmp_path):
        path = tiny_gguf.tiny().write(tmp_path / "m.gguf")
        engine = start(path)
        path.unlink()
        with pytest.raises(ModelFileError, match="there is no file"):
            ask(engine, "hello")

    def test_a_forgotten_engine_leaves_no_process(self, endless_path):
        engine = Engine(Settings(str(endless_path)))
        ask(engine, "a", max_tokens=1)
        pid = engine.pid
        del engine
        assert not Path(f"/proc/{pid}").exists()


PROGRAM = """
import os, signal, sys, select
from local_calls import ask, frames
from inferkit.local import process
from inferkit.local.engine import Engine, Settings
engine = Engine(Settings(sys.argv[1], context_length=100_000))
call = engine.open({"prompt": "a"})
while not any("text" in frame for frame in frames(call)):
    pass
os.write(1, f"{engine.pid}\\n".encode())  # in one piece: two processes write here
"""


def program(body: str, path: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(TESTS)])}
    command = [sys.executable, "-W", "error", "-c", PROGRAM + body, str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


class TestParents:
    def test_a_killed_application_takes_its_worker_along(self, endless_path):
        with program("signal.pause()", endless_path) as parent:
            worker = int(parent.stdout.readline())
            parent.kill()
            wait_until_dead(worker)

    @pytest.mark.parametrize("body", ["call.close()", "call.close(); sys.exit(3)", "os._exit(0)"])
    def test_an_application_that_ends_leaves_no_worker_and_no_words(self, endless_path, body):
        with program(body, endless_path) as parent:
            out, err = parent.communicate(timeout=SECONDS)
            wait_until_dead(int(out))
            assert err == b""

    def test_a_fork_uses_the_same_worker_and_mixes_nothing_up(self, endless_path):
        body = """
call.close()
child = os.fork()
text = ask(engine, "a", max_tokens=50).text
assert text == "b" + "c" * 49, text
os.write(1, f"{engine.pid}\\n".encode())  # in one piece: two processes write here
if child:
    assert os.waitpid(child, 0)[1] == 0
    print(ask(engine, "a", max_tokens=3).text)
    engine.close()
    assert not os.path.exists(f"/proc/{engine.pid}")
"""
        with program(body, endless_path) as parent:
            out, err = parent.communicate(timeout=SECONDS)
            assert err == b""
            lines = out.decode().split()
            assert lines[0] == lines[1] == lines[2]
            assert lines[3] == "bcc"
            wait_until_dead(int(lines[0]))

    def test_hanging_up_counts_even_while_a_fork_holds_the_call(self, endless_path):
        body = """
reader, writer = os.pipe()
child = os.fork()
if not child:
    os.close(writer)
    os._exit(len(os.read(reader, 1)))
call.close()
print(ask(engine, "a", max_tokens=3).text)
os.close(writer)
assert os.waitpid(child, 0)[1] == 0
"""
        with program(body, endless_path) as parent:
            out, err = parent.communicate(timeout=SECONDS)
            assert (out.decode().split()[1], err) == ("bcc", b"")

    def test_a_fork_that_outlives_its_parent_keeps_the_worker(self, endless_path):
        body = """
call.close()
reader, writer = os.pipe()
if os.fork():
    os._exit(0)
os.close(writer)
assert os.read(reader, 1) == b""
print(ask(engine, "a", max_tokens=3).text, engine.pid, flush=True)
"""
        with program(body, endless_path) as parent:
            out, err = parent.communicate(timeout=SECONDS)
            assert err == b""
            first, text, second = out.decode().split()
            assert (text, second) == ("bcc", first)
            wait_until_dead(int(first))


class TestTurns:
    def test_two_callers_are_served_in_turn_and_their_texts_are_not_mixed(self, start, tmp_path):
        spec = tiny_gguf.scripted(["▁a", "b", "c"], context=4000)
        engine = start(spec.write(tmp_path / "m.gguf"))
        texts: dict[int, list[str]] = {}

        def caller(number: int) -> None:
            texts[number] = [ask(engine, "a", max_tokens=number + 5).text for _ in range(5)]

        threads = [threading.Thread(target=caller, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        assert texts == {n: ["b" + "c" * (n + 4)] * 5 for n in range(8)}

    def test_a_caller_that_hangs_up_is_not_served_to_the_end(self, start, endless_path):
        engine = start(endless_path, context_length=150_000)
        in_mid_stream(engine).close()
        assert ask(engine, "a", max_tokens=3).text == "bcc"

    def test_a_caller_that_hangs_up_before_its_turn_is_not_served_at_all(self, start, endless_path):
        engine = start(endless_path, context_length=150_000)
        running = in_mid_stream(engine)
        for _ in range(3):
            engine.open({"prompt": "a"}).close()
        waiting = engine.open({"prompt": "a", "max_tokens": 2})
        running.close()
        assert finish(waiting).text == "bc"

    def test_a_caller_that_does_not_read_holds_nobody_up(self, start, endless_path):
        engine = start(endless_path, context_length=10_000)
        slow = engine.open({"prompt": "a", "max_tokens": 5000})
        assert ask(engine, "a", max_tokens=3).text == "bcc"
        assert finish(slow).text == "b" + "c" * 4999

    def test_a_large_request_behind_a_long_reply_does_not_block_its_caller(self, start, endless_path):
        engine = start(endless_path, context_length=150_000)
        running = in_mid_stream(engine)
        waiting = engine.open({"prompt": "b" * 2_000_000})
        running.close()
        with pytest.raises(ContextOverflow):
            finish(waiting)

    def test_what_is_no_request_is_dropped_and_the_next_is_served(self, start, endless_path):
        engine = start(endless_path)
        ask(engine, "a", max_tokens=1)
        for rubbish in (b"\xff" * 8, b"\0\0\0\2{]", b"\0\0\0\1", b""):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                assert engine._worker.hand_over(theirs)
                theirs.close()
                ours.sendall(rubbish)
                ours.shutdown(socket.SHUT_WR)
                ours.settimeout(SECONDS)
                with contextlib.suppress(ConnectionResetError):
                    assert ours.recv(1) == b""
        assert ask(engine, "a", max_tokens=2).text == "bc"


class TestPrivacy:
    def test_the_worker_is_started_without_the_applications_secrets(self, start, endless_path, monkeypatch):
        monkeypatch.setenv("SOME_API_KEY", "sk-secret")
        engine = start(endless_path)
        ask(engine, "a", max_tokens=1)
        seen = Path(f"/proc/{engine.pid}/environ").read_bytes() + Path(f"/proc/{engine.pid}/cmdline").read_bytes()
        assert b"sk-secret" not in seen
        assert b"PATH" in seen

    def test_the_worker_imports_nothing_heavy(self):
        code = "import sys, inferkit.local._worker; print(*sorted(sys.modules))"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        heavy = {"httpx", "pydantic", "anyio", "opentelemetry", "asyncio", "ctransformers", "numpy", "diskcache"}
        assert not heavy & {name.partition(".")[0] for name in run.stdout.split()}


def test_no_damaged_file_kills_or_stalls_the_engine(tmp_path):
    """A few of the mutations; run tests/local/fuzz_models.py by hand for thousands."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(TESTS)])}
    command = [sys.executable, str(TESTS / "local" / "fuzz_models.py"), str(tmp_path), "0", "240"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    assert found["seeds"] == {}
    assert found["verdicts"]["refused"] > 100
    assert found["verdicts"]["ran"] > 30
