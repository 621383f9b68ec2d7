"""Whether a head is slower than its base: from pairs of samples to a verdict.

All is in natural logarithms of head over base. A batch of pairs is summed up by the mean of its
middle half, which outliers do not move, with a bootstrap interval of 95%, and by Wilcoxon's
signed-rank test, its p corrected by Holm for the number of benchmarks.
"""

import dataclasses
import math
import warnings

import numpy
import scipy.stats
from statsmodels.stats.multitest import multipletests

RESAMPLES = 10_000
LEVEL = 0.05

SLOWER, FASTER, SAME, INCONCLUSIVE = "slower", "faster", "same", "inconclusive"


@dataclasses.dataclass(frozen=True)
class Summary:
    """A batch of pairs: the logarithm of the ratio, its interval, and p."""

    middle: float
    low: float
    high: float
    p: float


def middle(ratios, axis=-1):
    return scipy.stats.trim_mean(ratios, 0.25, axis=axis)


def summary(ratios, seed):
    """Sums up the logarithms of ratios of one benchmark."""
    ratios = numpy.asarray(ratios, dtype=float)
    if len(ratios) < 2 or not numpy.isfinite(ratios).all():
        raise ValueError(f"not two or more finite ratios: {ratios}")
    if numpy.ptp(ratios) == 0:
        interval = (ratios[0], ratios[0])
    else:
        interval = scipy.stats.bootstrap(
            (ratios,),
            middle,
            n_resamples=RESAMPLES,
            confidence_level=0.95,
            method="percentile",
            vectorized=True,
            rng=numpy.random.default_rng(seed),
        ).confidence_interval
    if not ratios.any():
        p = 1.0
    else:
        with warnings.catch_warnings():
            # Pairs without a difference make the p approximate; the interval decides then.
            warnings.simplefilter("ignore")
            p = scipy.stats.wilcoxon(ratios).pvalue
    return Summary(float(middle(ratios)), float(interval[0]), float(interval[1]), float(p))


def corrected(summaries):
    """The same, with p by Holm's method for as many tests as there are."""
    if not summaries:
        return {}
    adjusted = multipletests([value.p for value in summaries.values()], method="holm")[1]
    return {
        name: dataclasses.replace(value, p=float(p))
        for (name, value), p in zip(summaries.items(), adjusted)
    }


def floor(same):
    """What noise alone reaches: the far end of the interval of a revision against itself."""
    return math.expm1(max(abs(same.low), abs(same.high)))


def threshold(floor, least):
    """The difference that counts, as a part of the base: at least twice the floor."""
    return max(least, 2 * floor)


def side(batch, threshold, least):
    """What one batch says. A high floor raises what counts as a difference, never as the same."""
    limit, near = math.log1p(threshold), math.log1p(least)
    if batch.low > limit and batch.p < LEVEL:
        return SLOWER
    if batch.high < -limit and batch.p < LEVEL:
        return FASTER
    if -near <= batch.low and batch.high <= near:
        return SAME
    return INCONCLUSIVE


def verdict(first, second, threshold, least):
    """What both say. A difference needs a second batch that shows it again."""
    found = side(first, threshold, least)
    if found in (SLOWER, FASTER):
        again = second is not None and side(second, threshold, least) == found
        return found if again else INCONCLUSIVE
    return found


def status(verdicts):
    """package-benchmark's exit codes: 0 equal, 2 a regression, 4 an improvement."""
    if SLOWER in verdicts:
        return 2
    return 4 if FASTER in verdicts else 0
