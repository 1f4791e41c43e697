"""The application's side of the worker: what it refuses, and what it makes of a worker that dies."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import tiny_gguf
from inferkit.core.errors import ConfigurationError, InvalidRequest, ModelFileError, Unavailable
from inferkit.local.engines.interface import EngineSettings
from inferkit.local.errors import EngineUnavailable, WorkerDied
from inferkit.local.worker import process
from inferkit.local.worker.protocol import FRAME_LIMIT
from inferkit.local.worker.supervisor import WorkerSupervisor
from inferkit.runtime import clock, forks
from local_calls import ask, finish, in_mid_stream, wait_until_dead


def stop(pid: int) -> None:
    """Halt a child, and wait until it stands still."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


def test_a_prompt_larger_than_any_frame_is_refused(start, tiny_path):
    with pytest.raises(InvalidRequest, match="over 16 MiB"):
        start(tiny_path).open({"prompt": "x" * FRAME_LIMIT})


@pytest.mark.parametrize("name", ["context_length", "threads", "memory_limit"])
@pytest.mark.parametrize("value", [-1, True, 1.5, "2"])
def test_a_setting_that_is_no_count_is_refused(name, value):
    with pytest.raises(ConfigurationError, match=f"{name} is a whole number from"):
        EngineSettings("m.gguf", **{name: value})


def test_a_worker_killed_in_mid_stream_is_a_typed_error_and_the_next_call_works(start, endless_path):
    supervisor = start(endless_path, context_length=100_000)
    call = in_mid_stream(supervisor)
    os.kill(supervisor.pid, signal.SIGKILL)
    with pytest.raises(WorkerDied, match=r"died: it was ended by SIGKILL; the next call starts another") as caught:
        finish(call)
    assert isinstance(caught.value, Unavailable)
    assert caught.value.retryable
    assert ask(supervisor, "a", max_tokens=2).text == "bc"


def test_a_worker_killed_between_calls_is_replaced_unnoticed(start, endless_path):
    supervisor = start(endless_path)
    ask(supervisor, "a", max_tokens=2)
    first = supervisor.pid
    os.kill(first, signal.SIGKILL)
    wait_until_dead(first)
    assert ask(supervisor, "a", max_tokens=2).text == "bc"
    assert supervisor.pid != first


def test_all_calls_that_waited_for_a_killed_worker_are_told(start, endless_path):
    supervisor = start(endless_path, context_length=100_000)
    calls = [in_mid_stream(supervisor), supervisor.open({"prompt": "a"}), supervisor.open({"prompt": "a"})]
    os.kill(supervisor.pid, signal.SIGKILL)
    for call in calls:
        with pytest.raises(WorkerDied):
            finish(call)


def test_a_crash_of_the_native_code_shows_its_last_words(start, endless_path):
    supervisor = start(endless_path, context_length=100_000)
    call = in_mid_stream(supervisor)
    Path(f"/proc/{supervisor.pid}/fd/2").write_bytes(b"GGML_ASSERT: ggml.c:1: nelements > 0\n\n")
    os.kill(supervisor.pid, signal.SIGABRT)
    with pytest.raises(WorkerDied, match=r"ended by SIGABRT; its last words: GGML_ASSERT: ggml\.c:1: nelements > 0;"):
        finish(call)


def test_a_file_that_kills_its_worker_twice_while_loading_is_refused_until_it_changes(start, tmp_path):
    path = tiny_gguf.tiny().write(tmp_path / "m.gguf")
    supervisor = start(path)
    for _ in range(2):
        call = supervisor.open({"prompt": "hello"})
        os.kill(supervisor.pid, signal.SIGKILL)
        with pytest.raises(WorkerDied):
            finish(call)
    with pytest.raises(ModelFileError, match="ended the engine's process 2 times"):
        supervisor.open({"prompt": "hello"})
    os.utime(path, ns=(1, 1))
    assert ask(supervisor, "hello", max_tokens=1).end["output"] == 1


def test_a_file_that_killed_its_worker_and_is_gone_is_missed(start, tmp_path):
    path = tiny_gguf.tiny().write(tmp_path / "m.gguf")
    supervisor = start(path)
    for _ in range(2):
        call = supervisor.open({"prompt": "hello"})
        os.kill(supervisor.pid, signal.SIGKILL)
        with pytest.raises(WorkerDied):
            finish(call)
    path.unlink()
    with pytest.raises(ModelFileError, match="there is no file"):
        ask(supervisor, "hello")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_worker_that_dies_around_the_handing_over_is_replaced_once(start, tiny_path, monkeypatch, moment):
    real = process.WorkerProcess.hand_over
    deaths = []

    def hand_over(worker, sock):
        handed = moment == "before" or real(worker, sock)
        os.kill(worker.pid, signal.SIGKILL)
        wait_until_dead(worker.pid)
        deaths.append(worker.pid)
        return real(worker, sock) if moment == "before" else handed

    monkeypatch.setattr(process.WorkerProcess, "hand_over", hand_over)
    with pytest.raises(WorkerDied, match="SIGKILL"):
        finish(start(tiny_path).open({"prompt": "hello"}))
    assert len(deaths) == 2


def test_a_worker_whose_application_dies_before_saying_what_to_load_ends_quietly():
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-m", "inferkit.local.worker", str(theirs.fileno())]
        run = subprocess.run(command, pass_fds=[theirs.fileno()], env=environment, capture_output=True, check=False)
    assert (run.returncode, run.stderr) == (0, b"")


