"""The lock under which a call imports what it is the first to need: `with imports.lock: import httpx`.

A module that a thread is importing while another one forks is never finished in the child, which would wait for it for
ever. So a fork waits for this lock. Whatever is imported within a call for the first time is imported under it.
"""

from __future__ import annotations

import threading
from importlib import import_module

from inferkit.runtime.forks import hold_across_fork

__all__ = ["load", "lock"]

lock = threading.RLock()
_loaded: set[str] = set()


def load(*names: str) -> None:
    """Import these modules, unless that was done here before."""
    if not _loaded.issuperset(names):
        with lock:
            for name in names:
                import_module(name)
        _loaded.update(names)


class _AcrossForks:
    def hold(self) -> None:
        lock.acquire()

    def release(self) -> None:
        lock.release()

    def renew(self) -> None:
        global lock  # noqa: PLW0603 - one a process
        lock = threading.RLock()


_across_forks = _AcrossForks()
hold_across_fork(_across_forks)
