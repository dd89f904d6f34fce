"""The command: what it prints, and its exit status, for results that are sound and that are not."""

import re
import shutil

import pytest

import posmlp.recheck.check
import posmlp.recheck.retrain
from posmlp.__main__ import DIFFERENT, FAILED, main
from posmlp.data.images import DataError


@pytest.fixture
def check(tiny, capsys):
    """Return a function that runs the command on the copy: exit status, and what it printed."""

    def run(*arguments):
        results = ["--results", str(tiny.parent / "results")]
        status = main(["check-results", str(tiny), *results, *arguments])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


@pytest.fixture
def trains_at_once(trained, monkeypatch):
    """Let a training be a copy of a finished run, which is what it gives."""

    def copy(collected, config, results, data_root):
        shutil.copytree(config.folder(trained / "results"), config.folder(results))
        return ""

    monkeypatch.setattr(posmlp.recheck.retrain, "train", copy)


@pytest.fixture
def draws_nothing(monkeypatch):
    """Leave out what is made from tables of runs, where a test is about trainings."""
    monkeypatch.setattr(posmlp.recheck.check, "derive_study", lambda *_: [])


def counts(output: str) -> dict[str, list[int]]:
    """Return the numbers in the rows of the table of files: all, equal, different, not made."""
    rows = re.findall(r"^tiny +(\w+(?: \w+)*) +(\d+) +(\d+) +(\d+) +(\d+)(?:  .*)?$", output, re.M)
    return {kind: list(map(int, numbers)) for kind, *numbers in rows}


def test_sound_results_are_made_again_to_the_last_byte_and_digit(check, tiny):
    status, output = check("--sample", "5")
    assert status == 0, output
    assert "tiny: 2 of 2 runs, drawn with the seed 0, are trained again" in output
    for kind in ("tables", "texts", "figures of runs", "figures of networks"):
        number, equal, different, not_made = counts(output)[kind]
        assert number == equal > 0
        assert different == not_made == 0
    assert len(re.findall(r"^tiny +\w+ seed 0 +(\d+) +\1 +0 +0 +0$", output, re.M)) == 2, output
    files = [path for path in (tiny.parent / "results/tiny").rglob("*") if path.is_file()]
    num_made = len(files) - len(["runs.csv", "curves.csv"])
    assert output.splitlines()[-1] == f"files {num_made}, runs trained again 2, differences 0"
    assert not list((tiny.parent / "work").iterdir())


def test_a_changed_table_and_figure_are_named(check, edit, tiny):
    edit("tables/main.md", "22,826", "22,827")
    figure = edit("figures/accuracy_vs_params.svg", "<path", "<path ")
    picture = tiny.parent / "results/tiny/figures/run_curves/sgu.png"
    picture.write_bytes(picture.read_bytes()[:-1])
    stray = shutil.copy(figure, tiny.parent / "results/tiny/figures/by_hand.svg")
    (tiny.parent / "results/tiny/tables/main.tex").unlink()
    status, output = check("--sample", "0")
    assert status == DIFFERENT
    assert re.search(r"main\.md: line \d+: committed '.*22,827.*', now '.*22,826", output)
    assert re.search(r"accuracy_vs_params\.svg: line \d+: committed .*<path ", output)
    assert f"{picture}: bytes differ from {tiny.parent}/work/" in output
    assert f"{stray}: nothing makes it" in output
    assert "main.tex: is not there, and can be made" in output
    assert output.splitlines()[-1].endswith("runs trained again 0, differences 5")
    assert counts(output)["tables"] == [3, 1, 2, 0]


