"""The statistics of `bench compare`, on made-up samples whose truth is known."""

import math
import unittest

import numpy

from benchlib import verdicts

PAIRS = 25


def batch(ratio, spread, seed, pairs=PAIRS):
    """Sums up pairs of lognormal noise around a true ratio, one in 25 of them disturbed by half."""
    random = numpy.random.default_rng(seed)
    values = math.log(ratio) + spread * random.standard_normal(pairs)
    values += 0.4 * (random.random(pairs) < 0.02) - 0.4 * (random.random(pairs) < 0.02)
    return verdicts.summary(values, seed)


def outcome(ratio, spread, seed):
    floor = verdicts.floor(batch(1, spread, 3 * seed))
    limit = verdicts.threshold(floor, 0.05)
    first, second = (batch(ratio, spread, 3 * seed + i) for i in (1, 2))
    return verdicts.verdict(first, second, limit, 0.05)


class Verdicts(unittest.TestCase):
    def test_itself_gives_no_alarm(self):
        found = [outcome(1, spread, seed) for seed in range(60) for spread in (0.01, 0.03, 0.1)]
        self.assertFalse({"slower", "faster"} & set(found))
        self.assertGreater(found.count("same"), 100)

    def test_ten_percent_are_found(self):
        self.assertEqual({outcome(1.1, 0.01, seed) for seed in range(40)}, {"slower"})
        self.assertEqual({outcome(1 / 1.1, 0.01, seed) for seed in range(40)}, {"faster"})
        # In more noise the answer may be that there is none, but never a wrong one.
        found = {outcome(1.1, 0.04, seed) for seed in range(40)}
        self.assertFalse(found & {"same", "faster"})

    def test_two_percent_never_count(self):
        for seed in range(40):
            self.assertNotIn(outcome(1.02, 0.01, seed), ("slower", "faster"))

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

    def test_equal_samples(self):
        summary = verdicts.summary([0.0] * PAIRS, 1)
        self.assertEqual((summary.middle, summary.low, summary.high, summary.p), (0, 0, 0, 1))

    def test_samples_without_sense(self):
        for values in ([], [0.1], [0.1, math.inf], [0.1, math.nan]):
            with self.assertRaises(ValueError):
                verdicts.summary(values, 1)

    def test_holm(self):
        """Holm's own steps: the least p times 3, the next times 2, and never falling."""
        made = {n: verdicts.Summary(0, 0, 0, p) for n, p in (("a", 0.03), ("b", 0.01), ("c", 0.02))}
        found = {name: value.p for name, value in verdicts.corrected(made).items()}
        for name, expected in (("b", 0.03), ("c", 0.04), ("a", 0.04)):
            self.assertAlmostEqual(found[name], expected)
        self.assertEqual(verdicts.corrected({}), {})

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
