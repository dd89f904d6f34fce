import logging
import shutil
import socket
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from posmlp.tracking import Store, StoreUnavailable, init_store, mirror, read_store, write_store
from posmlp.tracking.store import _on_network


def test_experiment_is_made_once_with_its_description(store, client, results):
    assert init_store("digits", results=results) == store
    experiment = client.get_experiment(store.experiment_id)
    assert experiment.name == "digits"
    assert experiment.tags["mlflow.note.content"] == "Which gate?"
    assert experiment.artifact_location == str(results / "mlartifacts" / "digits")
    other = init_store("fashion", results=results)
    assert (other.uri, other.experiment_id) != (store.uri, store.experiment_id)


@pytest.mark.parametrize("name", ["a b", "a+b", "ü日本", "a'b,c;d", "$HOME", "[x]{y}", "a&b=c@d"])
def test_odd_but_good_paths_hold_store_and_artifacts(tmp_path, blank_database, new_run, name):
    results = tmp_path / name
    results.mkdir()
    shutil.copy(blank_database, results / "mlflow.db")
    run_id = mirror(new_run().finish().path, init_store("digits", results=results))
    assert (results / "mlartifacts/digits" / run_id / "artifacts/metrics.json").exists()
    assert {path.name for path in results.iterdir()} == {"mlflow.db", "mlartifacts"}


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
    assert init_store("digits", results=results).experiment_id
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
    with pytest.raises(KeyboardInterrupt):
        init_store("digits", results=results)
    assert {path.name: path.read_bytes() for path in results.iterdir()} == before


def test_store_of_a_newer_mlflow_is_left_as_it_is(results):
    with closing(sqlite3.connect(results / "mlflow.db")) as database:
        database.execute("update alembic_version set version_num = 'future'")
        database.commit()
    before = (results / "mlflow.db").read_bytes()
    with pytest.raises(StoreUnavailable, match=r"not of this MLflow \(.*future.* move it"):
        init_store("digits", results=results)
    assert (results / "mlflow.db").read_bytes() == before
    assert [path.name for path in results.iterdir()] == ["mlflow.db"]


def schema_version(results):
    with closing(sqlite3.connect(results / "mlflow.db")) as database:
        return database.execute("select version_num from alembic_version").fetchone()[0]


@pytest.mark.parametrize("content", [b"", b"no database" * 1000], ids=["empty", "corrupt"])
def test_broken_file_is_reported_and_not_touched(tmp_path, monkeypatch, content):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_bytes(content)
    with pytest.raises(StoreUnavailable, match=r"mlflow\.db is not an intact .* move it away"):
        init_store("digits", results=tmp_path)
    assert (tmp_path / "mlflow.db").read_bytes() == content


def test_half_migrated_file_is_reported(results):
    with closing(sqlite3.connect(results / "mlflow.db")) as database:
        database.execute("delete from alembic_version")
        database.commit()
    with pytest.raises(StoreUnavailable, match="not an intact"):
        init_store("digits", results=results)


def test_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="file"):
        init_store("digits", uri=f"sqlite:///{tmp_path}/file/mlflow.db")


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_server_that_is_down_is_reported_without_password(tmp_path, scheme):
    uri = f"{scheme}://anna:secret@127.0.0.1:{unused_port()}/x"
    with pytest.raises(StoreUnavailable) as error:
        init_store("digits", results=tmp_path, uri=uri)
    assert "refused" in str(error.value)
    assert "secret" not in str(error.value)


def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_deleted_experiment_is_restored(store, client, results):
    client.delete_experiment(store.experiment_id)
    assert init_store("digits", results=results) == store
    assert client.get_experiment(store.experiment_id).lifecycle_stage == "active"


def test_moved_store_does_not_write_to_its_old_place(store, results, new_run):
    run = new_run().finish()
    mirror(run.path, store)
    moved = results.rename(results.with_name("moved"))
    store = init_store("digits", results=moved)
    run_id = mirror(moved / run.path.relative_to(results), store)
    assert (moved / "mlartifacts/digits" / run_id / "artifacts/config.yaml").exists()
    assert not results.exists()
    assert init_store("digits", results=moved) == store


def test_store_file_is_private_and_comes_back(tmp_path):
    path = tmp_path / "store.json"
    path.touch(mode=0o644)
    store = Store("postgresql://anna:secret@db/x", "3", live=False)
    write_store(store, path)
    assert read_store(path) == store
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write_store(None, path)
    assert read_store(path) is None


def test_password_is_not_in_the_repr():
    assert "secret" not in repr(Store("postgresql://anna:secret@db/x", "3"))


@pytest.mark.parametrize(
    ("kind", "is_network"), [("nfs4", True), ("lustre", True), ("fuse.sshfs", True), ("xfs", False)]
)
def test_sqlite_on_a_network_file_system_is_recognised(tmp_path, caplog, kind, is_network):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\nserver:/x {tmp_path} {kind} rw 0 0\n")
    with caplog.at_level(logging.WARNING):
        assert _on_network(tmp_path / "results" / "mlflow.db", mounts) is is_network
    assert ("set MLFLOW_TRACKING_URI to a tracking server" in caplog.text) is is_network
    assert not _on_network(Path("/elsewhere/mlflow.db"), mounts)
