"""No damaged file kills or stalls an engine: what the checks let through runs, or is refused by the engine itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_no_damaged_file_kills_or_stalls_the_engine(tmp_path, engine):
    """A few of the mutations; run fuzz_models.py by hand for thousands."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(Path(__file__).with_name("fuzz_models.py")), str(tmp_path), engine, "0", "240"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    assert found["seeds"] == {}
    assert found["verdicts"]["refused"] > 100
    assert found["verdicts"]["ran"] > 30
