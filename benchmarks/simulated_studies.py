"""What the rules of docs/statistics.md do on studies whose truth is known; prints its two tables.

    python benchmarks/simulated_studies.py     # under a minute

Shape letters: S studies, V variants, K seeds.
"""

from collections.abc import Iterator

import numpy as np

from posmlp.analysis import inference

SEEDS = (2, 3, 5, 10)
NUM_STUDIES, NUM_VARIANTS, LEVEL, NUM_TEST = 10_000, 12, 0.05, 500
SPREADS = (0.2, 1.0)  # standard deviation over seeds, in points of top-1


def main() -> None:
    """Print both tables as Markdown."""
    print_table(["95% interval of a mean", *map(str, SEEDS)], coverages())
    print()
    print_table(["One or more wrong verdicts", *map(str, SEEDS)], false_verdicts())


def coverages() -> Iterator[list[str]]:
    """Give, by kind of interval, how often it holds the true mean of normal accuracies."""
    random = np.random.default_rng(0)
    samples = [random.normal(size=(NUM_STUDIES, num)) for num in SEEDS]
    yield ["Student's t (ours)", *(per_cent(covers(x, "t")) for x in samples)]
    yield ["1.96 standard errors", *(per_cent(covers(x, "normal")) for x in samples)]
    yield ["bootstrap (BCa)", *(per_cent(covers(x[:1_000], "bootstrap")) for x in samples)]


def covers(samples_SK: np.ndarray, kind: str) -> float:
    if kind == "bootstrap":
        low_S, high_S = inference.bootstrap_interval(samples_SK, 0.95, np.random.default_rng(1))
        return np.mean((low_S <= 0) & (high_S >= 0))
    num, std_S = samples_SK.shape[1], inference.standard_deviation(samples_SK)
    width_S = 1.96 * std_S / np.sqrt(num)
    if kind == "t":
        width_S = inference.t_half_width(std_S, np.full(len(std_S), num), 0.95)
    return np.mean(np.abs(inference.mean(samples_SK)) <= width_S)


def false_verdicts() -> Iterator[list[str]]:
    """Give, by rule, the share of studies without any true difference that find one."""
    for spread in SPREADS:
        for name, holm, floor in (
            ("each test at 5%", False, False),
            ("Holm", True, False),
            ("Holm, rounding counted (ours)", True, True),
        ):
            shares = [wrong(spread, num_seeds, holm, floor) for num_seeds in SEEDS]
            yield [f"spread {spread}: {name}", *map(per_cent, shares)]


def wrong(spread: float, num_seeds: int, holm: bool, floor: bool) -> float:
    """Return the share of studies of NUM_VARIANTS with a p value at or below LEVEL."""
    random, quantum = np.random.default_rng(0), 100 / NUM_TEST
    top1_SVK = random.normal(95, spread, (NUM_STUDIES, NUM_VARIANTS, num_seeds))
    top1_SVK = np.round(top1_SVK / quantum) * quantum
    pairs_SVK = np.round(top1_SVK[:, 1:] - top1_SVK[:, :1], 9)
    std_SV = inference.standard_deviation(pairs_SVK)
    if floor:
        std_SV = np.maximum(std_SV, inference.rounding_deviation(np.array(NUM_TEST)))
    num_SV = np.full(std_SV.shape, num_seeds)
    p_SV = inference.paired_t_test(inference.mean(pairs_SVK), std_SV, num_SV)
    tests = NUM_VARIANTS - 1 if holm else 1  # what Holm makes of the smallest of a study
    return np.mean(p_SV.min(axis=1) * tests <= LEVEL)


def per_cent(share: float) -> str:
    return f"{share:.1%}"


def print_table(header: list[str], rows: Iterator[list[str]]) -> None:
    print("| " + " | ".join([f"{header[0]}, by seeds", *header[1:]]) + " |")
    print("| :--- |" + " ---: |" * (len(header) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
