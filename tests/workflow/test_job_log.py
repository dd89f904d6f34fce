"""What a script's job leaves on the terminal and in its log, however it ends."""

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
        ("raise ValueError('no such file')", 1, "error: no such file\n", "error: no such file"),
        ("raise KeyboardInterrupt", 130, "", "interrupted"),
    ],
)
def test_a_script_says_why_it_ended(tmp_path, body, status, on_terminal, in_log):
    log = tmp_path / "job.log"
    command = [sys.executable, "-c", SCRIPT.format(body=body), str(log)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", on_terminal)
    assert log.read_text().splitlines()[-1] == in_log


def test_a_fault_of_ours_is_shown_whole_in_both(tmp_path):
    log = tmp_path / "job.log"
    command = [sys.executable, "-c", SCRIPT.format(body="1 / 0"), str(log)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "ZeroDivisionError" in log.read_text()
