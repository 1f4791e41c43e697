"""The worker process: owns the model, and answers calls in turn, each over a socket of its own.

Started by `inferkit.local.worker.process` with one number, the descriptor of its control socket. The first frame there
says what to load; each byte after it brings the socket of a call. When no application holds the other end, it ends.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

from inferkit.local.engines.choice import load
from inferkit.local.engines.interface import EngineSettings
from inferkit.local.worker.protocol import FrameDecoder, to_frame
from inferkit.local.worker.reception import Reception

if TYPE_CHECKING:
    from inferkit.local.engines.interface import LoadedModel
    from inferkit.local.worker.reception import IncomingCall


def answer(model: LoadedModel | Exception, call: IncomingCall) -> None:
    """Answer one call; a failure is told to its caller and ends nothing else."""
    try:
        if call.gone():
            return
        if isinstance(model, Exception):
            call.send({**to_frame(model), "fatal": True})
        else:
            model.serve(call.request, call)
    except Exception as error:
        call.send(to_frame(error))
    finally:
        call.close()


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
    settings = read_settings(control)
    reception = Reception(control)
    threading.Thread(target=reception.run, daemon=True).start()
    model: LoadedModel | Exception
    try:
        model = load(EngineSettings(**settings))
    except Exception as error:
        model = error
        reception.outlives_application = True
    while (call := reception.calls.get()) is not None:
        answer(model, call)


if __name__ == "__main__":
    main()
