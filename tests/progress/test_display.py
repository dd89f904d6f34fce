"""Output without a terminal."""

from posmlp.progress.display import Display


def test_without_a_terminal_there_are_failures_and_a_line(watch, folder, capfd, monkeypatch):
    monkeypatch.setattr("posmlp.progress.state.Watch.is_over", property(lambda self: True))
    folder.begins()
    folder.fails()
    Display(watch).follow()
    failure, line = capfd.readouterr().err.splitlines()
    assert failure == "failed: sgu seed 0: the training loss is nan"
    assert line.endswith("tiny: 0 of 4 runs finished, 1 failed, 3 waiting")
