"""A worker that hangs, or runs out of memory, costs one call and never the application."""

from __future__ import annotations

import os
import resource
import signal
import tempfile
from pathlib import Path

import pytest

import tiny_gguf
from inferkit.core.errors import ConfigurationError, DeadlineExceeded, Unavailable
from inferkit.local import EngineUnavailable, Local, WorkerDied
from inferkit.local.engines.interface import EngineSettings
from inferkit.local.worker import pulse
from inferkit.local.worker.pulse import Pulse, Watch
from inferkit.testing import make_request
from local_calls import ask, finish, in_mid_stream, wait_until_dead, worker_pid
from worlds import in_time


@pytest.fixture
def own(endless_path, engine):
    """Make a model whose worker is this test's alone."""
    made = []

    def make(**settings):
        made.append(Local(endless_path, engine=engine, **{"context_length": 100_000, "hang_timeout": 1.0} | settings))
        return made[-1]

    yield make
    for local in made:
        local.close()


def give_no_more_memory(pid):
    """Have every further request of a process for memory fail."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
    resource.prlimit(pid, resource.RLIMIT_DATA, (4 << 20, hard))


def a_request(runtime, **changes):
    return make_request("a", runtime=runtime).replace(**changes)


def test_a_worker_that_is_halted_in_mid_stream_is_ended_and_the_next_call_served(run, own):
    local = own()

    async def body(runtime):
        response = await local(a_request(runtime))
        await anext(response)
        halted = worker_pid()
        os.kill(halted, signal.SIGSTOP)
        with pytest.raises(WorkerDied, match="computed nothing for 1 seconds, and was ended; the next call") as caught:
            await response.read()
        wait_until_dead(halted)
        again = await local(a_request(runtime, max_output_tokens=2))
        return caught.value, "".join(chunk.text for chunk in await again.read())

    error, text = run(body)
    assert (error.cause, error.retryable, text) == ("hung", True, "bc")


def test_a_worker_that_is_halted_between_calls_is_replaced_by_the_next(own):
    local = own()
    assert local.count_tokens("a") > 0
    os.kill(worker_pid(), signal.SIGSTOP)
    with pytest.raises(WorkerDied) as caught:
        local.count_tokens("a")
    assert caught.value.cause == "hung"
    assert local.count_tokens("a") > 0


def test_a_deadline_comes_before_a_worker_is_taken_for_hung(run, own):
    local = own(hang_timeout=30)

    async def body(runtime, seconds):
        try:
            response = await local(a_request(runtime, deadline=runtime.now() + seconds))
            await anext(response)
        except DeadlineExceeded:  # before it came to that
            return False
        os.kill(worker_pid(), signal.SIGSTOP)
        try:
            with pytest.raises(DeadlineExceeded):
                await response.read()
        finally:
            os.kill(worker_pid(), signal.SIGCONT)
        return True

    in_time(lambda seconds: run(lambda runtime: body(runtime, seconds)))
    assert local.count_tokens("a") > 0


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "5"])
def test_a_time_that_is_none_is_refused(endless_path, value):
    with pytest.raises(ConfigurationError, match="hang_timeout is in seconds, from 0.1"):
        Local(endless_path, hang_timeout=value)


class TestLooks:
    """One step after another of a watch, with the processor's time of a process that a test owns."""

    @pytest.fixture
    def watch(self, monkeypatch):
        self.used = 0.0
        monkeypatch.setattr(pulse, "_processor_time", lambda pid: self.used)
        with tempfile.TemporaryFile() as file:
            self.pulse = Pulse.on(file)
        return Watch(self.pulse, 1, 8.0)

    def test_nothing_computed_at_eight_looks_in_a_row_is_a_hang(self, watch):
        assert watch.interval == 1.0
        assert [watch.hangs() for _ in range(8)] == [False] * 7 + [True]

    def test_a_step_begins_the_count_anew(self, watch):
        for _ in range(5):
            assert not any(watch.hangs() for _ in range(7))
            self.pulse.beat()

    def test_a_single_step_may_compute_ten_times_as_long(self, watch):
        looks = []
        for _ in range(80):
            self.used += 1.0
            looks.append(watch.hangs())
        assert looks == [False] * 79 + [True]

    def test_a_process_whose_time_is_not_told_gets_as_long(self, watch):
        self.used = None
        assert [watch.hangs() for _ in range(80)] == [False] * 79 + [True]


