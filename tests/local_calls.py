"""Reads calls of the local model to their end, as a test wants it."""

from __future__ import annotations

import os
import select
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inferkit.local.worker.supervisor import WorkerCall, WorkerSupervisor

SECONDS = 30


@dataclass
class Reply:
    start: dict[str, Any] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    end: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def frames(call: WorkerCall) -> list[dict[str, Any]]:
    """Wait for the next frames."""
    while True:
        assert select.select([call], [], [], SECONDS)[0], "the worker said nothing"
        found = call.receive()
        if found:
            return found


def finish(call: WorkerCall) -> Reply:
    reply = Reply()
    with call:
        while True:
            for frame in frames(call):
                if "start" in frame:
                    reply.start = frame
                elif "text" in frame:
                    reply.texts.append(frame["text"])
                    reply.logprobs += frame.get("logprobs", ())
                else:
                    reply.end = frame
                    return reply


def ask(supervisor: WorkerSupervisor, prompt: str, **options: Any) -> Reply:
    return finish(supervisor.open({"prompt": prompt, **options}))


def in_mid_stream(supervisor: WorkerSupervisor, **options: object) -> WorkerCall:
    """Open a call and read it until text comes."""
    call = supervisor.open({"prompt": "a", **options})
    while not any("text" in frame for frame in frames(call)):
        pass
    return call


def worker_pid() -> int:
    """Find the process of the one model that runs for this process."""
    children = [pid for each in Path("/proc/self/task").glob("*/children") for pid in each.read_text().split()]
    (found,) = [int(pid) for pid in children if b"inferkit.local.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return found


def wait_until_dead(pid: int) -> None:
    """Wait for a process that need not be our child."""
    descriptor = os.pidfd_open(pid) if Path(f"/proc/{pid}").exists() else None
    if descriptor is not None:
        with os.fdopen(descriptor, "rb", closefd=True) as handle:
            assert select.select([handle], [], [], SECONDS)[0], f"process {pid} still runs"
