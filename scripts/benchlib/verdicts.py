"""Whether a head is slower than its base: from pairs of samples to a verdict, as early as it is sure.

All is in natural logarithms of head over base. In a pair, base and head run in random order: if the head
is but slower or faster by a factor, a pair's logarithm is spread evenly to both sides of that factor's,
whatever the noise. Wilcoxon's signed ranks are then exact at any number of pairs, without a normal
distribution or a bootstrap, and outliers weigh no more than other pairs. Their interval is told.

A batch is looked at four times, after 2/5, 3/5, 4/5 and all of its pairs (10, 15, 20, 25). The level is
spent over the looks as 1 : 2 : 3 : 4, and what a look cannot spend, for ranks are discrete, goes to the
next. The intervals of all looks hold together with the level's probability, by addition alone: nothing
is assumed of how the looks depend on each other, and stopping at any of them is free.
"""

import dataclasses
import functools
import math
import statistics

import numpy

# The rate of error: of intervals that miss, and of a false alarm among all benchmarks of a comparison.
LEVEL = 0.05
LOOKS = 4
# A slowdown that is told as one that would have been seen is found so often.
POWER = 0.9
SLOWER, FASTER, SAME, INCONCLUSIVE = "slower", "faster", "same", "inconclusive"


def level(benchmarks):
    """What one batch may err for each benchmark, of so many.

    A difference must show in two batches, each on the wrong side with half the level: with 5%, up to 40
    benchmarks have no false alarm among them with 95% and more. Beyond that the intervals widen.
    """
    return min(LEVEL, math.sqrt(2 * LEVEL / max(benchmarks, 1)))


@functools.cache
def tails(pairs):
    """P(rank sum <= w) at each w, of signed ranks of so many pairs where there is no difference."""
    chances = numpy.ones(1)
    for rank in range(1, pairs + 1):
        wider = numpy.zeros(len(chances) + rank)
        wider[: len(chances)] += chances / 2
        wider[rank:] += chances / 2
        chances = wider
    return numpy.cumsum(chances)


@dataclasses.dataclass(frozen=True)
class Look:
    """After how many pairs, which order statistic of their means bounds the interval (0: none yet),
    and what level that is."""

    pairs: int
    order: int
    level: float


@functools.cache
def looks(pairs, level):
    """The looks at a batch of at most so many pairs."""
    found, spent = [], 0.0
    for part in range(1, LOOKS + 1):
        now = max(2, math.ceil(pairs * (part + 1) / (LOOKS + 1)))
        allowed = level * part * (part + 1) / (LOOKS * (LOOKS + 1)) - spent
        order = int(numpy.searchsorted(tails(now), allowed / 2, side="right"))
        used = 2 * float(tails(now)[order - 1]) if order else 0.0
        spent += used
        found.append(Look(now, order, used))
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class Summary:
    """A batch of pairs at a look: the logarithm of the ratio and its interval."""

    look: Look
    middle: float
    low: float
    high: float

    @property
    def reach(self):
        """From the middle to the farther end of the interval."""
        return max(self.high - self.middle, self.middle - self.low)


def summary(ratios, look):
    """Sums up the logarithms of ratios of one benchmark at a look: the median of the means of all pairs
    of them (Hodges and Lehmann's), and the interval that signed ranks do not reject."""
    ratios = numpy.asarray(ratios, dtype=float)
    if len(ratios) != look.pairs or not numpy.isfinite(ratios).all():
        raise ValueError(f"not {look.pairs} finite ratios: {ratios}")
    one, other = numpy.triu_indices(len(ratios))
    means = numpy.sort((ratios[one] + ratios[other]) / 2)
    low, high = (means[look.order - 1], means[-look.order]) if look.order else (-math.inf, math.inf)
    return Summary(look, float(numpy.median(means)), float(low), float(high))


def floor(same):
    """What noise alone reaches: the far end of the interval of a revision against itself."""
    far = max(abs(same.low), abs(same.high))
    return math.expm1(far) if far < 50 else math.inf


def threshold(floor, least):
    """The difference that counts, as a part of the base: at least twice the floor."""
    return max(least, 2 * floor)


def side(batch, threshold, least):
    """What one batch says. A high floor raises what counts as a difference, never as the same."""
    limit, near = math.log1p(threshold), math.log1p(least)
    if batch.low > limit:
        return SLOWER
    if batch.high < -limit:
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


def detectable(batch, same, last, least):
    """The smallest slowdown, as a part of the base, that two whole batches find with POWER in this noise.

    `batch` and `same` are what was seen of head and of base again, `last` the look at a whole batch.
    Reaches shrink with the root of the pairs, and are so many deviations as a look's level says.
    """
    if not math.isfinite(batch.reach + same.reach):
        return math.inf
    normal = statistics.NormalDist()

    def deviations(look):
        return normal.inv_cdf(1 - look.level / 2)

    shrink = math.sqrt(batch.look.pairs / last.pairs) * deviations(last) / deviations(batch.look)
    limit = threshold(math.expm1(abs(same.middle) + shrink * same.reach), least)
    seen = 1 + normal.inv_cdf(math.sqrt(POWER)) / deviations(last)
    return math.expm1(math.log1p(limit) + shrink * batch.reach * seen)


def status(verdicts):
    """package-benchmark's exit codes: 0 equal, 2 a regression, 4 an improvement."""
    if SLOWER in verdicts:
        return 2
    return 4 if FASTER in verdicts else 0
