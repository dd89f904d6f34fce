"""The store's address, and opening it: new, old, damaged, moved, absent."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from samples import Shown

from posmlp.tracking.store import (
    LONGEST_REASON,
    Store,
    StoreError,
    StoreUnavailable,
    brief,
    masked,
    open_store,
    resolve_uri,
)
from posmlp.tracking.sync import sync_once


def test_the_argument_goes_before_the_variable_before_sqlite_in_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_uri(Path("results")) == f"sqlite:///{tmp_path}/results/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert resolve_uri(tmp_path) == "http://host:5000"
    assert resolve_uri(tmp_path, "https://other") == "https://other"


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////data/a b+ü,1/x.db",
        "https://user:pass@host/mlflow",
        "postgresql+psycopg://user:pass@host:5432/mlflow",
        "postgresql+psycopg://anna:secret@/mlflow?host=/tmp",
    ],
)
def test_good_addresses_are_taken_as_they_are(tmp_path, uri):
    assert resolve_uri(tmp_path, uri) == uri


@pytest.mark.parametrize(
    "uri",
    [
        *("./mlruns", "file:///tmp/x", "databricks", "oracle://anna:secret@host/x", "http://"),
        *("postgresql://", "postgresql://u:p#w@host/x", "sqlite:///runs.db", "sqlite:///:memory:"),
        *("sqlite:////a%b.db", "sqlite:////a?b.db", "sqlite:////a#b.db"),
    ],
)
def test_other_addresses_are_refused_with_the_allowed_ones(tmp_path, uri):
    with pytest.raises(StoreError, match=r"cannot be used.* sqlite:////home") as error:
        resolve_uri(tmp_path, uri)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "cannot open postgresql://anna:secret@db/x now",
        "http://anna:se/secret@host:5000",
        "postgresql://host/x?user=anna&password=secret",
        "mysql://anna:a@secret@host",
    ],
)
def test_passwords_are_masked_and_other_text_is_not(text):
    assert "secret" not in masked(text)
    plain = "http://127.0.0.1:5000/#/x and sqlite:////home/me/x.db"
    assert masked(plain) == plain


def test_an_error_is_told_in_one_line_without_secrets():
    error = OSError("http://anna:secret@host is full\n[SQL: INSERT ...]\n" + "x" * 5000)
    assert brief(error) == "http://***@host is full"
    assert len(brief("x" * 5000)) == LONGEST_REASON


@pytest.mark.parametrize("name", ["a b+ü日本", "a'b,c;d", "$HOME[x]{y}&z=c@d"])
def test_odd_but_good_paths_hold_store_and_artifacts(results, new_run, name):
    new_run().finish()
    moved = results.rename(results.with_name(name))
    sync_once(moved)
    run_id = Shown(moved).runs[0].info.run_id
    assert (moved / "mlartifacts/digits" / run_id / "artifacts/metrics.json").exists()
    assert {path.name for path in moved.iterdir()} == {"mlflow.db", "mlartifacts", "runs"}


DAMAGE = {
    "of another version": "update alembic_version set version_num = 'another'",
    "half made": "delete from alembic_version",
    "empty": b"",
    "corrupt": b"no database" * 1000,
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_store_that_cannot_be_used_is_reported_and_not_touched(results, case):
    database, how = results / "mlflow.db", DAMAGE[case]
    if isinstance(how, bytes):
        database.write_bytes(how)
    else:
        with closing(sqlite3.connect(database)) as connection:
            connection.execute(how)
            connection.commit()
    before = database.read_bytes()
    with pytest.raises(StoreUnavailable, match=r"mlflow\.db.*posmlp sync"), open_store(results):
        pass
    assert database.read_bytes() == before
    assert [path.name for path in results.iterdir()] == ["mlflow.db"]


def test_a_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="file"), open_store(tmp_path / "file/results"):
        pass


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_server_that_is_down_is_reported_without_password(tmp_path, unused_port, scheme):
    uri = f"{scheme}://anna:secret@127.0.0.1:{unused_port}/x"
    with pytest.raises(StoreUnavailable, match="refused") as error, open_store(tmp_path, uri):
        pass
    assert "secret" not in str(error.value)
    assert "secret" not in repr(Store(uri, tmp_path, None))


def test_a_deleted_experiment_is_restored(sync, new_run):
    new_run().finish()
    _, shown = sync()
    shown.client.delete_experiment(shown.id)
    _, again = sync()
    assert again.id == shown.id
    assert shown.client.get_experiment(shown.id).lifecycle_stage == "active"


def test_a_moved_store_is_refused_because_its_files_are_elsewhere(sync, new_run, results):
    new_run().finish()
    sync()
    moved = results.with_name("moved")
    shutil.copytree(results, moved)
    with pytest.raises(StoreUnavailable, match=f"its files are in {results}.*posmlp sync"):
        sync_once(moved)
