import numpy as np
import pandas as pd
import pytest

from posmlp.analysis.contexts import contexts, contexts_table
from posmlp.analysis.granularity import COLUMNS

ROWS = [
    # variant, seed, layer, group, granularity, initial, uniform
    *[("sgu", seed, 1, 1, 3.0, 3.0, 4.0) for seed in (0, 1)],
    *[("gqpe", 0, 1, 1, 1.0, 2.0, 4.0), ("gqpe", 0, 1, 2, 4.0, 2.5, 4.0)],
    *[("gqpe", 0, 2, 1, 1.5, 2.0, 4.0), ("gqpe", 0, 2, 2, 1.5, 2.0, 4.0)],
    *[("gqpe", 1, 1, 1, 3.0, 2.0, 4.0), ("gqpe", 1, 1, 2, 1.0, 2.0, 4.0)],
    *[("gqpe", 1, 2, 1, 3.0, 2.0, 4.0), ("gqpe", 1, 2, 2, 1.0, 2.0, 4.0)],
]


@pytest.fixture
def granularities() -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=COLUMNS)


def test_ratios_are_geometric_means_over_layers_then_means_over_seeds(granularities):
    found = contexts(granularities)
    assert found["variant"].tolist() == ["gqpe"]  # one group has nothing to differ from
    row = found.iloc[0]
    assert row["n"] == 2
    assert row["narrowest"] == pytest.approx((1.25 + 1) / 2)
    assert row["widest"] == pytest.approx((2.75 + 3) / 2)
    assert row["ratio"] == pytest.approx((2 + 3) / 2)
    assert row["ratio_std"] == pytest.approx(np.std([2, 3], ddof=1))
    assert row["initial_ratio"] == pytest.approx((1.25**0.5 + 1) / 2)


def test_the_table_shows_them(granularities):
    table = contexts_table(granularities)
    (row,) = table.cells()
    assert dict(zip(table.headers, row, strict=True)) == {
        "Variant": "gqpe",
        "n": "2",
        "Narrowest": "1.12",
        "Widest": "2.88",
        "Ratio": "2.50 ± 0.71",
        "At the start": "1.06 ± 0.08",
    }


def test_no_groups_no_rows(granularities):
    assert len(contexts(granularities[granularities["variant"] == "sgu"])) == 0
