"""Saved views for a study's two experiments, and the addresses of their pages in MLflow's UI.

MLflow keeps a saved view as JSON in an experiment tag and lists it under "Views". The format is
undocumented: TRIED lists the versions tested, and a test compares them with the installed one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

TRIED = ("3.17.2",)
KEY = "study"  # the view's name in addresses
SECTION = "charts"
MOST_TRACES = 100
WORKFLOW = {"workflowType": "machine_learning"}  # MLflow opens on GenAI otherwise
# MLflow draws no error bars. The points low, high and mean of this metric form a vertical line at
# the variant's row of the sheet.
INTERVAL = "test_top1_interval"
OF_A_VARIANT = (
    *("test_top1", "test_top1_std", "test_top1_low", "test_top1_high", "n"),
    *("test_top1_difference", "val_top1", "params", "macs"),
)
OF_A_TRAINING = ("test_top1", "val_top1", "train_loss", "params", "images_per_s")
LINE = {"type": "LINE", "xAxisKey": "step", "lineSmoothness": 0}
AVERAGE = 245  # pixels of a column of averages, which MLflow does not round


def of_variants(*, validation: bool) -> dict[str, str]:
    """The tag that holds the view of the variants' experiment: charts of means over seeds."""
    x, y = ({"key": key, "type": "METRIC"} for key in ("params", "test_top1"))
    charts = [
        LINE | {"metricKey": INTERVAL, "displayPoints": True},
        {"type": "BAR", "metricKey": "test_top1_difference"},
        *({"type": "SCATTER", "xaxis": axis, "yaxis": y} for axis in (x, x | {"key": "groups"})),
    ]
    return _tag({}, OF_A_VARIANT, charts, "Means over seeds", validation=validation)


def of_trainings(variants: Iterable[str], *, validation: bool) -> dict[str, str]:
    """The tag that holds the view of the trainings' experiment: curves, grouped by variant."""
    group = {
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "tag", "groupByData": "variant"}],
        },
        "groupsExpanded": {f"tag.variant.{variant}": False for variant in variants},
    }
    charts = [LINE | {"metricKey": metric} for metric in ("test_top1", "train_loss")]
    return _tag(group, OF_A_TRAINING, charts, "Trainings by variant", validation=validation)


def _tag(
    group: Mapping[str, Any],
    metrics: Iterable[str],
    charts: Iterable[Mapping[str, Any]],
    title: str,
    *,
    validation: bool,
) -> dict[str, str]:
    names = [name for name in metrics if validation or not name.startswith("val_")]
    widths = {f"metrics.`{name}`": AVERAGE if group else 40 + 8 * len(name) for name in names}
    widths |= {"tags.`claim`": 300}
    in_section = {"metricSectionId": SECTION, "runsCountToCompare": MOST_TRACES}
    state = {  # other settings keep MLflow's defaults
        "searchFilter": "tags.current != 'false'"
        if group
        else "",  # hides runs that were trained again since
        "orderByKey": "tags.`mlflow.runName`",
        "orderByAsc": True,
        "selectedColumns": list(widths),
        "columnOrder": list(widths),
        "columnWidths": widths,
        "runsHiddenMode": "SHOW_ALL",  # MLflow shows ten
        "compareRunCharts": [
            {"uuid": f"chart{i}", **chart, **in_section} for i, chart in enumerate(charts)
        ],
        "compareRunSections": [{"uuid": SECTION, "name": title, "display": True}],
        **group,
    }
    view = {"name": title, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)}
    return {f"mlflow.sharedViewState.{KEY}": json.dumps(view)}


def view_path(experiment_id: str, mode: str) -> str:
    """The address of an experiment's saved view, relative to the server.

    Args:
        mode: CHART or TABLE; a view has both.
    """
    query = {"viewStateShareKey": KEY, "compareRunsMode": mode, **WORKFLOW}
    return f"#/experiments/{experiment_id}/runs?{urlencode(query, quote_via=quote)}"
