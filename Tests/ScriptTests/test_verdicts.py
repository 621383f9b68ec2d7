"""The statistics of `bench compare`, against what is known exactly."""

import itertools
import math
import unittest

import numpy

from benchlib import verdicts

PAIRS = 25
LAST = verdicts.looks(PAIRS, verdicts.LEVEL)[-1]


def batch(ratio, spread, seed, look=LAST):
    """Sums up pairs of lognormal noise around a true ratio, one in 25 of them disturbed by half."""
    random = numpy.random.default_rng(seed)
    values = math.log(ratio) + spread * random.standard_normal(look.pairs)
    values += 0.4 * (random.random(look.pairs) < 0.02) - 0.4 * (random.random(look.pairs) < 0.02)
    return verdicts.summary(values, look)


class Statistics(unittest.TestCase):
    def test_signed_ranks_as_counted(self):
        """The chance of each rank sum, by all signs of 1, 2, ..., 10."""
        sums = [sum(signs) for signs in itertools.product(*((0, rank) for rank in range(1, 11)))]
        found = verdicts.tails(10)
        self.assertEqual(len(found), 56)
        for w in (0, 1, 2, 8, 20, 55):
            self.assertAlmostEqual(found[w], sum(value <= w for value in sums) / 2**10)

    def test_looks_spend_the_level_and_no_more(self):
        for pairs, level in itertools.product((15, 25, 26, 60), (0.05, 0.01)):
            found = verdicts.looks(pairs, level)
            self.assertEqual(found[-1].pairs, pairs)
            self.assertLessEqual(sum(look.level for look in found), level)
            self.assertGreater(sum(look.level for look in found), 0.9 * level)
            for look in found:
                self.assertEqual(look.order > 0, look.level > 0)
        self.assertEqual([look.pairs for look in verdicts.looks(25, 0.05)], [10, 15, 20, 25])
        # Six pairs cannot tell at half a percent, and are not taken to.
        first = verdicts.looks(15, 0.05)[0]
        self.assertEqual((first.pairs, first.order), (6, 0))
        self.assertEqual(verdicts.summary([0.1] * 6, first).low, -math.inf)

    def test_the_interval_is_what_signed_ranks_do_not_reject(self):
        random = numpy.random.default_rng(7)
        values = random.standard_normal(10)
        look = verdicts.Look(10, 9, 0.05)
        found = verdicts.summary(values, look)
        for centre in numpy.linspace(-2, 2, 401):
            moved = values - centre
            ranks = numpy.argsort(numpy.argsort(abs(moved))) + 1
            least = min(ranks[moved > 0].sum(), ranks[moved < 0].sum())
            self.assertEqual(found.low < centre < found.high, least >= look.order, centre)

    def test_the_level_holds_for_all_benchmarks_together(self):
        self.assertEqual(verdicts.level(1), 0.05)
        self.assertEqual(verdicts.level(40), 0.05)
        for count in (41, 100, 1_000):
            # In two batches, on either side.
            self.assertAlmostEqual(count * 2 * (verdicts.level(count) / 2) ** 2, 0.05)

    def test_equal_samples(self):
        found = verdicts.summary([0.0] * PAIRS, LAST)
        self.assertEqual((found.middle, found.low, found.high), (0, 0, 0))

    def test_samples_without_sense(self):
        for values in ([], [0.1], [0.1] * 24, [0.1] * 24 + [math.inf], [0.1] * 24 + [math.nan]):
            with self.assertRaises(ValueError):
                verdicts.summary(values, LAST)

    def test_noise_sets_what_would_be_seen(self):
        quiet, same = batch(1, 0.001, 1), batch(1, 0.001, 2)
        self.assertAlmostEqual(verdicts.detectable(quiet, same, LAST, 0.05), 0.05, delta=0.003)
        noisy = [verdicts.detectable(batch(1, s, 1), batch(1, s, 2), LAST, 0.05) for s in (0.02, 0.05)]
        self.assertLess(0.055, noisy[0])
        self.assertLess(noisy[0] + 0.02, noisy[1])
        unknown = verdicts.summary([0.1] * 6, verdicts.looks(15, 0.05)[0])
        self.assertEqual(verdicts.detectable(unknown, same, LAST, 0.05), math.inf)


class Verdicts(unittest.TestCase):
    def test_a_high_floor_raises_the_limit(self):
        self.assertEqual(verdicts.threshold(0.01, 0.05), 0.05)
        self.assertEqual(verdicts.threshold(0.04, 0.05), 0.08)
        clear = batch(1.07, 0.005, 1)
        self.assertEqual(verdicts.verdict(clear, clear, 0.05, 0.05), "slower")
        self.assertEqual(verdicts.verdict(clear, clear, 0.08, 0.05), "inconclusive")

    def test_one_batch_is_not_enough(self):
        slow, equal, fast = batch(1.2, 0.01, 1), batch(1, 0.01, 2), batch(0.8, 0.01, 3)
        self.assertEqual(verdicts.verdict(slow, slow, 0.05, 0.05), "slower")
        for second in (None, equal, fast):
            self.assertEqual(verdicts.verdict(slow, second, 0.05, 0.05), "inconclusive")
        self.assertEqual(verdicts.verdict(equal, None, 0.05, 0.05), "same")

    def test_a_wide_interval_is_not_the_same(self):
        self.assertEqual(verdicts.verdict(batch(1, 0.3, 1), None, 2.0, 0.05), "inconclusive")

    def test_status(self):
        for found, expected in (
            (["same"], 0),
            (["inconclusive"], 0),
            (["faster", "same"], 4),
            (["faster", "slower"], 2),
            ([], 0),
        ):
            self.assertEqual(verdicts.status(found), expected)


if __name__ == "__main__":
    unittest.main()