def test_an_interrupt_at_the_terminal_does_not_reach_the_worker(start, endless_path):
    supervisor = start(endless_path)
    ask(supervisor, "a", max_tokens=1)
    assert os.getpgid(supervisor.pid) != os.getpgid(0)
    first = supervisor.pid
    os.kill(first, signal.SIGINT)
    assert ask(supervisor, "a", max_tokens=2).text == "bc"
    assert supervisor.pid == first


def test_a_closed_engine_ends_its_worker_and_says_so(start, endless_path):
    supervisor = start(endless_path, context_length=100_000)
    call = in_mid_stream(supervisor)
    pid = supervisor.pid
    supervisor.close()
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(WorkerDied, match="was closed during the call") as caught:
        finish(call)
    assert not caught.value.retryable
    with pytest.raises(ConfigurationError, match="was closed; make a new Local"):
        supervisor.open({"prompt": "a"})
    supervisor.close()


def test_a_worker_that_does_not_end_by_itself_is_killed(endless_path, monkeypatch):
    monkeypatch.setattr(process, "_EXIT_SECONDS", 0.1)
    supervisor = WorkerSupervisor(EngineSettings(str(endless_path)))
    ask(supervisor, "a", max_tokens=1)
    pid = supervisor.pid
    stop(pid)
    supervisor.close()
    assert not Path(f"/proc/{pid}").exists()


def test_a_worker_that_a_fork_may_still_use_is_left_to_end_by_itself(endless_path, monkeypatch):
    monkeypatch.setattr(process, "_EXIT_SECONDS", 0.1)
    supervisor = WorkerSupervisor(EngineSettings(str(endless_path)))
    ask(supervisor, "a", max_tokens=1)
    pid = supervisor.pid
    monkeypatch.setattr(forks, "children", forks.children + 1)
    stop(pid)
    supervisor.close()
    os.kill(pid, signal.SIGCONT)
    wait_until_dead(pid)
    for left in process._unreaped:
        left.wait()


def test_a_signal_without_a_name_is_told_by_its_number(start, endless_path):
    supervisor = start(endless_path, context_length=100_000)
    call = in_mid_stream(supervisor)
    os.kill(supervisor.pid, signal.SIGRTMIN + 1)
    with pytest.raises(WorkerDied, match=f"ended by signal {signal.SIGRTMIN + 1}"):
        finish(call)


def test_a_worker_that_dies_at_the_start_every_time_is_reported(start, tiny_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WorkerDied, match="it exited with status 1"):
        ask(start(tiny_path), "hello")


@pytest.mark.parametrize(("name", "reason"), [("", "does not name one"), ("gone", "No such file")])
def test_without_a_python_to_start_the_error_says_so(start, tiny_path, monkeypatch, name, reason):
    monkeypatch.setattr(sys, "executable", name and str(tiny_path.parent / name))
    with pytest.raises(EngineUnavailable, match=reason):
        ask(start(tiny_path), "hello")


def test_a_system_without_sockets_left_is_an_error_that_may_be_retried(start, tiny_path):
    supervisor = start(tiny_path)
    ask(supervisor, "hello", max_tokens=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(Unavailable, match="Too many open files") as caught:
            supervisor.open({"prompt": "hello"})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.retryable
    assert ask(supervisor, "hello", max_tokens=1).end["output"] == 1


def test_a_system_that_cannot_pass_sockets_on_is_told_so(start, tiny_path, monkeypatch):
    monkeypatch.delattr(socket, "send_fds")
    with pytest.raises(EngineUnavailable, match="needs Linux"):
        start(tiny_path).open({"prompt": "hello"})


def test_a_file_removed_after_the_model_was_named_is_missed_by_the_call(start, tmp_path):
    path = tiny_gguf.tiny().write(tmp_path / "m.gguf")
    supervisor = start(path)
    path.unlink()
    with pytest.raises(ModelFileError, match="there is no file"):
        ask(supervisor, "hello")


def test_a_file_that_could_not_be_loaded_starts_no_other_process_until_it_changes(start, tmp_path, monkeypatch):
    path = tiny_gguf.tiny().set("llama.block_count", "uint32", 0).write(tmp_path / "m.gguf")
    supervisor = start(path)
    with pytest.raises(ModelFileError, match="block_count"):
        ask(supervisor, "hello")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "gone"))
        with pytest.raises(ModelFileError, match="block_count"):
            ask(supervisor, "hello")
    tiny_gguf.tiny().write(path)
    assert ask(supervisor, "hello", max_tokens=1).end["output"] == 1


def test_a_worker_that_could_not_load_its_file_ends_and_answers_those_it_has_first(start, tmp_path):
    path = tiny_gguf.tiny().set("llama.block_count", "uint32", 0).write(tmp_path / "m.gguf")
    supervisor = start(path)
    calls = [supervisor.open({"prompt": "hello"}) for _ in range(5)]
    pid = supervisor.pid
    for call in calls:
        with pytest.raises(ModelFileError, match="block_count"):
            finish(call)
    wait_until_dead(pid)
    assert supervisor.pid is None


def test_a_file_that_could_not_be_loaded_is_tried_again_later(start, tmp_path, monkeypatch):
    supervisor = start(tiny_gguf.tiny(prompt_format=None).write(tmp_path / "m.gguf"))
    with pytest.raises(ModelFileError):
        ask(supervisor, "hello")
    later = clock.now() + 31
    monkeypatch.setattr(clock, "now", lambda: later)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    with pytest.raises(EngineUnavailable, match="No such file"):
        ask(supervisor, "hello")


def test_a_forgotten_engine_leaves_no_process(endless_path):
    supervisor = WorkerSupervisor(EngineSettings(str(endless_path)))
    ask(supervisor, "a", max_tokens=1)
    pid = supervisor.pid
    del supervisor
    assert not Path(f"/proc/{pid}").exists()
