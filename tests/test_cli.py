"""The command `posmlp`: every mistake is an `error:` line that names a file or key."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from posmlp import cli, metrics, user_errors
from posmlp.analysis.collect import find_runs, runs_frame, write_frame
from posmlp.study import Study, load_study

ROOT = Path(__file__).parents[1]
NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
STUDY = """\
title: Tiny
question: What does a command say?
data: {name: digits}
model: {name: gmlp_posgu_xs1_8, gate: sgu}
recipe: {epochs: 1, batch_size: 32, lr: 1e-2, weight_decay: 0.05}
seeds: [0, 1]
reference: sgu
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Path:
    """A folder with tiny.yaml, results/, and invalid studies, results and paths."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(STUDY)
    Path("tiny.tsv").write_text("variant\tclaim\tmodel.gate\nsgu\ta\t\nqpe\tb\tqpe\n")
    Path("wrong.yaml").write_text(STUDY.replace("1e-2", "-1"))
    Path("wrong.tsv").write_text(Path("tiny.tsv").read_text())
    Path("twice.yaml").write_text("title: A\ntitle: B\n")
    Path("loop.yaml").symlink_to("loop.yaml")
    Path("file").touch()
    Path("loop").symlink_to("loop")
    Path("damaged/tiny").mkdir(parents=True)
    Path("damaged/tiny/runs.csv").write_text("a,b\n1,2,3\n")
    Path("damaged/tiny/calibration.csv").write_text("variant,speed\nsgu,1\n")
    Path("results").mkdir()
    return tmp_path


def finish(study: Study, results: Path = Path("results")) -> None:
    """Write the metrics, runs.csv and checks.md of a finished study."""
    for number, run in enumerate(study.runs()):
        folder = run.folder(results)
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(run.to_yaml())
        values = dict.fromkeys(metrics.RUN_COLUMNS, 60.0 + number % 2) | {"key": run.key}
        values |= {"finished_at": "2026-01-01T00:00:00+00:00", "data_digest": "0" * 16}
        values["token_mixing_params_per_layer"] = [60]
        (folder / "metrics.json").write_text(json.dumps(values))
    here = results / study.name
    here.mkdir(exist_ok=True)
    write_frame(runs_frame(study, find_runs(study, results)), here / "runs.csv")
    (here / "checks.md").touch()


def error_of(capsys, *words: str) -> str:
    """Run a command that must fail; return its error message."""
    assert cli.main([str(word) for word in words]) == user_errors.FAILED
    output = capsys.readouterr()
    lines = output.err.splitlines()
    assert lines[0].startswith("error: ")
    assert "Traceback" not in output.err + output.out
    return output.err


OF_A_STUDY = "plan", "calibrate", "prepare", "train", "show", "check-results"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        *[(f"{command} tinny.yaml", "tinny.yaml: no such file; . has") for command in OF_A_STUDY],
        ("show tiny", "config/studies: no such folder, so there is no study 'tiny'; run the comm"),
        ("show wrong.yaml", "wrong.yaml: recipe.lr: should be greater than 0, found -1 (learning"),
        ("show twice.yaml", "twice.yaml, line 2, column 1: while constructing a mapping, found "),
        ("show loop.yaml", "loop.yaml: not a readable UTF-8 text file"),
        ("train tiny.yaml qpe_s1/seed0", "tiny.tsv: no variant 'qpe_s1'; "),
        ("train tiny.yaml qpe/seed7", "tiny.yaml: seeds: 7 is not among [0, 1]"),
        ("train tiny.yaml qpe/seed0 --results file", "file/logs/tiny/train: Not a directory"),
        ("calibrate tiny.yaml --results file", "file/tiny: Not a directory; correct the path"),
        ("prepare tiny.yaml --results loop", "loop/tiny: Too many levels of symbolic links"),
        ("show tiny.yaml", "results/tiny/runs.csv: no such file; `snakemake` writes it"),
        ("show tiny.yaml --results damaged", "damaged/tiny/runs.csv: cannot be read (CSV parse"),
        ("show tiny.yaml --so-far", "study tiny: 4 of 4 runs are not finished"),
        (
            "plan tiny.yaml --results damaged",
            "calibration.csv: damaged; delete it and calibrate again",
        ),
        ("plan tiny.yaml --cluster", "slurm/site.yaml: no such file"),
        ("check-results", "results: no study here has a runs.csv"),
        ("audit", "published.csv: no such file"),
        ("docs", "README.md: No such file or directory; correct the path (relative to the repo"),
        ("sync tinny.yaml", "results/runs holds no runs of a study 'tinny'"),
        ("ui --host no.such.host.invalid", "no.such.host.invalid"),
        ("evaluate-checkpoint no.pth .", "no.pth: No such file"),
        ("evaluate-checkpoint file .", "file: "),
    ],
)
def test_a_mistake_is_one_error(tiny, capsys, words, expected):
    error = error_of(capsys, *words.split())
    assert expected in error


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", "required: COMMAND"),
        ("shw tiny.yaml", "invalid choice: 'shw'"),
        ("show", "required: STUDY"),
        ("train tiny.yaml qpe", "'qpe' is not VARIANT/seedK, such as sgu/seed0"),
        ("train tiny.yaml --part 3/2", "'3/2' is not K/N with K from 1 to N"),
        ("ui --port 99999", "99999 is not a number from 1 to 65535"),
        ("sync --every soon", "invalid number value: 'soon'"),
    ],
)
def test_a_wrong_option_is_named(tiny, capsys, words, expected):
    with pytest.raises(SystemExit) as ended:
        cli.main(words.split())
    assert ended.value.code == 2
    assert expected in capsys.readouterr().err


def test_several_mistakes_are_an_error_each(tiny, capsys):
    Path("wrong.yaml").write_text(STUDY.replace("1e-2", "-1").replace("epochs: 1", "epochs: 0"))
    assert error_of(capsys, "show", "wrong.yaml").count("error: wrong.yaml: recipe.") == 2


def test_the_exit_status_of_ctrl_c_is_run_again(tiny, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "load_study", interrupt)
    assert cli.main(["show", "tiny.yaml"]) == user_errors.RUN_AGAIN


def test_planning_for_a_cluster_needs_slurm(tiny, capsys, monkeypatch):
    Path("slurm").mkdir()
    Path("slurm/site.yaml").write_text((ROOT / "slurm/site.yaml").read_text())
    monkeypatch.setenv("PATH", "")
    error = error_of(capsys, "plan", "tiny.yaml", "--cluster")
    assert "Slurm is not installed here (sinfo is not on PATH); run the command on" in error


def test_the_plan_needs_neither_snakemake_nor_a_lock(tiny, capsys):
    assert cli.main(["plan", "tiny.yaml"]) == 0
    plan = capsys.readouterr().out
    assert plan.startswith("Plan of tiny: 4 runs in 1 job, 0 done, 4 to do; 1 GPU each")
    assert "`posmlp calibrate tiny.yaml`" in plan  # as the command named it
    assert not [*Path().rglob(".snakemake"), *Path("results").iterdir()]


def test_results_of_other_settings_are_reported_as_outdated(tiny, capsys):
    finish(load_study("tiny.yaml"))
    assert cli.main(["show", "tiny.yaml"]) == 0
    assert "Checks: all passed" in capsys.readouterr().out
    Path("tiny.yaml").write_text(STUDY.replace("seeds: [0, 1]", "seeds: [0, 1, 2]"))
    assert cli.main(["show", "tiny.yaml"]) == 0
    assert "Outdated: 2 of 6 runs" in capsys.readouterr().out
    Path("tiny.yaml").write_text(STUDY.replace("1e-2", "2e-2"))
    assert cli.main(["show", "tiny.yaml"]) == 0
    shown = capsys.readouterr().out
    assert "Outdated: 4 of 4 runs" in shown
    assert "`make reproduce STUDY=tiny.yaml`" in shown
    assert "passed" not in shown


def run(*words: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "posmlp", *words]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **options)


def test_a_run_that_cannot_start_is_reported_with_its_log(tiny):
    done = run("train", "tiny.yaml", "qpe/seed0", "--device", "cuda", env=os.environ | NO_GPU)
    assert done.returncode == user_errors.FAILED
    _, failed, last = done.stderr.splitlines()
    assert failed.startswith("failed: qpe-seed0: device: cuda was requested but ")
    assert failed.endswith(" (log: results/logs/tiny/train/qpe-seed0.log)")
    assert last == "error: 0 of 1 runs done, 1 failed"


def test_a_terminal_without_the_minus_sign(tiny):
    finish(load_study("tiny.yaml"))
    latin = os.environ | {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    table = run("show", "tiny.yaml", stdout=subprocess.PIPE, encoding="latin-1", env=latin)
    assert (table.returncode, table.stderr) == (0, "")


def test_output_that_cannot_be_written(tiny):
    with Path("/dev/full").open("w") as full:
        done = run("plan", "tiny.yaml", stdout=full)
    assert (done.returncode, done.stderr.count("\n")) == (user_errors.FAILED, 1)
    assert done.stderr.startswith("error: [Errno 28] No space left on device; correct the path")
    reading, writing = os.pipe()
    os.close(reading)
    done = run("plan", "tiny.yaml", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (user_errors.PIPE_CLOSED, "")


def test_make_takes_the_path_of_a_study():
    command = ["make", "--dry-run", "report", "STUDY=my/tiny.yaml"]
    recipe = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert '--config study="my/tiny.yaml"' in recipe
    assert '--report "results/tiny/archive.html"' in recipe


def test_every_command_is_listed_and_has_help(capsys):
    for words in (["--help"], *([command, "--help"] for command in cli.COMMANDS)):
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        assert ended.value.code == 0
        text = capsys.readouterr().out
        assert text.startswith(" ".join(["usage: posmlp", *words[:-1]]))
        assert len(words) > 1 or all(f"    {command}" in text for command in cli.COMMANDS)
