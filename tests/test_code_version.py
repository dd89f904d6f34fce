"""Code digests change only with what code does; provenance never fails a run."""

import subprocess
from pathlib import Path

import pytest

from posmlp import code_version
from posmlp.code_version import code_digest, cpu_name, environment, git_state

SOURCE = '''
"""Module docstring."""
from dataclasses import dataclass, field

LIMIT: int = 1_000  # a comment


@dataclass(frozen=True)
class Square:
    """Class docstring."""

    side: float = 1.5
    """What a reader calls an attribute's docstring."""
    names: list[str] = field(default_factory=lambda *a, b=None, **c: ["é", "", b"\\x00", ...])

    async def area(self, /, scale=2, *, unit=None):
        """Function docstring."""
        match self.side:
            case float() | int() as side if side > 0:
                return f"{side * scale ** 2!r:>{LIMIT}} {unit=}" "joined"
            case {"side": [first, *rest], **other}:
                return {**other, "first": first}, {*rest}, not (1j, True, None)
        try:
            with open("x") as x, open("y"):
                yield [a := b for b in x if b for c in b]
        except* OSError:
            raise ValueError from None
'''


def digest(folder: Path, source: str = SOURCE, path: str = "layers/a.py") -> str:
    """The digest of a package that holds one file."""
    package = folder / str(len(list(folder.iterdir())))
    (package / path).parent.mkdir(parents=True)
    (package / path).write_text(source, encoding="utf-8")
    return code_digest(package, ("layers", "models"))


def test_digest_is_known_on_every_python(tmp_path):
    # Verified on Python 3.11.7, 3.12.1 and 3.13.0. If this fails, another Python would retrain
    # finished runs. Update the digest only if `canonical` was changed on purpose.
    assert digest(tmp_path) == "561ae458c45c2966"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a comment", ""),
        ("Class docstring.", "Another one."),
        ('"""Function docstring."""\n', "\n\n"),
        ('    """What a reader calls an attribute\'s docstring."""\n', ""),
        ("1_000", "1000"),
        ('["é", "", b"\\x00", ...]', "['é', '', b'\\x00', ...,]"),
        ("not (1j, True, None)", "(not (1j, True, (None)))"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(tmp_path, old, new):
    assert old in SOURCE
    assert digest(tmp_path) == digest(tmp_path, SOURCE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("scale ** 2", "scale * 2"),
        ("scale ** 2", "scale ** 2.0"),
        ("True", "1"),
        ("unit=None", "unit"),
        ("!r", "!s"),
        ("é", "e"),
        ('"é", ""', '"é"'),
        ("except*", "except"),
        ("async def", "def"),
        ("frozen=True", "frozen=False"),
        ("{**other", "{other: None"),
        ('"joined"', ""),
        ("from None", ""),
    ],
)
def test_a_change_of_what_code_does_counts(tmp_path, old, new):
    assert old in SOURCE
    assert digest(tmp_path) != digest(tmp_path, SOURCE.replace(old, new))


def test_a_file_counts_with_its_place(tmp_path):
    places = ["layers/a.py", "layers/b.py", "layers/c/a.py", "models/a.py", "layers/a/b.py"]
    assert len({digest(tmp_path, path=path) for path in places}) == len(places)
    others = ["analysis/a.py", "layers/.#a.py", "layers/a.txt"]  # and editors' locks do not count
    assert len({digest(tmp_path, path=path) for path in others}) == 1


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository with one commit, in place of that of the package."""
    monkeypatch.setattr(code_version, "PACKAGE", tmp_path / "posmlp")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "posmlp").mkdir()
    (tmp_path / "posmlp/a.py").write_text("x = 1\n")
    for command in (
        "init -q",
        "add posmlp",
        "-c user.name=a -c user.email=a@example.org -c commit.gpgsign=false commit -q -m one",
    ):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    return tmp_path


def test_git_state_is_the_commit_and_whether_files_differ(repository):
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=repository, text=True).strip()
    assert git_state() == {"git_commit": head, "git_dirty": False}
    (repository / "results").mkdir()
    (repository / "results/table.csv").write_text("1\n")
    assert git_state()["git_dirty"] is False
    for name in ("posmlp/a.py", "new.py"):
        (repository / name).write_text("x = 2\n")
        assert git_state() == {"git_commit": head, "git_dirty": True}
        subprocess.run(["git", "checkout", "-q", "posmlp"], cwd=repository, check=True)


def test_git_state_is_unknown_without_repository_or_git(tmp_path, monkeypatch):
    unknown = {"git_commit": None, "git_dirty": None}
    monkeypatch.setattr(code_version, "PACKAGE", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state() == unknown
    monkeypatch.setattr(code_version, "PACKAGE", Path(code_version.__file__).parent)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state() == unknown


def test_processors_of_the_same_name_are_distinguished(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    processor = "model\t\t: {}\nmodel name\t: AMD EPYC\nstepping\t: 1\nflags\t: avx2\n\n"
    cpuinfo.write_text(processor.format(2) + processor.format(3))
    assert cpu_name(cpuinfo) == "AMD EPYC (model 2, stepping 1)"
    assert cpu_name(tmp_path / "none") != ""


def test_environment_includes_the_slurm_job(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    assert environment("cpu")["slurm_job_id"] == "42"
    monkeypatch.delenv("SLURM_JOB_ID")
    assert environment("cpu")["slurm_job_id"] is None
