"""Writes Tests/StatisticsTests/ComparisonReference.swift: what scipy, statsmodels and plain numpy make of small tables.

    pip install -r Tools/statistics/requirements.txt
    python Tools/statistics/make_reference.py
"""
import itertools
import pathlib

import numpy as np
import pandas as pd
import scipy
import statsmodels
from scipy import stats
from statsmodels.formula.api import mixedlm, ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

rng = np.random.Generator(np.random.PCG64(20261126))


def swift(value):
    if isinstance(value, (list, np.ndarray)):
        return "[" + ", ".join(swift(item) for item in value) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(swift(item) for item in value) + ")"
    return repr(value.item() if isinstance(value, np.generic) else value)


def by_cluster(values, clusters):
    return np.array([values[clusters == c].sum() for c in sorted(set(clusters.tolist()))])


def max_t(columns, clusters):
    """Single-step maxT by all sign flips of whole clusters."""
    sums = np.stack([by_cluster(column, clusters) for column in columns])
    groups = sums.shape[1]

    def largest(signed):
        mean, spread = signed.mean(-1), signed.std(-1, ddof=1)
        return np.abs(mean / (spread / np.sqrt(groups)))

    observed = largest(sums)
    null = np.array([largest(sums * np.array(s)).max() for s in itertools.product([1, -1], repeat=groups)])
    return [(null >= value * (1 - 1e-12)).mean() for value in observed]


def crossed(columns):
    """Mean squares of images x seeds by statsmodels' ANOVA; variance of the mean, Satterthwaite's degrees of freedom and the 95 % interval by
    the textbook's formula; and the standard error of a mixed model (REML) with both as crossed random effects."""
    seeds, images = columns.shape
    table = pd.DataFrame([(i, s, columns[s, i]) for s in range(seeds) for i in range(images)], columns=["i", "s", "y"])
    fit = anova_lm(ols("y ~ C(i) + C(s)", table).fit())
    squares = fit["mean_sq"][["C(i)", "C(s)", "Residual"]].to_numpy()
    variance = (squares[0] + squares[1] - squares[2]) / (images * seeds)
    parts = squares ** 2 / np.array([images - 1, seeds - 1, (images - 1) * (seeds - 1)])
    degrees = (squares[0] + squares[1] - squares[2]) ** 2 / parts.sum()
    low, high = stats.t.interval(0.95, degrees, columns.mean(), variance ** 0.5)
    table["all"] = 1
    mixed = mixedlm("y ~ 1", table, groups="all", vc_formula={"i": "0 + C(i)", "s": "0 + C(s)"}).fit(reml=True)
    return (columns.mean(), variance ** 0.5, degrees, low, high), mixed.bse["Intercept"]


def main():
    lines = [
        f"// Reference values: scipy {scipy.__version__}, statsmodels {statsmodels.__version__}, numpy {np.__version__}; made by",
        "// Tools/statistics/make_reference.py with PCG64 seed 20261126. No Python is needed to run the tests.",
        "// swift-format-ignore-file",
        "",
    ]

    def add(doc, name, kind, value):
        lines.extend([f"/// {doc}", f"let {name}: {kind} = {swift(value)}", ""])

    points = [1e-12, 0.001, 0.025, 0.31, 0.5, 0.8, 0.975, 0.9999]
    add("(probability, z): scipy.stats.norm.ppf", "normalQuantiles", "[(Double, Double)]",
        [(p, stats.norm.ppf(p)) for p in points])

    sizes = [3, 1, 2, 4, 2, 1, 3, 2, 2]
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    values = np.round(rng.normal(-0.1, 1, len(clusters)) + rng.normal(0, 0.5, len(sizes))[clusters], 3)
    add("Differences of items.", "pairedDifferences", "[Double]", values)
    add("The image of each of `pairedDifferences`.", "pairedClusters", "[Int]", clusters)
    sums = by_cluster(values, clusters)
    test = stats.permutation_test((sums,), lambda x, axis: x.sum(axis), permutation_type="samples", vectorized=True,
                                  n_resamples=np.inf, alternative="two-sided")
    add("scipy.stats.permutation_test of the images' sums, all sign flips", "signFlipReference", "Double", test.pvalue)

    independent = np.round(rng.gamma(1.5, 1, 24) - 1, 3)
    add("One skewed difference per image.", "independentDifferences", "[Double]", independent)
    bootstrap = stats.bootstrap((independent,), np.mean, n_resamples=200_000, method="BCa", rng=rng)
    add("scipy.stats.bootstrap, BCa, 200,000 resamples; of `independentDifferences`", "bcaReference",
        "(Double, Double)", tuple(bootstrap.confidence_interval))
    add("DescrStatsW.ttost_mean of `independentDifferences` with margins (margin, p)", "tostReference",
        "[(Double, Double)]",
        [(m, DescrStatsW(independent).ttost_mean(-m, m)[0]) for m in (0.3, 0.6, 1.0, 1.4)])
    add("scipy.stats.ttest_1samp of `independentDifferences`", "tTestReference", "Double",
        stats.ttest_1samp(independent, 0).pvalue)

    pairs = [(0, 0), (1, 0), (3, 9), (12, 4), (30, 31), (5, 40)]
    add("(only A, only B, p): statsmodels mcnemar, exact", "mcnemarReference", "[(Int, Int, Double)]",
        [(a, b, mcnemar([[7, a], [b, 5]], exact=True).pvalue if a + b else 1.0) for a, b in pairs])

    p = [0.01, 0.04, 0.03, 0.005, 0.9, 0.03]
    add("(p, adjusted): statsmodels multipletests, holm", "holmReference", "([Double], [Double])",
        (p, multipletests(p, method="holm")[1]))

    add("(effect / spread, power, images): statsmodels TTestPower.solve_power, two-sided 5 %", "powerReference",
        "[(Double, Double, Double)]",
        [(d, power, TTestPower().solve_power(effect_size=d, power=power, alpha=0.05))
         for d, power in [(0.2, 0.8), (0.5, 0.8), (0.5, 0.9), (1.0, 0.8)]])

    columns = [np.round(values * scale + rng.normal(shift, 1, len(values)), 3)
               for scale, shift in [(1, 0.0), (0.5, 0.6), (0.2, 0.1)]]
    add("Three cells over the items of `pairedClusters`.", "gridColumns", "[[Double]]", [list(c) for c in columns])
    add("Single-step maxT over all sign flips, in numpy.", "maxStatisticReference", "[Double]", max_t(columns, clusters))

    table = np.round(0.4 + rng.normal(0, 0.8, 8) + rng.normal(0, 0.5, (4, 1)) + rng.normal(0, 0.6, (4, 8)), 3)
    add("Differences of 8 images, one row per seed.", "crossedColumns", "[[Double]]", [list(row) for row in table])
    reference, mixed = crossed(table)
    add("(mean, standard error, degrees of freedom, low, high): mean squares by statsmodels' anova_lm", "crossedReference",
        "(Double, Double, Double, Double, Double)", reference)
    add("Standard error of the intercept by statsmodels' mixedlm, REML, images and seeds as crossed random effects",
        "crossedMixedError", "Double", mixed)

    target = pathlib.Path(__file__).parents[2] / "Tests/StatisticsTests/ComparisonReference.swift"
    target.write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
