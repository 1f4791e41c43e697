"""What a fresh process pays: the import, the memory of a first call, and what twenty thousand calls leave behind."""

from __future__ import annotations

import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from benchmarks.server import serving

__all__ = ["imports", "memory"]

_STATEMENTS = {
    "nothing": "pass",
    "import httpx": "import httpx",
    "import inferkit": "import inferkit",
    "from inferkit import Client": "from inferkit import Client",
    "Client()": "import sys; from inferkit import Client; Client(home=sys.argv[1])",
}


def _environment(folder: str) -> dict[str, str]:
    """Have bytecode kept in `folder`, as an installer would have: a process that compiles takes time and memory."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": folder}


def _cpu_seconds(statement: str, folder: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement, folder], check=True, env=_environment(folder))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def imports(*, quick: bool) -> list[Figure]:
    """Measure the CPU time of processes that only import, the interpreter included."""
    times: dict[str, list[float]] = {name: [] for name in _STATEMENTS}
    with tempfile.TemporaryDirectory() as folder:
        for round_number in range(4 if quick else 16):
            for name, statement in _STATEMENTS.items():
                seconds = _cpu_seconds(statement, folder)
                if round_number:  # the first one compiles
                    times[name].append(seconds * 1000)
    return [
        Figure(
            f"a process that does: {name}",
            statistics.median(taken),
            "ms CPU",
            at_most=60 if name == "import inferkit" else None,
        )
        for name, taken in times.items()
    ]


def memory(*, quick: bool) -> list[Figure]:
    """Measure the memory of a process with a sync client on a full stack, after one call and after many."""
    calls = 2000 if quick else 20_000
    with serving() as server, tempfile.TemporaryDirectory() as folder:
        _child(server, "stack", 1, folder)  # compiles
        bare = _child(server, "httpx", 0, folder)
        stack = _child(server, "stack", calls, folder)
    return [
        Figure("memory after the first call, httpx", bare["first"], "MB"),
        Figure("memory after the first call, whole stack", stack["first"], "MB", at_most=60),
        Figure(f"memory grown in {calls:,} calls", stack["grown"], "MB", at_most=0.6),
        Figure("of that the process's own, without pages of files that are mapped", stack["own"], "MB"),
        # a hundredth of the calls: what a leak of anything would exceed, and chance does not
        Figure(f"objects grown in {calls:,} calls", stack["objects"], "objects", at_most=calls // 100),
    ]


def _child(server: str, kind: str, calls: int, folder: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.processes", server, kind, str(calls)]
    done = subprocess.run(command, check=True, capture_output=True, env=_environment(folder))
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _own_mb() -> float:
    """Give the memory that is nobody's file: pages of libraries and of SQLite's files come and go with the system's."""
    (kilobytes,) = (
        line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon:")
    )
    return int(kilobytes) / 2**10


def _one_call_of_httpx(server: str) -> dict[str, float]:
    import httpx

    with httpx.Client() as client:
        client.post(f"{server}/v1/chat/completions", json={"messages": []})
        return {"first": _resident_mb()}


def _many_calls(server: str, calls: int) -> dict[str, float]:
    """Call, and look at the memory after the first call, and after the caches have filled and again later.

    The memory tier keeps 200 entries here: it is meant to grow until it is full, and not what is looked for. SQLite's
    caches of pages are full after some 15,000 calls.
    """
    from benchmarks.application import fresh_question, settings
    from inferkit import Cache, Client
    from inferkit.caching.disk import DiskTier
    from inferkit.caching.memory import MemoryTier

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        cache = Cache(MemoryTier(max_entries=200), DiskTier(home / "cache"))
        with Client(**settings(server, home, cache=cache)) as client:

            def call(times: int) -> None:
                for _ in range(times):
                    client.complete("fast", fresh_question(), max_output_tokens=500)

            call(1)
            first = _resident_mb()
            call(max(2000, calls * 3 // 4))
            gc.collect()
            objects, resident, own = len(gc.get_objects()), _resident_mb(), _own_mb()
            call(calls)
            gc.collect()
            return {
                "first": first,
                "grown": _resident_mb() - resident,
                "own": _own_mb() - own,
                "objects": len(gc.get_objects()) - objects,
            }


if __name__ == "__main__":
    _, base_url, what, number = sys.argv
    result = _one_call_of_httpx(base_url) if what == "httpx" else _many_calls(base_url, int(number))
    print(json.dumps(result))
