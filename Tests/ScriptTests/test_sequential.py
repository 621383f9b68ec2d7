"""How often `bench compare` errs, finds and saves, by whole comparisons of made-up times: normal noise, and
noise recorded on a machine of two cores on which up to ten others ran meanwhile (Samples/noise.json:
logarithms of the ratios of a second and a third process of a program to a first, by blocks). Two of its
benchmarks stay in a core's cache, the third moves more than all caches hold and suffers most."""

import collections
import json
import math
import pathlib
import random
import statistics
import unittest
from unittest import mock

from benchlib import comparison, processes, verdicts

NOISE = json.loads(pathlib.Path(__file__).with_name("Samples").joinpath("noise.json").read_text())


def normal(spread):
    def times(generator):
        return [generator.gauss(0, spread / math.sqrt(2)) for _ in range(3)]

    return times


def recorded(name):
    blocks = NOISE[name]

    def times(generator):
        sign = generator.choice((-1, 1))
        return [0, *(sign * part for part in generator.choice(blocks))]

    return times


SMALL, NORMALIZED, LARGE = (recorded(name) for name in (
    "forward/auto/f32/V1000_B8_T4_D256/threads:1", "layernorm/auto/f32/V50257_B8_T4_D256/threads:1",
    "forward/auto/f32/V50257_B8_T1024_D768/threads:1"))


def outcomes(ratio, noise, runs=400, least=0.05, pairs=25, names=("x",)):
    """The rows of so many comparisons whose head takes so many times the base's time."""
    rows = []
    for seed in range(runs):
        generator = random.Random(f"{seed} {ratio}")

        def times(plan, order, name):
            found = dict(zip((comparison.BASE, comparison.AGAIN, comparison.HEAD), noise(generator)))
            return [
                [1e6 * math.exp(found[role]) * (ratio if role == comparison.HEAD else 1)] for role in order
            ]

        plan = comparison.Plan(
            base="a", head="b", iterations=dict.fromkeys(names, 1), pairs=pairs,
            timing=processes.Timing(1, 1), cpus=(0,), least=least, seed=seed, head_variables={},
            clock="wall", takes_turns=True, progress=False)
        with mock.patch.object(comparison, "times", times):
            rows += comparison.compare(plan)
    return rows


def rate(rows, *verdict):
    return sum(row["verdict"] in verdict for row in rows) / len(rows)


def pairs(rows):
    """The pairs of the first batch, on average."""
    return statistics.mean(row["pairs"] for row in rows)


class Errors(unittest.TestCase):
    def test_no_alarm_without_a_difference(self):
        for noise in (normal(0.02), normal(0.04), SMALL, NORMALIZED, LARGE):
            self.assertEqual(rate(outcomes(1, noise), "slower", "faster"), 0)

    def test_a_slowdown_at_the_limit_is_an_alarm_within_the_rate(self):
        """5% are not above 5%: to call it slower is the error whose rate is stated, 0.0625% in two
        batches. To call it the same is the other, 2.5% in one."""
        rows = outcomes(1.05, normal(0.02), runs=1_000)
        self.assertLessEqual(rate(rows, "slower"), 0.005)
        self.assertLessEqual(rate(rows, "same"), 0.035)
        self.assertEqual(rate(rows, "faster"), 0)

    def test_each_batch_keeps_its_level_at_all_looks_together(self):
        """Intervals that miss at any of four looks: 5% at most, for a noise that is not normal."""
        generator = random.Random(1)
        missed = 0
        for _ in range(1_500):
            values = [SMALL(generator) for _ in range(25)]
            ratios = [block[1] - block[0] for block in values]
            found = [verdicts.summary(ratios[: look.pairs], look) for look in verdicts.looks(25, 0.05)]
            missed += any(not summary.low <= 0 <= summary.high for summary in found)
        self.assertLessEqual(missed / 1_500, 0.05 + 2 * math.sqrt(0.05 * 0.95 / 1_500))
        # And no test that never rejects.
        self.assertGreater(missed / 1_500, 0.01)

    def test_several_benchmarks_go_on_alone(self):
        names = tuple("abcd")
        slow = {"b": 1.2}

        def times(plan, order, name):
            asked[name] += 1
            return [[1e6 * math.exp(generator.gauss(0, 0.005)) * (slow.get(name, 1) if role == comparison.HEAD else 1)]
                    for role in order]

        asked, generator = collections.Counter(), random.Random(3)
        plan = comparison.Plan(
            base="a", head="b", iterations=dict.fromkeys(names, 1), pairs=25,
            timing=processes.Timing(1, 1), cpus=(0,), least=0.05, seed=1, head_variables={},
            clock="wall", takes_turns=True, progress=False)
        with mock.patch.object(comparison, "times", times):
            rows = comparison.compare(plan)
        self.assertEqual([row["verdict"] for row in rows], ["same", "slower", "same", "same"])
        # Ten blocks of each, and ten more of the one that differs.
        self.assertEqual(asked, {"a": 10, "b": 20, "c": 10, "d": 10})


class Power(unittest.TestCase):
    def test_ten_percent_are_found_early(self):
        for noise, found, mean in ((normal(0.02), 0.97, 16), (normal(0.03), 0.9, 20), (SMALL, 0.95, 16), (NORMALIZED, 0.95, 16)):
            rows = outcomes(1.1, noise)
            self.assertGreaterEqual(rate(rows, "slower"), found)
            self.assertEqual(rate(rows, "same", "faster"), 0)
            self.assertLess(pairs(rows), mean)
            self.assertGreaterEqual(rate(outcomes(1 / 1.1, noise), "faster"), found - 0.03)

    def test_the_same_is_seen_early(self):
        for noise, mean in ((normal(0.02), 13), (normal(0.03), 16), (SMALL, 14), (NORMALIZED, 14)):
            rows = outcomes(1, noise)
            self.assertGreaterEqual(rate(rows, "same"), 0.95)
            self.assertLess(pairs(rows), mean)

    def test_a_machine_too_busy_to_tell_says_so(self):
        """Of a benchmark that lives on memory alone, beside many others that do."""
        for ratio in (1, 1.1):
            rows = outcomes(ratio, LARGE, runs=100)
            self.assertEqual(rate(rows, "faster"), 0)
            self.assertGreater(rate(rows, "inconclusive"), 0.5)
            self.assertGreater(statistics.median(row["detectable"] for row in rows), 0.15)

    def test_three_percent_count_where_asked(self):
        """Never by the usual limit of 5%; found where less is asked for and the noise allows it."""
        self.assertEqual(rate(outcomes(1.03, normal(0.02)), "slower", "faster"), 0)
        self.assertGreaterEqual(rate(outcomes(1.05, normal(0.01), least=0.02), "slower"), 0.95)
        self.assertGreaterEqual(rate(outcomes(1.03, normal(0.005), least=0.02), "slower"), 0.9)

    def test_what_would_have_been_seen_is_seen(self):
        """Of the slowdowns that runs without a difference tell, the median is then found nine times of ten,
        and less than that is found less often: it is no far-off bound."""
        for noise in (normal(0.02), normal(0.03), SMALL, NORMALIZED):
            told = statistics.median(row["detectable"] for row in outcomes(1, noise, runs=200))
            found = rate(outcomes(1 + told, noise, runs=300), "slower")
            self.assertGreaterEqual(found, 0.83, told)
            less = 1 + 0.05 + (told - 0.05) / 3
            self.assertLess(rate(outcomes(less, noise, runs=300), "slower"), 0.8, told)


if __name__ == "__main__":
    unittest.main()
