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
    charts = [_scatter("params", "test_top1"), _scatter("groups", "test_top1"), _bar("test_top1")]
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
    charts = [_line(name) for name in ("test_top1", "train_loss")]
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
        "compareRunCharts": [_numbered(chart, i) for i, chart in enumerate(charts)],
        "compareRunSections": [
            {
                "uuid": SECTION,
                "name": title,
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
        **group,
    }
    return {
        f"mlflow.sharedViewState.{key}": json.dumps(state | {"compareRunsMode": mode})
        for key, mode in MODES.items()
    }


def _scatter(x: str, y: str) -> dict[str, Any]:
    axes = {"xaxis": {"key": x, "type": "METRIC"}, "yaxis": {"key": y, "type": "METRIC"}}
    return {"type": "SCATTER", **axes}


def _bar(metric: str) -> dict[str, Any]:
    return {"type": "BAR", "metricKey": metric}


def _line(metric: str) -> dict[str, Any]:
    return {
        "type": "LINE",
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "lineSmoothness": 0,
        "range": {},
    }


def _numbered(chart: Mapping[str, Any], number: int) -> dict[str, Any]:
    """A chart of SECTION; MLflow makes its title from the names of the metrics."""
    return {
        **chart,
        "uuid": f"chart{number}",
        "isGenerated": False,
        "deleted": False,
        "metricSectionId": SECTION,
        "runsCountToCompare": MOST_TRACES,
    }


def view_path(experiment_id: str, key: str) -> str:
    """The page of an experiment with a saved view, after the server's address."""
    query = {"viewStateShareKey": key, "compareRunsMode": MODES[key], **WORKFLOW}
    return f"#/experiments/{experiment_id}/runs?{urlencode(query, quote_via=quote)}"


def compare_path(experiment_id: str, run_ids: Sequence[str]) -> str:
    """The page that sets runs side by side, after the server's address."""
    query = {"runs": _json(run_ids), "experiments": _json([experiment_id]), **WORKFLOW}
    return f"#/compare-runs?{urlencode(query, quote_via=quote)}"


def _json(values: Sequence[str]) -> str:
    return json.dumps(list(values), separators=(",", ":"))
