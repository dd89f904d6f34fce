import numpy as np
import torch
from matplotlib.colors import to_hex

from posmlp.analysis.figures.quadratic_forms import (
    read_trajectories,
    trajectories,
    trajectory_of,
)
from posmlp.layers import GQPE, QPE


def test_a_trajectory_starts_at_the_first_entry_and_ends_at_the_layer(learned_run):
    run = learned_run([{"window": (4, 4), "gate": "gqpe", "groups": 3}] * 2, num_epochs=5)
    by_layer = read_trajectories(run)
    assert list(by_layer) == [1, 2]
    for found, layer in zip(by_layer.values(), run.layers.values(), strict=True):
        assert found.centres.shape == (6, 3, 2)
        np.testing.assert_allclose(found.centres[-1], layer.position.center, rtol=1e-6)
        precision = layer.position.precision().double()
        expected = torch.linalg.det(precision) ** (-1 / 4)
        np.testing.assert_allclose(found.widths[-1], expected, rtol=1e-4)
        np.testing.assert_allclose(found.widths[0], 1, atol=0.1)


def test_every_path_ends_at_a_dot_of_its_colour(learned_run):
    run = learned_run([{"window": (4, 4), "gate": "gqpe", "groups": 3}], num_epochs=5)
    (found,) = read_trajectories(run).values()
    top, bottom, _ = trajectories(run).axes
    paths, dots, widths = top.lines[:3], top.lines[3:6], bottom.lines[:3]
    assert len({to_hex(line.get_color()) for line in paths}) == 3
    for group, (path, dot, width) in enumerate(zip(paths, dots, widths, strict=True)):
        assert len({to_hex(line.get_color()) for line in (path, dot, width)}) == 1
        assert path.get_xydata()[:, ::-1].tolist() == found.centres[:, group].tolist()  # y is down
        assert dot.get_xydata().tolist() == path.get_xydata()[-1:].tolist()
        assert width.get_ydata().tolist() == found.widths[:, group].tolist()


def test_width_is_that_of_the_gaussian_in_tokens():
    centres = np.zeros((1, 2, 2), np.float32)
    half = np.array([[0.5, 0.25]], np.float32)  # P = a I with a = spread², so sigma = 1 / spread
    np.testing.assert_allclose(
        trajectory_of(QPE((4, 4), 2), centres, half).widths, [[2, 4]], rtol=1e-6
    )
    spread = np.array([[np.diag([0.5, 0.125]), np.eye(2)]], np.float32)  # sigma 2 and 8
    np.testing.assert_allclose(
        trajectory_of(GQPE((4, 4), 2), centres, spread).widths, [[4, 1]], rtol=1e-6
    )


def test_a_form_that_is_not_positive_has_no_width():
    spread = np.array([[np.diag([1.0, -1.0])]], np.float32)
    found = trajectory_of(GQPE((4, 4), 1, psd=False), np.zeros((1, 1, 2), np.float32), spread)
    assert np.isnan(found.widths).all()
