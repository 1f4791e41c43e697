"""Work on a model file in a process of its own, since native code may end the one it runs in.

A job is a module that is run with `python -m`. It gets its settings as JSON on its standard input, and answers on a
pipe with lines of JSON: reports while it works, and a result or an error at its end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from inferkit.local.errors import EngineUnavailable, JobDied
from inferkit.local.worker.process import exit_story, memory_file, worker_environment
from inferkit.local.worker.protocol import from_frame, to_frame

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Report", "run_job", "serve_job"]

Report: TypeAlias = "Callable[[dict[str, Any]], None]"

_TAIL_BYTES = 600


def run_job(module: str, settings: dict[str, Any], report: Report) -> dict[str, Any]:
    """Run a job to its end and give its result. Raises its error, or `JobDied` where it ended without a word."""
    if not sys.executable:
        raise EngineUnavailable("a Python process has to be started, and sys.executable does not name one")
    reading, writing = os.pipe()
    with memory_file() as errors, os.fdopen(reading, encoding="utf-8") as lines:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", module, str(writing)],
                stdin=subprocess.PIPE,
                stdout=errors,
                stderr=errors,
                pass_fds=(writing,),
                env=worker_environment(),
                start_new_session=True,
            )
        finally:
            os.close(writing)
        try:
            _hand_over(process, settings)
            ending: dict[str, Any] = {}
            for line in lines:
                said = json.loads(line)
                if "report" in said:
                    report(said["report"])
                else:
                    ending = said
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if "error" in ending:
            raise from_frame(ending)
        if "result" not in ending:
            raise JobDied(f"the process that worked on the file is gone: {exit_story(code)}{_last_words(errors)}")
        result: dict[str, Any] = ending["result"]
        return result


def _last_words(errors: IO[bytes]) -> str:
    size = os.fstat(errors.fileno()).st_size
    words = os.pread(errors.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES)).decode("utf-8", "replace")
    said = " | ".join(line.strip() for line in words.splitlines() if line.strip())
    return f"; its last words: {said}" if said else ""


def _hand_over(process: subprocess.Popen[bytes], settings: dict[str, Any]) -> None:
    assert process.stdin is not None
    try:
        with process.stdin as given:
            given.write(json.dumps(settings).encode("ascii"))
    except BrokenPipeError:
        return  # it died already; its end says how


def serve_job(work: Callable[[dict[str, Any], Report], dict[str, Any]]) -> None:
    """Do a job in its own process: `work` gets settings and a way to report, and gives the result."""
    with os.fdopen(int(sys.argv[1]), "w", encoding="utf-8", buffering=1) as out:

        def say(what: str, said: dict[str, Any]) -> None:
            out.write(json.dumps({what: said}) + "\n")

        settings = json.loads(sys.stdin.buffer.read())
        try:
            result = work(settings, lambda said: say("report", said))
        except Exception as error:
            out.write(json.dumps(to_frame(error)) + "\n")
        else:
            say("result", result)
