"""The worker process: owns the model, and answers calls in turn, each over a socket of its own.

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

if TYPE_CHECKING:
    from inferkit.local.engines.interface import LoadedModel
    from inferkit.local.worker.reception import IncomingCall


def answer(model: LoadedModel | Exception, call: IncomingCall) -> bool:
    """Answer one call; False where what the model holds can no longer be trusted. Refusals are told to the caller."""
    sound = True
    try:
        if call.gone():
            return True
        if isinstance(model, Exception):
            call.send({**to_frame(model), "fatal": True})
        else:
            model.serve(call.request, call)
    except Exception as error:
        frame = to_frame(error)
        sound = "fatal" not in frame
        call.send(frame)
    finally:
        call.close()
    return sound


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
    model: LoadedModel | Exception
    try:
        model = load(settings)
    except Exception as error:
        model = error
        reception.outlives_application = True
    while (call := reception.calls.get()) is not None:
        if not answer(model, call):
            sys.exit(1)


if __name__ == "__main__":
    main()
