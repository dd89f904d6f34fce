"""The saved view of a study, and addresses of pages of MLflow's UI.

MLflow keeps a shared view as JSON in an experiment tag; the format is not documented, so it is
tried with the versions in TRIED, which a test holds against the installed one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

TRIED = ("3.17.2",)
MODES = {"charts": "CHART", "table": "TABLE"}  # the views, by the key that addresses them
ACCURACY, PARAMETERS = "final/test_top1", "params_m"
COLUMNS = (
    *(f"metrics.`{name}`" for name in (ACCURACY, "summary/std", "summary/low", "summary/high")),
    *(f"metrics.`{name}`" for name in ("summary/n", "final/val_top1", PARAMETERS)),
    "tags.`claim`",
)
SECTION = "comparison"
MOST_TRACES = 100
WORKFLOW = {"workflowType": "machine_learning"}  # MLflow opens on GenAI otherwise


def tags(variants: Sequence[str], *, validation: bool) -> dict[str, str]:
    """The views as tags of the experiment."""
    return {
        f"mlflow.sharedViewState.{key}": state(mode, variants, validation=validation)
        for key, mode in MODES.items()
    }


def state(mode: str, variants: Sequence[str], *, validation: bool) -> str:
    """A view: runs grouped by variant over seeds, all of them shown, columns and charts."""
    columns = [name for name in COLUMNS if validation or "val_" not in name]
    return json.dumps(
        {
            "searchFilter": "tags.current = 'true'",  # not those whose folder was trained anew
            "orderByKey": "tags.`mlflow.runName`",
            "orderByAsc": True,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "datasetsFilter": [],
            "selectedColumns": list(columns),
            "groupBy": {
                "aggregateFunction": "average",
                "groupByKeys": [{"mode": "tag", "groupByData": "variant"}],
            },
            "groupsExpanded": {f"tag.variant.{variant}": False for variant in variants},
            "useGroupedValuesInCharts": True,
            "runsHiddenMode": "SHOWALL",  # MLflow shows ten
            "runsHidden": [],
            "runsPinned": [],
            "runsVisibilityMap": {},
            "runsExpanded": {},
            "compareRunsMode": mode,
            "compareRunCharts": charts(),
            "compareRunSections": [
                {
                    "uuid": SECTION,
                    "name": "Comparison of variants, means over seeds",
                    "display": True,
                    "isReordered": False,
                    "deleted": False,
                    "isGenerated": False,
                }
            ],
            "isAccordionReordered": False,
            "autoRefreshEnabled": True,
            "hideEmptyCharts": True,
            "viewMaximized": False,
            "runListHidden": False,
            "chartsSearchFilter": "",
        }
    )


def charts() -> list[dict[str, Any]]:
    """Accuracy against parameters and groups, by variant, and by epoch; the training loss.

    MLflow makes the titles, from the names of the metrics.
    """
    made = [
        {
            "type": "SCATTER",
            "xaxis": {"key": key, "type": "METRIC"},
            "yaxis": {"key": ACCURACY, "type": "METRIC"},
        }
        for key in (PARAMETERS, "groups")
    ]
    made += [{"type": "BAR", "metricKey": ACCURACY}]
    made += [
        {
            "type": "LINE",
            "metricKey": key,
            "selectedMetricKeys": [key],
            "xAxisKey": "step",
            "xAxisScaleType": "linear",
            "scaleType": "linear",
            "lineSmoothness": 0,
            "range": {},
        }
        for key in ("test_top1", "train_loss")
    ]
    common = {
        "isGenerated": False,
        "deleted": False,
        "metricSectionId": SECTION,
        "runsCountToCompare": MOST_TRACES,
    }
    return [chart | common | {"uuid": f"chart{i}"} for i, chart in enumerate(made)]


def view_path(experiment_id: str, key: str = "charts") -> str:
    """The page of an experiment with a saved view, after the server's address."""
    query = {"viewStateShareKey": key, "compareRunsMode": MODES[key], **WORKFLOW}
    return f"#/experiments/{experiment_id}/runs?{urlencode(query, quote_via=quote)}"


def compare_path(experiment_id: str, run_ids: Sequence[str]) -> str:
    """The page that sets runs side by side, after the server's address."""
    query = {"runs": _json(run_ids), "experiments": _json([experiment_id]), **WORKFLOW}
    return f"#/compare-runs?{urlencode(query, quote_via=quote)}"


def description(
    study: Mapping[str, Any], table: str, pages: Iterable[tuple[str, str]], choice: str
) -> str:
    """What the experiment says of itself, in Markdown.

    Args:
        study: title and question, as Markdown.
        table: the main table, in Markdown; "" while there is none.
        pages: names and addresses.
    """
    links = "\n".join(f"- [{name}]({address})" for name, address in pages)
    body = table or "The main table follows when all runs are there."
    parts = [f"## {study['title']}", study["question"], links, body, choice]
    return "\n\n".join(part for part in parts if part)


def _json(values: Sequence[str]) -> str:
    return json.dumps(list(values), separators=(",", ":"))
