from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from posmlp.analysis.figures.accuracy import accuracy_vs_params, on_front
from posmlp.analysis.figures.marks import bar_range
from posmlp.analysis.figures.style import (
    gate_look,
    save,
)
from posmlp.analysis.statistics import summarise


def containers(axes) -> dict:
    return {container.get_label(): container for container in axes.containers}


def bar_ends(container) -> np.ndarray:
    """Return [[x, lower], [x, upper]] of the first error bar."""
    return container.lines[2][0].get_segments()[0]


@pytest.fixture(scope="module")
def params_figure(digits_summary):
    return accuracy_vs_params(digits_summary)


def test_every_variant_is_a_mark_with_its_interval(params_figure, digits_summary):
    marks = containers(params_figure.axes[0])
    far = digits_summary["variant"][digits_summary["variant"].str.contains("softmax")]
    assert list(marks) == [name for name in digits_summary["variant"] if name not in set(far)]
    for _, row in digits_summary[digits_summary["variant"].isin(marks)].iterrows():
        line = marks[row["variant"]].lines[0]
        assert line.get_xydata().tolist() == [[row["token_mixing_params"], row["test_top1_mean"]]]
        (_, lower), (_, upper) = bar_ends(marks[row["variant"]])
        assert (upper + lower) / 2 == pytest.approx(row["test_top1_mean"])
        assert (upper - lower) / 2 == pytest.approx(row["test_top1_half_width"])
        look = gate_look(row["gate"])
        assert (line.get_marker(), to_hex(line.get_color())) == (look.mark, look.colour.lower())
        assert (line.get_markerfacecolor() == "white") == bool(row["other_settings"])


def test_variants_of_one_seed_are_named_marks_without_bars(digits_summary):
    single = digits_summary.assign(test_top1_half_width=np.nan)
    axes = accuracy_vs_params(single).axes[0]
    assert not any(len(bar_ends(container)) for container in axes.containers)
    assert {"sgu", "s16"} <= {text.get_text() for text in axes.texts}


def test_outliers_are_named_in_the_caption(params_figure, digits_summary):
    caption = " ".join(params_figure.get_supxlabel().split())
    mean = digits_summary.set_index("variant").loc["gqpe_s4_softmax", "test_top1_mean"]
    assert f"Below the axis: gqpe_s4_softmax ({mean:.1f}%), " in caption
    assert "and 1 more" in caption


def test_front_has_whom_no_other_beats():
    params = pd.Series([10, 20, 20, 30, 40, 40])
    accuracies = pd.Series([80.0, 90.0, 85.0, 90.0, 95.0, 95.0])
    assert on_front(params, accuracies).tolist() == [True, True, False, False, True, True]


def test_variants_on_other_data_are_left_out_and_counted(digits_summary):
    other = [
        "",
        "data.train_fraction=0.05",
        "data.subset_seed=1; model.psd=false",
        "recipe.metadata.x=1",
    ]
    figure = accuracy_vs_params(digits_summary[:4].assign(other_settings=other))
    drawn = containers(figure.axes[0])
    assert list(drawn) == digits_summary["variant"][[0, 3]].tolist()
    assert "Not shown: 2 on other data" in " ".join(figure.get_supxlabel().split())


def test_axis_holds_all_bars_but_ends_at_100(runs_of):
    summary = summarise(runs_of({"a": [91.0, 93.0, 92.0], "b": [98.0, 99.0, 97.0]}), "a")
    half_width = 4.302652729911275 / np.sqrt(3)
    means, half_widths = summary["test_top1_mean"], summary["test_top1_half_width"]
    assert bar_range(means, half_widths) == (pytest.approx(92 - half_width), 99.0)
    assert bar_range(means[:1], half_widths[:1]) == (
        pytest.approx(92 - half_width),
        pytest.approx(92 + half_width),
    )
    assert bar_range(means[:1], half_widths[:1] * np.nan) == (92.0, 92.0)
    assert bar_range(means, 30 * half_widths) == (92 - 1.5 * 6, 99.0)  # marks stay apart
    low, high = accuracy_vs_params(summary).axes[0].get_ylim()
    assert low < 92 - half_width
    assert 99 < high < 100


def saved(figure, folder: Path) -> dict[str, bytes]:
    save(figure, folder, "figure", ("png", "pdf"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_are_byte_stable(digits_summary, tmp_path):
    first, second = (
        saved(accuracy_vs_params(digits_summary), tmp_path / name) for name in ("a", "b")
    )
    assert first.keys() == {"figure.png", "figure.pdf"}
    assert first == second
    assert not any(b"Matplotlib" in content for content in first.values())


def test_a_users_matplotlibrc_changes_nothing(digits_summary, tmp_path):
    plain = saved(accuracy_vs_params(digits_summary[:1]), tmp_path / "a")
    with matplotlib.rc_context({"font.size": 20, "savefig.bbox": "tight", "axes.facecolor": "red"}):
        other = saved(accuracy_vs_params(digits_summary[:1]), tmp_path / "b")
    assert plain == other
