"""The files of a run folder: written atomically, and read back unchanged."""

import pytest

from posmlp.metrics import EPOCH_COLUMNS
from posmlp.runs.reading import read_history
from posmlp.runs.run_folder import RunFolder, write_atomically


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text("old")

    def fail(file):
        file.write(b"half of the new")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=rf"No space left on device: '{path}'"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_history_reads_back_to_the_last_digit(tmp_path):
    row = dict.fromkeys(EPOCH_COLUMNS, 1 / 3) | dict(epoch=0, ema_test_top1=None)
    RunFolder(tmp_path).write_history([row])
    assert read_history(tmp_path / "history.csv") == [row]