@pytest.mark.usefixtures("trains_at_once")
def test_a_changed_number_of_a_run_is_found_in_files_and_by_training(check, read, edit):
    run = read().runs.iloc[0]
    edit("runs.csv", f",{run['loss']},", f",{run['loss'] + 1e-9},")
    edit("curves.csv", f",{run['test_top1']},", f",{run['test_top1'] + 0.5},")
    status, output = check("--sample", "2")
    assert status == DIFFERENT
    committed, now = run["test_loss"] + 1e-9, run["test_loss"]
    line = f"tiny: sgu seed 0, loss, epoch 1: committed {committed}, now {now}, should be the same"
    assert line in output
    assert f"sgu seed 0, test_top1, epoch 0: committed {run['test_top1'] + 0.5}, now" in output
    assert "a processor can hide other instructions behind its name" in output
    assert re.search(r"checks\.md: cannot be made: study tiny is not finished", output)
    assert re.search(r"run_curves/sgu\.svg: line \d+", output)


@pytest.mark.usefixtures("trains_at_once", "draws_nothing")
def test_on_another_machine_numbers_have_a_tolerance_and_networks_no_figures(check, read, edit):
    run = read().runs.iloc[0]
    edit("runs.csv", f",{run['torch']},", ",1.0,")
    status, output = check("--sample", "2")
    assert status == 0, output
    assert f"compared within a tolerance: torch was 1.0 and is {run['torch']}" in output
    number, equal, different, not_made = counts(output)["figures of networks"]
    assert (equal, different) == (0, 0)
    assert number == not_made > 0
    assert "not the same to the last digit on another machine" in output


@pytest.mark.usefixtures("draws_nothing")
@pytest.mark.parametrize("column", ["code_version", "key"])
def test_runs_of_other_code_or_settings_are_not_trained_but_reported(check, read, edit, column):
    value = read().runs.iloc[0][column]
    edit("runs.csv", f",{value},", ",0123456789abcdef,")
    status, output = check()
    assert status == DIFFERENT
    assert "0123456789abcdef" in output
    assert f"make reproduce STUDY={read().study.files[0]}" in output
    assert "runs trained again 0" in output


@pytest.mark.usefixtures("draws_nothing")
def test_a_study_without_its_data_is_not_trained_and_that_is_said(check, monkeypatch):
    def missing(*_):
        raise DataError("data/digits: no such folder")

    monkeypatch.setattr(posmlp.recheck.retrain, "prepare_study", missing)
    status, output = check()
    assert status == 0, output
    assert "tiny: not trained again: data/digits: no such folder" in output
    assert "runs trained again 0, differences 0" in output


@pytest.mark.usefixtures("draws_nothing")
def test_a_training_that_fails_is_a_difference(check, monkeypatch):
    monkeypatch.setattr(posmlp.recheck.retrain, "launch", lambda *_: "false")
    status, output = check("--sample", "1")
    assert status == DIFFERENT
    assert re.search(r"tiny: \w+ seed 0: its training ended with the status 1; see above", output)


def test_an_unknown_study_and_results_that_are_not_there_are_errors(check, tiny, tmp_path, capsys):
    assert main(["check-results", "tinny", "--results", str(tmp_path / "results")]) == FAILED
    assert "config/studies/tinny.yaml: no such file" in capsys.readouterr().err
    assert main(["check-results", "--results", str(tmp_path / "empty")]) == FAILED
    assert "no study here has a runs.csv; `make reproduce`" in capsys.readouterr().err
    (tiny.parent / "results/tiny/runs.csv").unlink()
    status, output = check()
    assert status == FAILED
    assert "results/tiny/runs.csv: no such file" in output
    shutil.copy(tiny.parent / "results/tiny/curves.csv", tiny.parent / "results/tiny/runs.csv")
    status, output = check()
    assert status == FAILED
    assert re.search(r"results/tiny/runs\.csv: lacks study, .*so another version wrote it", output)
    with pytest.raises(SystemExit):
        main(["check-results", "--sample", "-1"])
    assert "-1 is below 0" in capsys.readouterr().err


def test_a_table_of_another_version_is_a_fault_of_what_is_drawn_from_it(check, edit):
    edit("granularity.csv", ",initial,", ",start,")
    status, output = check("--sample", "0")
    assert status == DIFFERENT
    assert re.search(
        r"figures/\S+ and \d+ more: cannot be made: .*granularity\.csv: lacks initial", output
    )
    assert counts(output)["tables"] == [3, 3, 0, 0]
