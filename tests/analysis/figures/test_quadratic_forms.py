import numpy as np
import torch

from posmlp.analysis.figures.quadratic_forms import read_trajectories, trajectory_of
from posmlp.layers import GQPE, QPE


def test_a_trajectory_starts_at_the_first_entry_and_ends_at_the_layer(learned_run):
    run = learned_run([{"window": (4, 4), "gate": "gqpe", "groups": 3}] * 2, num_epochs=5)
    for (number, found), layer in zip(
        read_trajectories(run).items(), run.layers.values(), strict=True
    ):
        assert found.centres.shape == (6, 3, 2)
        np.testing.assert_allclose(found.centres[-1], layer.position.center, rtol=1e-6)
        precision = layer.position.precision().double()
        expected = torch.linalg.det(precision) ** (-1 / 4)
        np.testing.assert_allclose(found.widths[-1], expected, rtol=1e-4)
        np.testing.assert_allclose(found.widths[0], 1, atol=0.1)
        assert number in (1, 2)


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