def test_the_time_of_a_process_is_its_own():
    assert pulse._processor_time(os.getpid()) > 0
    assert pulse._processor_time(1 << 22) is None


def test_a_model_that_needs_more_than_its_limit_is_refused_before_it_is_loaded(start, endless_path):
    supervisor = start(endless_path, context_length=200_000, memory_limit=80 << 20)
    with pytest.raises(EngineUnavailable, match="memory_limit allows 80 MiB"):
        ask(supervisor, "a")


def test_the_worker_holds_itself_to_the_limit(start, endless_path):
    supervisor = start(endless_path, memory_limit=300 << 20)
    ask(supervisor, "a", max_tokens=1)
    limits = Path(f"/proc/{supervisor.pid}/limits").read_text()
    assert f"Max data size             {300 << 20} " in limits
    assert "Max core file size        0 " in limits


def test_without_one_it_is_held_to_what_was_free(start, endless_path):
    supervisor = start(endless_path)
    ask(supervisor, "a", max_tokens=1)
    held, _ = resource.prlimit(supervisor.pid, resource.RLIMIT_DATA)
    assert 0 < held < 1 << 50


def test_a_worker_that_runs_out_of_memory_while_it_loads_is_a_typed_error(start, endless_path):
    supervisor = start(endless_path)
    call = supervisor.open({"prompt": "a"})
    give_no_more_memory(supervisor.pid)
    with pytest.raises(Unavailable) as caught:
        finish(call)
    assert (type(caught.value), caught.value.cause, caught.value.retryable) == (WorkerDied, "out_of_memory", True)
    assert ask(supervisor, "a", max_tokens=2).text == "bc"


def test_a_worker_that_runs_out_of_memory_while_it_computes_is_a_typed_error(start, endless_path):
    supervisor = start(endless_path, context_length=100_000)
    call = in_mid_stream(supervisor)
    give_no_more_memory(supervisor.pid)
    with pytest.raises(WorkerDied) as caught:
        finish(call)
    assert (caught.value.cause, caught.value.retryable) == ("out_of_memory", True)
    assert ask(supervisor, "a", max_tokens=2).text == "bc"


@pytest.mark.parametrize(
    ("number", "cause"),
    [(signal.SIGABRT, "aborted"), (signal.SIGSEGV, "crashed"), (signal.SIGKILL, "killed"), (signal.SIGTERM, "killed")],
)
def test_what_ended_a_worker_is_told_by_name(start, endless_path, number, cause):
    supervisor = start(endless_path, context_length=100_000)
    call = in_mid_stream(supervisor)
    os.kill(supervisor.pid, number)
    with pytest.raises(WorkerDied, match=f"ended by {number.name}") as caught:
        finish(call)
    assert (caught.value.cause, caught.value.code, caught.value.retryable) == (cause, cause, True)
    assert ask(supervisor, "a", max_tokens=2).text == "bc"


def test_a_limit_below_what_a_worker_needs_for_itself_is_refused():
    with pytest.raises(ConfigurationError, match=f"memory_limit is a whole number from {64 << 20}"):
        EngineSettings("m.gguf", memory_limit=1 << 20)


def test_an_engine_that_fails_where_nobody_foresaw_it_is_replaced(start, tmp_path):
    """What it holds can no longer be trusted."""
    supervisor = start(tiny_gguf.tiny().write(tmp_path / "m.gguf"))
    first = ask(supervisor, "hello", max_tokens=1)
    pid = supervisor.pid
    with pytest.raises(WorkerDied, match="failed with TypeError") as caught:
        finish(supervisor.open({"prompt": 7}))
    assert caught.value.cause == "failed"
    assert ask(supervisor, "hello", max_tokens=1).text == first.text
    assert supervisor.pid != pid
