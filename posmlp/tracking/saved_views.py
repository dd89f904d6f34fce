"""Saved views of a study's two experiments, and addresses of pages of MLflow's UI.

MLflow keeps a shared view as JSON in an experiment tag. The format is not documented; TRIED are the
versions that it was tried with, and a test compares them with the installed one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

TRIED = ("3.17.2",)
MODES = {"charts": "CHART", "table": "TABLE"}  # the views, by the key that addresses them
SECTION = "charts"
MOST_TRACES = 100
WORKFLOW = {"workflowType": "machine_learning"}  # MLflow opens on GenAI otherwise
OF_A_VARIANT = (
    *("test_top1", "test_top1_std", "test_top1_low", "test_top1_high", "n"),
    *("val_top1", "params", "macs"),
)
OF_A_TRAINING = ("test_top1", "val_top1", "train_loss", "params", "images_per_s")


def of_variants(*, validation: bool) -> dict[str, str]:
    """The views of the variants' experiment as its tags: a point, bar and row for each."""
    x, y = ({"key": key, "type": "METRIC"} for key in ("params", "test_top1"))
    charts = [{"type": "SCATTER", "xaxis": axis, "yaxis": y} for axis in (x, x | {"key": "groups"})]
    charts.append({"type": "BAR", "metricKey": "test_top1"})
    return _tags({}, OF_A_VARIANT, charts, "Means over seeds", validation=validation)


def of_trainings(variants: Iterable[str], *, validation: bool) -> dict[str, str]:
    """The views of the trainings' experiment as its tags: curves, grouped by variant."""
    group = {
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "tag", "groupByData": "variant"}],
        },
        "groupsExpanded": {f"tag.variant.{variant}": False for variant in variants},
        "useGroupedValuesInCharts": True,
    }
    charts = [
        {
            "type": "LINE",
            "metricKey": metric,
            "selectedMetricKeys": [metric],
            "xAxisKey": "step",
            "xAxisScaleType": "linear",
            "scaleType": "linear",
            "lineSmoothness": 0,
            "range": {},
        }
        for metric in ("test_top1", "train_loss")
    ]
    return _tags(group, OF_A_TRAINING, charts, "Curves by variant", validation=validation)


def _tags(
    group: Mapping[str, Any],
    metrics: Iterable[str],
    charts: Iterable[Mapping[str, Any]],
    title: str,
    *,
    validation: bool,
) -> dict[str, str]:
    names = [name for name in metrics if validation or not name.startswith("val_")]
    kept = {"deleted": False, "isGenerated": False}
    # MLflow makes a chart's title from the names of its metrics.
    in_section = {"metricSectionId": SECTION, "runsCountToCompare": MOST_TRACES}
    state = {
        "searchFilter": "tags.current != 'false'" if group else "",  # not those trained anew since
        "orderByKey": "tags.`mlflow.runName`",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": [*(f"metrics.`{name}`" for name in names), "tags.`claim`"],
        "groupBy": None,
        "runsHiddenMode": "SHOWALL",  # MLflow shows ten
        "runsHidden": [],
        "runsPinned": [],
        "runsVisibilityMap": {},
        "runsExpanded": {},
        "compareRunCharts": [
            kept | chart | in_section | {"uuid": f"chart{i}"} for i, chart in enumerate(charts)
        ],
        "compareRunSections": [
            kept | {"uuid": SECTION, "name": title, "display": True, "isReordered": False}
        ],
        "isAccordionReordered": False,
        "autoRefreshEnabled": True,
        "hideEmptyCharts": True,
        "viewMaximized": False,
        "runListHidden": False,
        "chartsSearchFilter": "",
        **group,
    }
    return {
        f"mlflow.sharedViewState.{key}": json.dumps(state | {"compareRunsMode": mode})
        for key, mode in MODES.items()
    }


def view_path(experiment_id: str, key: str) -> str:
    """The page of an experiment with a saved view, after the server's address."""
    query = {"viewStateShareKey": key, "compareRunsMode": MODES[key], **WORKFLOW}
    return f"#/experiments/{experiment_id}/runs?{urlencode(query, quote_via=quote)}"


def compare_path(experiment_id: str, run_ids: Sequence[str]) -> str:
    """The page that sets runs side by side, after the server's address."""
    runs, experiments = (
        json.dumps(ids, separators=(",", ":")) for ids in (run_ids, [experiment_id])
    )
    query = {"runs": runs, "experiments": experiments, **WORKFLOW}
    return f"#/compare-runs?{urlencode(query, quote_via=quote)}"
