"""What a study needs before its first run: data that are there, .

These are steps of their own and no rules above `train`: where such a rule runs again, Snakemake
9.27 asks none of the jobs below it whether it has a reason of its own (`ancient` makes no
difference), and a start with a new store and changed settings would leave the changed runs as they
are.
"""

import json
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
