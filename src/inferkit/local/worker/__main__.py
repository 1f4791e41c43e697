"""The worker process: owns the model, and answers calls by turns, each over a socket of its own.

Started by `inferkit.local.worker.process` with two numbers, the descriptors of its control socket and of the memory in
which it counts its steps. The first frame on the socket says what to load; each byte after it brings the socket of a
call. When no application holds the other end, it ends.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

from inferkit.local.engines.choice import load
from inferkit.local.engines.interface import EngineSettings
from inferkit.local.engines.machine import available_memory
from inferkit.local.worker.protocol import FrameDecoder, to_frame
from inferkit.local.worker.pulse import Pulse
from inferkit.local.worker.reception import Reception
from inferkit.local.worker.turns import Turns

if TYPE_CHECKING:
    from queue import SimpleQueue

    from inferkit.local.worker.reception import IncomingCall


def refuse(calls: SimpleQueue[IncomingCall | None], error: Exception) -> None:
    """Tell every caller why the model could not be loaded."""
    frame = {**to_frame(error), "fatal": True}
    while (call := calls.get()) is not None:
        call.send(frame)
        call.close()


def limit_memory(settings: EngineSettings) -> None:
    """Take no more memory than was allowed, or was free at the start. Files that are mapped, the weights, do not count.

    With a GPU only what was asked for holds: its driver reserves addresses for much more than it uses. No core is ever
    written: it would hold prompts.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = settings.memory_limit or (None if settings.gpu_layers else available_memory())
    if limit is not None:
        with contextlib.suppress(OSError, ValueError):  # a lower one may hold already
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def read_settings(control: socket.socket) -> dict[str, Any]:
    """Read the first frame, byte by byte at its end: what follows it carries descriptors."""
    decoder = FrameDecoder()
    while True:
        data = control.recv(1)
        if not data:
            os._exit(0)
        frames = decoder.feed(data)
        if frames:
            return frames[0]


def main() -> None:
    """Run until the application is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt at the terminal is the application's
    control = socket.socket(fileno=int(sys.argv[1]))
    settings = EngineSettings(**read_settings(control))
    pulse = Pulse(int(sys.argv[2]))
    limit_memory(settings)
    reception = Reception(control, pulse)
    threading.Thread(target=reception.run, daemon=True).start()
    try:
        model = load(settings)
    except Exception as error:
        reception.outlives_application = True
        refuse(reception.calls, error)
        return
    if not Turns(model, reception.calls).run():
        sys.exit(1)


if __name__ == "__main__":
    main()
