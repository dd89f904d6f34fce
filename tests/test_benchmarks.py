"""Every benchmark starts: nothing else would tell when a name that it imports is gone."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_every_benchmark_can_be_imported():
    names = sorted(path.stem for path in BENCHMARKS.glob("*.py"))
    program = "\n".join(f"import {name}" for name in names)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
