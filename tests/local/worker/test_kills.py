"""A worker that is killed in mid-stream, at any moment: nothing that was written is lost or comes twice.

Run as a program, `test_kills.py COUNT [ENGINE ...]`, it kills as often as it is told, and prints what it found.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
from pathlib import Path

import tiny_gguf
from inferkit.local.engines.interface import ENGINES, EngineSettings
from inferkit.local.errors import WorkerDied
from inferkit.local.worker.supervisor import WorkerSupervisor
from local_calls import frames

CHAIN = ["▁a", *"bcdefghijklmnopqrstuvwxyz"]
TEXT = "".join(CHAIN[1:])


def kill_once(supervisor: WorkerSupervisor, moment: int) -> str:
    """Kill the worker once so many pieces have come, and give all that came."""
    came: list[str] = []
    with supervisor.open({"prompt": "a", "max_tokens": len(TEXT)}) as call:
        try:
            while True:
                for frame in frames(call):
                    came += [frame["text"]] if "text" in frame else []
                    if "end" in frame:
                        return "".join(came)
                if len(came) >= moment and supervisor.pid is not None:
                    os.kill(supervisor.pid, signal.SIGKILL)
                    moment = 1 << 30
        except WorkerDied as death:
            assert death.retryable
    return "".join(came)


def run(folder: Path, engine: str, count: int) -> tuple[int, int]:
    """Kill `count` times; give how many streams were cut, and how many came whole before the signal did."""
    path = tiny_gguf.scripted(CHAIN).write(folder / "m.gguf")
    supervisor = WorkerSupervisor(EngineSettings(str(path), engine=engine))
    chance = random.Random(5)
    whole = 0
    for _ in range(count):
        text = kill_once(supervisor, chance.randint(0, len(TEXT)))
        assert TEXT.startswith(text), "a token was lost or doubled"
        whole += text == TEXT
    supervisor.close()
    return count - whole, whole


def test_no_token_is_lost_or_doubled_and_the_next_call_is_served(engine, tmp_path):
    cut, whole = run(tmp_path, engine, 15)
    assert cut + whole == 15


if __name__ == "__main__":
    for name in sys.argv[2:] or ENGINES:
        with tempfile.TemporaryDirectory() as place:
            print(name, "cut, whole:", run(Path(place), name, int(sys.argv[1])))
