"""The chosen variant of a study in MLflow's model registry, with its card."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from posmlp.tracking import record

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from posmlp.tracking.mirror import RunMirror
    from posmlp.tracking.study import StudyMirror

ALIAS = "best"
LONGEST_CARD = 5000  # characters that MLflow takes


def register(client: MlflowClient, study: StudyMirror, best: RunMirror | None) -> str:
    """Let the alias `best` of the study's registered model point to the chosen run's network.

    Returns what stands there, or why nothing does, in words.
    """
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment(study.experiment_id).name
    name = experiment.replace("/", ".").replace(":", ".")
    if not best or not best.model_id:
        with suppress(MlflowException):  # there was none
            client.delete_registered_model_alias(name, ALIAS)
        if best:
            return "No entry: the chosen run has no weights in its folder."
        if study.comparison.get("choice"):
            return "No entry: the chosen run is not among those shown."
        return study.comparison.get("reason") or "No entry: the study has no results yet."
    card = (study.folder / "model_card.md").read_text(encoding="utf-8")[:LONGEST_CARD]
    identity = record.run_identity(best.config)
    try:
        client.create_registered_model(name)
    except MlflowException:
        client.get_registered_model(name)  # raises if it is something else than being there
    client.update_registered_model(name, description=card)
    # Not models:/<id>: MLflow looks that up in the store of the environment, not in the client's.
    source = client.get_logged_model(best.model_id).artifact_location
    found = [v for v in client.search_model_versions(f"name = '{name}'") if v.source == source]
    if found:
        version = found[0]
        client.update_model_version(name, version.version, description=card)
    else:
        choice = study.comparison["choice"]
        version = client.create_model_version(
            name,
            source,
            run_id=best.run_id,
            tags={
                "posmlp.run": identity,
                "variant": choice["variant"],
                "seed": str(choice["seed"]),
                "chosen_by": "validation top-1, see the description",
            },
            description=card,
        )
    if client.get_registered_model(name).aliases.get(ALIAS) != str(version.version):
        client.set_registered_model_alias(name, ALIAS, version.version)
    chosen = f"{best.config['variant']}, seed {best.config['seed']}"
    return f"{name} version {version.version} ({ALIAS}): {chosen}"
