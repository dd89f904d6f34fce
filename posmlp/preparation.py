"""What a study needs before its first run: data that are there, and an experiment in MLflow.

These are steps of their own and no rules above `train`: where such a rule runs again, Snakemake
9.27 asks none of the jobs below it whether it has a reason of its own (`ancient` makes no
difference), and a start with a new store and changed settings would leave the changed runs as they
are.
"""

import json
import sys
from pathlib import Path

from posmlp.study import Study


def prepare_data(study: Study, data_root: str, record: Path) -> None:
    """Check the study's data sets, downloading what can be; once for a folder, says `record`.

    Raises:
        DataError: data are missing or are not what they should be.
    """
    from posmlp.data.prepare import prepare

    asked = {"names": study.data_sets, "root": data_root}
    if record.exists() and json.loads(record.read_text(encoding="utf-8"))["asked"] == asked:
        return
    print(f"Checking the data: {', '.join(asked['names'])}", flush=True)
    facts = [prepare(name, data_root) for name in asked["names"]]
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({"asked": asked, "found": facts}, indent=2) + "\n", "utf-8")


def prepare_store(study: Study, results: Path, record: Path) -> None:
    """Make the MLflow store and the study's experiment, for runs that write to it while they train.

    A store that does not answer fails nothing: runs go on without it, and the study's last step
    tries again.
    """
    from posmlp.tracking import StoreUnavailable, init_store, write_store
    from posmlp.tracking.study import first_note

    words = {"title": study.title, "question": study.question}
    try:
        store = init_store(study.name, first_note(words), results=results)
    except StoreUnavailable as error:
        reason = f"MLflow: {error}; the study runs without it, its last step tries again"
        print(f"warning: {reason}", file=sys.stderr)
        store = None
    record.parent.mkdir(parents=True, exist_ok=True)
    write_store(store, record)
