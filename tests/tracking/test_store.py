"""Opening a store: new, old, damaged, moved, absent."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from samples import Shown

from posmlp.tracking.store import Store, StoreUnavailable, open_store
from posmlp.tracking.sync import sync_once


def schema_version(results):
    with closing(sqlite3.connect(results / "mlflow.db")) as database:
        return database.execute("select version_num from alembic_version").fetchone()[0]


@pytest.mark.parametrize("name", ["a b", "a+b", "ü日本", "a'b,c;d", "$HOME", "[x]{y}", "a&b=c@d"])
def test_odd_but_good_paths_hold_store_and_artifacts(results, new_run, name):
    new_run().finish()
    moved = results.rename(results.with_name(name))
    sync_once(moved)
    run_id = Shown(moved).runs[0].info.run_id
    assert (moved / "mlartifacts/digits" / run_id / "artifacts/metrics.json").exists()
    assert {path.name for path in moved.iterdir()} == {"mlflow.db", "mlartifacts", "runs"}


def make_old(database):
    """Take a store back to what the MLflow before this one wrote."""
    from alembic import command
    from alembic.config import Config
    from mlflow.store import db_migrations

    config = Config()
    config.set_main_option("script_location", str(Path(db_migrations.__file__).parent))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{database}")
    command.downgrade(config, "-1")


def test_store_of_an_older_mlflow_is_upgraded(results):
    make_old(results / "mlflow.db")
    before = schema_version(results)
    with open_store(results) as store:
        store.check()
    assert schema_version(results) != before
    assert [path.name for path in results.iterdir()] == ["mlflow.db"]


@pytest.mark.parametrize("is_old", [True, False])
def test_interrupted_migration_leaves_what_was_there(results, monkeypatch, is_old):
    database = results / "mlflow.db"
    if is_old:
        make_old(database)
    else:
        database.unlink()
    before = {path.name: path.read_bytes() for path in results.iterdir()}

    def interrupted(uri):
        Path(uri.removeprefix("sqlite:///")).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("mlflow.db.upgrade.callback", interrupted)
    with pytest.raises(KeyboardInterrupt), open_store(results):
        pass
    assert {path.name: path.read_bytes() for path in results.iterdir()} == before


def change(results, statement):
    with closing(sqlite3.connect(results / "mlflow.db")) as database:
        database.execute(statement)
        database.commit()


DAMAGE = {
    "newer": ("update alembic_version set version_num = 'future'", "not of this MLflow .*future"),
    "half migrated": ("delete from alembic_version", "not an intact"),
    "empty": (b"", "not an intact"),
    "corrupt": (b"no database" * 1000, "not an intact"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_store_that_cannot_be_used_is_reported_and_not_touched(results, case):
    how, message = DAMAGE[case]
    database = results / "mlflow.db"
    database.write_bytes(how) if isinstance(how, bytes) else change(results, how)
    before = database.read_bytes()
    with pytest.raises(StoreUnavailable, match=f"{message}.*posmlp rebuild"), open_store(results):
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


def test_a_moved_store_does_not_write_to_its_old_location(sync, new_run, results):
    new_run().finish()
    sync()
    moved = results.with_name("moved")
    shutil.copytree(results, moved)
    for _ in range(2):
        sync_once(moved)
    (run,) = Shown(moved).runs
    assert (moved / "mlartifacts/digits" / run.info.run_id / "artifacts/config.yaml").exists()
