"""Output of a script's job on the terminal and in its log, for every kind of end."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from posmlp.workflow import job_log
with job_log(sys.argv[1]):
    print("beginning")
    {body}
"""


@pytest.mark.parametrize(
    ("body", "status", "on_terminal", "in_log"),
    [
        ("pass", 0, "", "beginning"),
        ("raise ValueError('no such file')", 1, "error: no such file", "error: no such file"),
        ("raise KeyboardInterrupt", 130, "", "interrupted"),
        ("1 / 0", 1, "ZeroDivisionError: ", "ZeroDivisionError: "),  # ours, with a traceback
    ],
)
def test_a_script_says_why_it_ended(tmp_path, body, status, on_terminal, in_log):
    log = tmp_path / "job.log"
    command = [sys.executable, "-c", SCRIPT.format(body=body), str(log)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (status, "")
    assert bool(done.stderr) == bool(on_terminal)
    for last, start in ((done.stderr, on_terminal), (log.read_text(), in_log)):
        assert not start or last.splitlines()[-1].startswith(start)
