"""Predictions kept by a study, and the interval over seeds and test images."""

import numpy as np
import pytest

from posmlp.analysis.collect import ResultsError, collect_predictions, find_runs
from posmlp.analysis.predictions import (
    Hits,
    crossed_bootstrap,
    read_predictions,
    write_predictions,
)

LEVEL, SIGNS = 0.05, np.array([[-1.0, 1.0]])


def drawn(random, num_seeds, num_images, std):
    """Return predictions of two variants without a true difference."""
    images_N = random.normal(size=num_images)
    of_variant_VN = random.normal(0, 0.3, (2, num_images))
    predictions = {}
    for variant, of_variant_N in zip("ab", of_variant_VN, strict=True):
        for seed in range(num_seeds):
            of_run_N = random.normal(0, std) + random.normal(0, 0.5, num_images)
            predictions[variant, seed] = Hits("same", images_N + of_variant_N + of_run_N > 0)
    return predictions


def test_predictions_survive_a_round_trip(tmp_path):
    predictions = {("a", 0): Hits("x", np.arange(11) % 3 == 0), ("a", 1): Hits("y", np.ones(3) > 0)}
    for kept in (predictions, {}):
        write_predictions(kept, tmp_path / "predictions.npz")
        again = read_predictions(tmp_path / "predictions.npz")
        assert list(again) == list(kept)
        for name, hits in kept.items():
            assert again[name].images == hits.images
            assert np.array_equal(again[name].correct, hits.correct)
    assert read_predictions(tmp_path / "older.npz") == {}


def test_run_folders_without_predictions_are_left_out_and_damaged_ones_named(study, finished):
    folders = [run.folder(finished) for run in study.runs()]
    np.savez(folders[0] / "predictions.npz", classes=np.array([1, 2]), labels=np.array([1, 3]))
    (predictions,) = collect_predictions(find_runs(study, finished)).values()
    assert predictions.correct.tolist() == [True, False]
    (folders[1] / "predictions.npz").write_bytes(b"PK cut")
    with pytest.raises(ResultsError, match=f"{folders[1]}/predictions.npz: damaged"):
        collect_predictions(find_runs(study, finished))


def test_intervals_cover_at_the_nominal_level():
    random, covered = np.random.default_rng(0), []
    for _ in range(100):
        low, high = crossed_bootstrap(drawn(random, 5, 200, 0.1), ["a", "b"], SIGNS, LEVEL)
        covered.append(low[0] <= 0 <= high[0])
    assert np.mean(covered) >= 1 - LEVEL


def test_other_images_are_resampled_independently_and_one_seed_has_no_interval():
    random = np.random.default_rng(0)
    same = {name: Hits("x", random.random(100) < 0.8) for name in (("a", 0), ("a", 1))}
    twin = {("b", seed): hits for (_, seed), hits in same.items()}
    other = {name: Hits("y", hits.correct) for name, hits in twin.items()}
    widths = [
        np.ptp(crossed_bootstrap(same | second, ["a", "b"], SIGNS, LEVEL))
        for second in (twin, other)
    ]
    assert widths[0] < widths[1]
    assert np.isnan(
        crossed_bootstrap({("a", 0): same["a", 0]} | twin, ["a", "b"], SIGNS, LEVEL)
    ).all()
