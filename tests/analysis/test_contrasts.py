"""Contrasts against statsmodels, scipy and values worked out by hand."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.multitest import multipletests

from posmlp.analysis.contrasts import (
    bartlett,
    claim_p_values,
    compare,
    holm,
    rounding_variance,
    verdicts,
)

CONTRASTS = ["b - a", "d - c - b + a"]


@pytest.fixture
def values() -> pd.DataFrame:
    """Four variants with four seeds and one missing run."""
    found = np.random.default_rng(1).normal([90.0, 92.0, 89.0, 93.0], 1, (4, 4))
    found[1, 2] = np.nan
    return pd.DataFrame(found, index=list("abcd"))


def test_pooled_contrasts_match_statsmodels(values):
    found = compare(values, CONTRASTS, level=0.1)
    assert set(found["variances"]) == {"pooled"}
    rows = values.rename_axis("variant").melt(ignore_index=False, var_name="seed").reset_index()
    fit = smf.ols("value ~ 0 + C(variant) + C(seed)", rows.dropna()).fit()
    names = [f"C(variant)[{variant}]" for variant in "abcd"]
    for row, signs in zip(found.itertuples(), [(-1, 1, 0, 0), (1, -1, -1, 1)], strict=True):
        signed = np.zeros(len(fit.params))
        signed[[list(fit.params.index).index(name) for name in names]] = signs
        expected = fit.t_test(signed)
        low, high = expected.conf_int(alpha=0.1)[0]
        assert row.difference == pytest.approx(expected.effect[0])
        assert row.half_width == pytest.approx((high - low) / 2)
        assert row.p_value == pytest.approx(expected.pvalue)
        assert row.df == fit.df_resid
    assert found["n"].tolist() == [3, 3]


def test_a_noisy_variant_is_compared_by_welch_and_the_others_are_not(values):
    values = values.fillna(90.0)
    values.loc["a"] = [85.0, 95.0, 86.5, 93.5]
    found = compare(values, ["b - a", "d - c"])
    assert found["variances"].tolist() == ["Welch", "pooled"]
    expected = stats.ttest_ind(values.loc["b"], values.loc["a"], equal_var=False)
    low, high = expected.confidence_interval(0.95)
    assert found["p_value"][0] == pytest.approx(expected.pvalue)
    assert found["half_width"][0] == pytest.approx((high - low) / 2)


def test_unequal_variances_make_every_contrast_welch(values):
    values = values.fillna(90.0)
    values.loc["a"], values.loc["b"] = [61, 99, 95, 65], [98, 66, 62, 94]
    assert stats.bartlett(*values.to_numpy()).pvalue < 0.05
    assert compare(values, ["d - c"])["variances"].tolist() == ["Welch"]


def test_contrasts_that_are_not_estimable_are_nan(values):
    one_seed = compare(values[[0]], ["b - a", "b - absent"])
    assert one_seed["difference"][0] == pytest.approx(values.loc["b", 0] - values.loc["a", 0])
    assert one_seed[["half_width", "p_value"]].isna().all(axis=None)
    assert one_seed["difference"].isna()[1]
    assert one_seed["n"].tolist() == [1, 0]
    apart = pd.DataFrame([[90.0, np.nan], [np.nan, 91.0]], index=["a", "b"])
    assert np.isnan(compare(apart, ["b - a"])["difference"][0])  # the seed may explain it


@pytest.mark.parametrize(("num_variants", "num_seeds"), [(30, 40), (40, 40), (100, 20)])
def test_a_large_study_is_compared_too(num_variants, num_seeds):
    names = [f"v{i}" for i in range(num_variants)]
    drawn_VK = np.random.default_rng(0).normal(size=(num_variants, num_seeds))
    (found,) = compare(pd.DataFrame(drawn_VK, names), ["v1 - v0"]).itertuples()
    assert found.difference == pytest.approx(drawn_VK[1].mean() - drawn_VK[0].mean())
    assert found.standard_error == pytest.approx(np.sqrt(2 / num_seeds), rel=0.1)


def test_equal_accuracies_have_the_variance_of_rounding():
    same = pd.DataFrame([[95.0, 95.2], [95.2, 95.4]], index=["a", "b"])
    bare, floored = (compare(same, ["b - a"], floor=f) for f in (0.0, rounding_variance(500)))
    assert bare["p_value"][0] < 1e-6 < 0.05 < floored["p_value"][0]
    rounded = np.round(np.random.default_rng(0).uniform(0, 100, 100_000) * 5) / 5
    exact = np.random.default_rng(0).uniform(0, 100, 100_000)
    assert np.var(rounded - exact) == pytest.approx(rounding_variance(500), rel=0.01)


def test_bartlett_matches_scipy_and_ignores_single_runs():
    samples = [np.random.default_rng(n).normal(size=n) for n in (3, 5, 4)]
    variance_V, num_V = [np.var(s, ddof=1) for s in samples] + [np.nan], np.array([3, 5, 4, 1])
    expected = stats.bartlett(*samples).pvalue
    assert bartlett(np.array(variance_V), num_V) == pytest.approx(expected)
    assert bartlett(np.array([1.0, np.nan]), np.array([3, 1])) == 1


@pytest.mark.parametrize("difference", [-0.6, -0.2, 0.2, 0.7])
@pytest.mark.parametrize(
    ("claim", "margin", "limit"), [("superior", 0.5, 0), ("non-inferior", 0.5, -0.5)]
)
def test_a_claim_holds_if_the_interval_is_above_its_limit(difference, claim, margin, limit):
    found = pd.DataFrame({"difference": [difference], "standard_error": 0.15, "df": 20})
    half_width = stats.t.ppf(0.975, 20) * 0.15
    (p,) = claim_p_values(found, pd.Series([claim]), margin)
    assert (p <= 0.05) == (difference - half_width >= limit)
    assert p <= 1


@pytest.mark.parametrize(
    ("difference", "half_width", "margin", "verdict"),
    [
        (1.0, 0.5, 1.0, "superior"),
        (0.0, 0.5, 1.0, "non-inferior"),
        (-0.4, 0.3, 1.0, "non-inferior"),
        (-0.4, 0.3, None, "inferior"),
        (-2.0, 0.5, 1.0, "inferior"),
        (0.0, 2.0, 1.0, "inconclusive"),
        (0.0, 0.5, None, "inconclusive"),
        (5.0, np.nan, 1.0, ""),
    ],
)
def test_verdicts(difference, half_width, margin, verdict):
    assert verdicts(pd.Series([difference]), pd.Series([half_width]), margin) == [verdict]


def test_holm_ignores_nans():
    found = holm(np.array([0.5, np.nan, 0.01, 0.02]))
    np.testing.assert_allclose(found, [0.5, np.nan, 0.03, 0.04])
    known = multipletests([0.5, 0.01, 0.02], method="holm")[1]
    np.testing.assert_allclose(found[[0, 2, 3]], known)
    assert np.isnan(holm(np.array([np.nan]))).all()
