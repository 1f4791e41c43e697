"""A process that runs a command until its disk is full: `python top_up_worker.py BYTES ARGUMENT...`."""

from __future__ import annotations

import resource
import signal
import sys

from inferkit.cli import main

size = int(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
sys.argv = ["inferkit", *sys.argv[2:]]
main()
