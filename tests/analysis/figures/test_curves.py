from dataclasses import replace

import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from posmlp.analysis.figures.curves import (
    line_looks,
    run_curves,
    training_curves,
)
from posmlp.analysis.figures.style import gate_look


@pytest.fixture(scope="module")
def figure(digits_summary, curves_of):
    return training_curves(curves_of(digits_summary), digits_summary, {})


def lines_of(axes) -> dict:
    return {line.get_label(): line for line in axes.lines}


def test_every_variant_is_drawn_in_the_panels_of_its_unit(figure, digits_summary):
    gates = ["sgu", "lrpe", "qpe", "gqpe", "fc_lrpe", "fc_gqpe"]
    top, bottom = figure.axes[:6], figure.axes[6:]
    assert [axes.get_title() for axes in top] == gates
    for gate, accuracy, loss in zip(gates, top, bottom, strict=True):
        rows = digits_summary[digits_summary["gate"] == gate]
        for axes in (accuracy, loss):
            assert set(lines_of(axes)) - {"_reference"} == set(rows["variant"])
        for _, row in rows.iterrows():
            curve = lines_of(accuracy)[row["variant"]]
            assert curve.get_ydata()[-1] == pytest.approx(row["test_top1_mean"])
            assert lines_of(loss)[row["variant"]].get_ydata().tolist() == pytest.approx(
                [3.0 - 0.1 * epoch for epoch in range(8)]
            )


def test_bands_reach_from_the_lowest_to_the_highest_seed(figure, digits_summary):
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    mean = digits_summary.set_index("variant").loc["sgu", "test_top1_mean"]
    last = band[band[:, 0] == 8, 1]  # epochs from 1 to 8
    assert (last.min(), last.max()) == (pytest.approx(mean - 1), pytest.approx(mean + 1))


def names_of(figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def words(figure) -> str:
    return " ".join(figure.get_supxlabel().split())


def test_looks_tell_groups_and_settings_apart(large_summary):
    looks = line_looks(large_summary)
    shades = [looks[f"gqpe_s{s}"]["color"] for s in (1, 2, 4, 8, 16, 32, 64)]
    assert shades == sorted(shades, key=sum, reverse=True)
    assert len(set(shades)) == 7
    assert shades[-1] == pytest.approx(to_rgb(gate_look("gqpe").colour))
    assert looks["gqpe_s4"]["linestyle"] == "-"
    switches = [looks[f"gqpe_s4_{s}"]["linestyle"] for s in ("softmax", "psd", "bias", "norm")]
    assert len(set(switches) | {"-"}) == 5
    assert looks["lrpe_s2_psd"]["linestyle"] == looks["gqpe_s4_psd"]["linestyle"]


def test_released_logs_are_drawn_over_gqpe_and_widen_the_axes(digits_summary, curves_of):
    log = pd.DataFrame({"epoch": range(300), "test_top1": 70.0, "train_loss": 2.5})
    drawn = training_curves(curves_of(digits_summary), digits_summary, {"PosMLP-T": log})
    for axes in drawn.axes:
        line = lines_of(axes).get("PosMLP-T")
        assert (line is not None) == (axes in (drawn.axes[3], drawn.axes[9]))
    assert lines_of(drawn.axes[3])["PosMLP-T"].get_ydata().tolist() == [70.0] * 300
    assert drawn.axes[0].get_ylim()[0] < 70
    assert "Black: logs released" in words(drawn)
    assert names_of(drawn)[-1] == "PosMLP-T (log)"
    without = training_curves(curves_of(digits_summary[:1]), digits_summary[:1], {"PosMLP-T": log})
    assert without.axes[0].get_ylim()[0] > 70


def test_curves_of_a_run_show_every_split_and_the_average(learned_run):
    columns = ("train_loss", "test_top1", "test_loss", "val_top1", "val_loss", "ema_test_top1")
    history = [{"epoch": e} | {c: 10.0 * e + i for i, c in enumerate(columns)} for e in range(3)]
    history = [row | {"ema_val_top1": None} for row in history]
    accuracy, loss = run_curves(replace(learned_run([]), history=history)).axes
    assert lines_of(accuracy).keys() == {"test", "validation", "test (averaged weights)"}
    assert lines_of(loss).keys() == {"training", "test", "validation"}
    assert lines_of(accuracy)["test"].get_xdata().tolist() == [1, 2, 3]
    assert lines_of(accuracy)["validation"].get_ydata().tolist() == [3, 13, 23]
    assert run_curves(learned_run([])) is None
