"""What this machine has for a model: cores, and memory, as far as the process's control groups let it use them."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["available_memory", "cpu_features", "killed_for_memory", "tells_of_memory", "usable_cores"]

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")
_PROCESSOR = Path("/proc/cpuinfo")
_MEMORY = Path("/proc/meminfo")
_EVENTS = Path("/proc/vmstat")
_WANT_OF_MEMORY = re.compile(
    r"(?i)memory|bad_alloc|failed to allocate|mem_buffer != NULL|llama\.cpp:453: data"
    r"|failed to map segment from shared object(?!: Operation not permitted)"  # which is a folder mounted "noexec"
    r"|can't start new thread|Frozen object named"  # no room for its stack; for a module of Python itself
    r"|SystemError: error return without exception set"  # nor for the exception that says so
)


def usable_cores() -> int:
    """Count the cores this process may use: its affinity, and its container's share of time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for quota, period in _shares():
        if quota > 0 and period > 0:
            cores = min(cores, max(1, quota // period))
    return cores


def _shares() -> Iterator[tuple[int, int]]:
    """Give how long groups may compute in how long a time; where they are not limited, perhaps less than nothing."""
    for group in _groups():
        with contextlib.suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
            yield int(quota), int(period)
    for group in _groups("cpu"):
        with contextlib.suppress(OSError, ValueError):
            quota, period = [(group / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")]
            yield int(quota), int(period)


def cpu_features() -> frozenset[str]:
    """Read the processor's features from the kernel; none where it does not tell."""
    with contextlib.suppress(OSError), _PROCESSOR.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == "flags":
                return frozenset(value.split())
    return frozenset()


def available_memory() -> int | None:
    """Give the bytes that can be had without swapping; None where the system does not tell."""
    rooms = [
        *(_room(group, "memory.max", "memory.current", "inactive_file") for group in _groups()),
        *(
            _room(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            for group in _groups("memory")
        ),
    ]
    found = [room for room in rooms if room is not None]
    free = _number(_MEMORY, "MemAvailable:")
    if free is not None:
        found.append(free << 10)
    return min(found, default=None)


def killed_for_memory() -> int:
    """Count the processes that the system ended since it started because memory ran out; 0 where it does not tell."""
    return _number(_EVENTS, "oom_kill") or 0


def tells_of_memory(words: str) -> bool:
    """Say whether the last words of Python, or of one of the libraries, mean that it was given no memory."""
    return _WANT_OF_MEMORY.search(words) is not None


def _groups(controller: str = "") -> Iterator[Path]:
    """Give the control group of this process, and those that it lies in.

    That is the one of version 2; or, of version 1, the one that a controller has, each of which has a tree of its own.
    In a container the path may be that of the host, and what is seen is the container's group alone: the roots count.
    """
    root, inner = _GROUPS / controller, ""
    with contextlib.suppress(OSError):
        for line in _OWN_GROUP.read_text(encoding="utf-8", errors="replace").splitlines():
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if controller in controllers.split(",") and (controller or number == "0") and path.startswith("/"):
                inner = path.removeprefix("/")
    group = root / inner
    while True:
        yield group
        if group == root or root not in group.parents:
            return
        group = group.parent


def _room(group: Path, most: str, now: str, spare: str) -> int | None:
    """Give what a group may still use. Files that it read and no longer needs are given up for it."""
    try:
        limit = int((group / most).read_text(encoding="ascii"))
        used = int((group / now).read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such group, or "max"
        return None
    return max(0, limit - used + (_number(group / "memory.stat", spare) or 0))


def _number(table: Path, name: str) -> int | None:
    """Give the number behind a name in one of the kernel's tables."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in table.read_text(encoding="ascii").splitlines():
            words = line.split()
            if words and words[0] == name:
                return int(words[1])
    return None
