import numpy as np
import pandas as pd
import pytest

from posmlp.analysis.figures.group_sweep import accuracy_vs_groups, spaced_ticks
from posmlp.analysis.figures.marks import num_groups
from posmlp.analysis.statistics import summarise


def containers(axes) -> dict:
    return {container.get_label(): container for container in axes.containers}


def test_groups_figure_has_lines_for_sweeps_and_levels_for_the_rest(digits_summary):
    axes, size = accuracy_vs_groups(digits_summary).axes
    drawn = containers(axes)
    assert list(drawn) == ["lrpe", "qpe", "gqpe", "sgu", "fc_lrpe", "fc_gqpe"]
    by_variant = digits_summary.set_index("variant")
    gqpe = drawn["gqpe"].lines[0]
    expected = by_variant.loc[["gqpe_s1", "gqpe_s4", "gqpe_s16"], "test_top1_mean"]
    assert gqpe.get_ydata().tolist() == expected.tolist()  # none of the other settings' variants
    np.testing.assert_allclose(gqpe.get_xydata()[:, 0], [1, 4, 16], rtol=0.1)
    levels = [line for line in axes.lines if set(line.get_xdata()) == {0, 1}]
    assert {line.get_ydata()[0] for line in levels} == set(
        by_variant.loc[["sgu", "fc_lrpe", "fc_gqpe"], "test_top1_mean"]
    )
    assert min(drawn[gate].lines[0].get_xdata()[0] for gate in ("sgu", "fc_lrpe")) > 16
    assert [tick.get_text() for tick in size.get_xticklabels()] == ["1", "4", "16"]


def test_groups_by_stage_are_ticked_in_full(runs_of):
    by_stage = runs_of({"a": [90.0, 91.0]}, groups="8,16,32,64")
    runs = pd.concat([by_stage, runs_of({"b": [90.5, 91.0]}, groups="1,1,1,1")])
    axes = accuracy_vs_groups(summarise(runs, "a")).axes[1]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1,1,1,1", "8,16,32,64"]
    assert num_groups("8,16,32,64") == pytest.approx(2**4.5)


def test_ticks_that_would_overlap_are_left_out():
    groups = ["1,2,4,8", "1,2,4,16", "64,64,64,64"]
    ticks = pd.DataFrame({"groups": groups, "position": [2.83, 3.36, 64.0]})
    assert spaced_ticks(ticks, 1, 100)["groups"].tolist() == [groups[0], groups[2]]
