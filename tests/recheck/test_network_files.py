"""Figures and granularities of a network that was trained again, and of one that was not."""

import pytest

from posmlp.recheck.networks import ELSEWHERE, NO_WEIGHTS, network_files
from posmlp.recheck.retrain import Sample


@pytest.fixture
def sample(trained) -> Sample:
    """A sample of one run: that of gqpe, not that of sgu."""
    return Sample(folders={("gqpe", 0): trained / "results/runs/tiny/gqpe/seed0"})


def test_what_a_network_shows_is_made_again_and_the_rest_left_out(read, sample, tmp_path):
    files = {file.path: file for file in network_files(read(), sample, tmp_path / "anew")}
    assert not any(file.fault for file in files.values())
    for path, file in files.items():
        assert file.left_out == ("" if path.stem == "gqpe" else NO_WEIGHTS)
    folder = read().folder
    assert {folder / "figures/trajectories/gqpe.svg", folder / "granularity.csv"} < files.keys()


def test_a_changed_figure_or_granularity_and_a_stray_figure_are_found(read, edit, sample, tmp_path):
    figure = edit("figures/learned_maps/gqpe.svg", "<path", "<path ")
    rows = (read().folder / "granularity.csv").read_text().splitlines()
    row = next(row for row in rows if row.startswith("gqpe,"))
    table = edit("granularity.csv", row, f"{row}1")
    stray = figure.with_name("gone.svg")
    stray.write_text("")
    files = network_files(read(), sample, tmp_path / "anew")
    faults = {file.path: file.fault for file in files if file.fault}
    assert faults.keys() == {figure, table, stray}
    assert faults[stray] == "nothing makes it"
    place, *numbers = row.rsplit(",", 3)
    numbers = ",".join(numbers)
    assert faults[table] == f"{place}: committed {numbers}1, now {numbers}"


def test_a_row_of_a_variant_that_is_gone_is_found(read, edit, tmp_path):
    edit("granularity.csv", "\nsgu,", "\ngone,")
    (file, *_) = network_files(read(), Sample(), tmp_path / "anew")
    assert file.fault.startswith("gone,")
    assert file.fault.endswith("nothing makes it")


def test_networks_of_another_machine_are_not_drawn(read, sample, tmp_path):
    sample.elsewhere = ["torch was 1.0"]
    files = network_files(read(), sample, tmp_path / "anew")
    assert {(file.fault, file.left_out) for file in files} == {("", ELSEWHERE)}
