"""Coverage and error rate of the rules in docs/statistics.md, on simulated studies.

    python benchmarks/simulated_studies.py     # prints the table of that page; a minute

Shape letters: V variants, K seeds, Q contrasts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from posmlp.analysis.contrasts import estimate, half_widths, rounding_variance
from posmlp.analysis.tables import markdown_table

NUM_STUDIES, LEVEL = 1_000, 0.05


@dataclass(frozen=True)
class Scenario:
    """A study without true differences, whose variants are compared with the first."""

    name: str
    num_variants: int = 12
    num_seeds: int = 5
    std: float = 1.0  # over seeds, in points
    noise_of_reference: float = 1.0  # relative to std
    num_noisy: int = 0  # variants 5 times as noisy
    std_of_seeds: float = 0.0  # of the effect of a seed on all variants
    num_missing: int = 0
    num_test: int = 10_000

    def draw(self, random: np.random.Generator) -> np.ndarray:
        """Accuracies (V, K) in per cent, of whole test images; NaN for missing runs."""
        shape_VK = (self.num_variants, self.num_seeds)
        top1_VK = random.normal(0, self.std, shape_VK)
        top1_VK[0] *= self.noise_of_reference
        top1_VK[self.num_variants - self.num_noisy :] *= 5
        top1_VK += 95 + random.normal(0, self.std_of_seeds or 1e-9, self.num_seeds)
        top1_VK = np.round(top1_VK * self.num_test / 100) * 100 / self.num_test
        top1_VK.flat[random.choice(top1_VK.size, self.num_missing, replace=False)] = np.nan
        return top1_VK


SCENARIOS = tuple(
    scenario
    for num_seeds in (3, 5)
    for scenario in (
        Scenario("equal variances", num_seeds=num_seeds),
        Scenario("equal variances, 3 runs missing", num_seeds=num_seeds, num_missing=3),
        Scenario("seeds that shift all variants", num_seeds=num_seeds, std_of_seeds=2),
        Scenario("a reference 3 times as noisy", num_seeds=num_seeds, noise_of_reference=3),
        Scenario("4 variants 5 times as noisy", num_seeds=num_seeds, num_noisy=4),
    )
)
SCENARIOS += (
    Scenario("2 variants on 500 images, standard deviation 0.2", 2, 2, 0.2, num_test=500),
    Scenario("2 variants on 500 images, standard deviation 0.2", 2, 3, 0.2, num_test=500),
)


def simulate(scenario: Scenario, *, floor: bool = True) -> tuple[float, float]:
    """Fractions of intervals that cover the truth, and of studies with a false verdict.

    A verdict is false if the smallest p value, after Holm, is at most LEVEL.
    """
    random = np.random.default_rng(0)
    others = scenario.num_variants - 1
    signs_QV = np.hstack([-np.ones((others, 1)), np.eye(others)])
    least = rounding_variance(scenario.num_test) if floor else 0.0
    covered, wrong = [], 0
    for _ in range(NUM_STUDIES):
        found = estimate(scenario.draw(random), signs_QV, least)
        known_Q = np.isfinite(found.error)
        size_Q = np.abs(found.difference)[known_Q]
        error_Q, df_Q = found.error[known_Q], found.df[known_Q]
        covered += list(size_Q <= half_widths(error_Q, df_Q, LEVEL))
        p_Q = 2 * stats.t.sf(size_Q / error_Q, df_Q)
        wrong += bool(len(p_Q)) and p_Q.min() * len(p_Q) <= LEVEL
    return float(np.mean(covered)), wrong / NUM_STUDIES


def table(results: dict[Scenario, tuple[float, float]]) -> str:
    headers = (
        "No true differences",
        "Seeds",
        "Intervals that cover",
        "Studies with a false verdict",
    )
    return markdown_table(headers, list(_rows(results)), ["left", "right", "right", "right"])


def _rows(results: dict[Scenario, tuple[float, float]]) -> Iterator[list[str]]:
    for scenario, fractions in results.items():
        yield [scenario.name, str(scenario.num_seeds), *(f"{x:.1%}" for x in fractions)]


if __name__ == "__main__":
    print(table({scenario: simulate(scenario) for scenario in SCENARIOS}))
