from pathlib import Path

import pytest

from posmlp.tracking.address import LONGEST_REASON, StoreError, brief, masked, resolve_uri


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_default_is_sqlite_in_the_absolute_results_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_uri(Path("results")) == f"sqlite:///{tmp_path}/results/mlflow.db"


def test_argument_goes_before_variable_before_default(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert resolve_uri(tmp_path) == "http://host:5000"
    assert resolve_uri(tmp_path, "https://other") == "https://other"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", " ")
    assert resolve_uri(tmp_path).startswith("sqlite:")


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////data/a b+ü,1/x.db",
        "https://user:pass@host/mlflow",
        "postgresql+psycopg://user:pass@host:5432/mlflow",
        "mysql+pymysql://host/mlflow",
    ],
)
def test_absolute_addresses_are_taken_as_they_are(tmp_path, uri):
    assert resolve_uri(tmp_path, uri) == uri


@pytest.mark.parametrize("uri", ["sqlite:///runs.db", "sqlite://", "sqlite:///:memory:", "sqlite:"])
def test_relative_sqlite_is_refused_and_shown_how_to_write(tmp_path, uri):
    with pytest.raises(StoreError, match=f"four slashes.* sqlite:///{tmp_path}/mlflow.db"):
        resolve_uri(tmp_path, uri)


@pytest.mark.parametrize("character", "%?#")
def test_sqlite_paths_that_mlflow_misreads_are_refused(tmp_path, character):
    with pytest.raises(StoreError, match=rf"holds \{character}, .*rename"):
        resolve_uri(tmp_path / f"a{character}b")


@pytest.mark.parametrize(
    "uri",
    [
        *("./mlruns", "mlruns", "file:/tmp/x", "file:///tmp/x", "databricks", "ftp://host/x"),
        *("http://", "http://host:port", "postgresql://", "postgresql://u:p#w@host/x"),
    ],
)
def test_other_addresses_are_refused_with_the_allowed_ones(tmp_path, uri):
    with pytest.raises(StoreError, match=r"cannot be used: it must be .*sqlite:////.* Unset it"):
        resolve_uri(tmp_path, uri)


@pytest.mark.parametrize(
    "text",
    [
        "cannot open postgresql://anna:secret@db/x now",
        "http://anna:se/secret@host:5000",
        "postgresql://host/x?user=anna&password=secret",
        "mysql://anna:a@secret@host",
    ],
)
def test_masked_hides_passwords(text):
    assert "secret" not in masked(text)


def test_masked_leaves_other_text():
    text = "http://127.0.0.1:5000/#/x and sqlite:////home/me/x.db"
    assert masked(text) == text


def test_refused_address_does_not_show_its_password(tmp_path):
    with pytest.raises(StoreError) as error:
        resolve_uri(tmp_path, "oracle://anna:secret@host/x")
    assert "secret" not in str(error.value)


def test_an_error_is_told_in_one_line_without_secrets():
    error = OSError("http://anna:secret@host is full\n[SQL: INSERT ...]\n" + "x" * 5000)
    assert brief(error) == "http://***@host is full"
    assert len(brief("x" * 5000)) == LONGEST_REASON
