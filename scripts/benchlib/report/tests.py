"""Tests of what the page is made from; the page itself is looked at by check_page.py."""

import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import axes
import charts
import main as maker
import results
import sections

SAMPLES = pathlib.Path(__file__).with_name("samples")
HOSTILE = 'forward/<script>alert("x")</script>&/f32/V50257_B8_T4_D256/threads:1'


def entry(name, time, unit="ns", **more):
    return {"name": name, "run_type": "iteration", "real_time": time, "time_unit": unit, **more}


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, content, name="run.json"):
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def report(self, *entries, **context):
        return results.read_report([self.file({"context": context, "benchmarks": list(entries)})])


class Reading(Files):
    def test_repetitions_are_gathered_and_aggregates_left_out(self):
        name = "forward/auto/f32/V50257_B8_T4_D256/threads:2/real_time"
        report = self.report(
            entry(name, 2.0, "us", bytes_per_second=4e9), entry(name, 1.0, "us", bytes_per_second=2e9),
            entry(name, 3.0, "us", bytes_per_second=3e9),
            {**entry(name + "_mean", 9.0), "run_type": "aggregate"})
        [result] = report.results
        self.assertEqual(result.seconds, (2e-6, 1e-6, 3e-6))
        self.assertEqual(result.median, 2e-6)
        self.assertEqual(result.bytes_per_second, 3e9)
        self.assertEqual((result.family, result.kind, result.threads), ("forward", "auto", 2))
        self.assertEqual(result.shape, results.Shape(50_257, 8, 4, 256))
        self.assertNotIn("real_time", result.name)

    def test_files_are_taken_together(self):
        first = self.file({"benchmarks": [entry("a", 1.0)]}, "1.json")
        second = self.file({"benchmarks": [entry("a", 3.0), entry("b", 5.0)]}, "2.json")
        found = {result.name: len(result.seconds) for result in results.read_report([first, second]).results}
        self.assertEqual(found, {"a": 2, "b": 1})

    def test_steps_have_a_rule(self):
        report = self.report(entry("step/adamw-lazy/auto/f32/V50257_B8_T1024_D768/fused/threads:1", 1.0))
        self.assertEqual((report.results[0].rule, report.results[0].kind), ("adamw-lazy", "auto"))

    def test_faults_name_the_file_and_the_place(self):
        aggregate = {**entry("a_mean", 1.0), "run_type": "aggregate"}
        cases = {
            "not JSON": "{", "no list": "[]", "benchmarks' ": '{"context": {}}',
            "aggregates alone": {"benchmarks": [aggregate]},
            "benchmarks[0] has no name": {"benchmarks": [3]},
            "a: real_time is zero": {"benchmarks": [entry("a", 0)]},
            "a: skipped: no device":
                {"benchmarks": [entry("a", 0, skipped=True, skip_message="no device")]},
            "time_unit is 'min'": {"benchmarks": [entry("a", 1.0, "min")]},
            "real_time is missing": {"benchmarks": [entry("a", None)]},
            "real_time is nan": '{"benchmarks": [{"name": "a", "time_unit": "ns", "real_time": NaN}]}',
            "real_time is -1": {"benchmarks": [entry("a", -1)]},
            "real_time is True": {"benchmarks": [entry("a", True)]},
            "bytes_per_second is inf":
                '{"benchmarks": [{"name": "a", "time_unit": "s", "real_time": 1, "bytes_per_second": Infinity}]}',
        }
        for message, content in cases.items():
            path = self.file(content)
            with self.subTest(message), self.assertRaises(results.Fault) as caught:
                results.read_report([path])
            self.assertIn(message.strip("' "), str(caught.exception))
            self.assertIn("run.json", str(caught.exception))
        with self.assertRaises(results.Fault):
            results.read_report([self.folder / "none.json"])

    def test_what_was_not_measured_is_listed(self):
        report = self.report(
            entry("a", 1.0), entry("b", 0.0, skipped=True, skip_message="no device"), entry("c", 0.0))
        self.assertEqual([result.name for result in report.results], ["a"])
        self.assertEqual(
            report.failures,
            [("b", "skipped: no device"), ("c", "real_time is zero: nothing was measured")])
        page = maker.render(report, None)
        self.assertIn("skipped: no device", page)

    def test_a_comparison_is_sorted_and_checked(self):
        comparison = results.read_comparison(SAMPLES / "comparison.json")
        self.assertEqual(comparison["rows"][0].verdict, "slower")
        self.assertEqual(comparison["floor"], 0.021)
        self.assertEqual(comparison["rows"][0].floor, 0.021)
        row = dict(name="a", base_median_ns=1, head_median_ns=1, ratio=1, low=1, high=1, detectable=0.1, verdict="same")
        for field, value in (
            ("verdict", "slow"), ("detectable", None), ("ratio", "1"), ("low", -1), ("instructions", 3),
            ("instructions", {"functions": [{}]}),
            ("instructions", {"functions": [{"name": "f", "base": 1, "head": "2"}]}),
        ):
            with self.subTest(field), self.assertRaises(results.Fault) as caught:
                results.read_comparison(self.file({"benchmarks": [{**row, field: value}]}))
            self.assertIn(field, str(caught.exception))


class Crossing(unittest.TestCase):
    def test_a_crossing_is_between_the_points_where_each_is_clearly_faster(self):
        points = [(1, {"a": 1.0, "b": 2.0}), (4, {"a": 1.0, "b": 1.0}), (16, {"a": 2.0, "b": 1.0})]
        [(at, winner)] = results.crossovers(points, "a", "b")
        self.assertAlmostEqual(at, 4)
        self.assertEqual(winner, "b")

    def test_noise_does_not_cross(self):
        points = [(x, {"a": 1.0, "b": 1 + 0.02 * (-1) ** x}) for x in range(1, 9)]
        self.assertEqual(results.crossovers(points, "a", "b"), [])

    def test_what_is_missing_is_passed_over(self):
        self.assertEqual(results.crossovers([(1, {"a": 1.0}), (2, {"b": 1.0})], "a", "b"), [])


class Axes(unittest.TestCase):
    def test_labels_keep_their_distance(self):
        for low, high in ((1, 2), (0.1, 1e9), (900, 1100), (32, 2048)):
            axis = axes.logarithmic([low, high], 44, 346)
            ticks = axes.round_ticks(axis)
            self.assertGreaterEqual(len(ticks), 1, (low, high))
            drawn = [(place, text) for place, text in axes.labelled(axis, ticks, axes.shown_number) if text]
            for (a, first), (b, second) in zip(drawn, drawn[1:]):
                self.assertGreaterEqual(b - a, (axes.width(first) + axes.width(second)) / 2)

    def test_ends_of_an_axis(self):
        axis = axes.Axis(1, 100, 0, 10)
        self.assertEqual([axis(1), axis(10), axis(100)], [0, 5, 10])

    def test_numbers_are_short(self):
        shown = [axes.shown_number(value) for value in (0, 1024, 50_257, 1e7, 0.25, 1 / 3)]
        self.assertEqual(shown, ["0", "1024", "50.3k", "10M", "0.25", "0.333"])
        times = [axes.shown_time(value) for value in (1.5e-9, 9.996e-7, 2e-3, 3)]
        self.assertEqual(times, ["1.5 ns", "1 µs", "2 ms", "3 s"])


class Page(Files):
    def test_every_section_is_there(self):
        report = results.read_report([SAMPLES / "results.json"])
        made = {part.id: part for part in sections.sections(report)}
        self.assertEqual(list(made), ["roofline", "backends", "sizes", "threads", "samples"])
        self.assertEqual(len(made["roofline"].charts), 4)
        self.assertEqual(len(made["sizes"].charts), 8)
        bars = [chart for chart in made["roofline"].charts if isinstance(chart, charts.Rows)]
        labels = {row["label"].split()[0] for chart in bars for row in chart.rows}
        self.assertEqual(labels, {"forward", "backward", "layernorm"})

    def test_the_ceiling_is_the_faster_copy(self):
        work = "f32/V50257_B8_T4_D256/threads:1"
        report = self.report(
            entry(f"forward/native/{work}", 1.0, bytes_per_second=1e9),
            entry(f"ceiling/memcpy/{work}", 1.0, bytes_per_second=3e9),
            entry(f"ceiling/streaming_copy/{work}", 1.0, bytes_per_second=2e9))
        self.assertEqual(sections.Data(report).ceiling(results.Shape(50_257, 8, 4, 256), 1), 3e9)

    def test_commits_are_short_and_other_revisions_whole(self):
        commit = "0123456789abcdef0123456789abcdef01234567"
        shown = [maker.short(name) for name in (commit, commit + "-dirty", "main", "abc-dirty")]
        self.assertEqual(shown, [commit[:12], commit[:12] + "-dirty", "main", "abc-dirty"])

    def test_names_are_text_and_not_markup(self):
        report = self.report(
            entry(HOSTILE, 1.0), entry("x", 1.0, error_occurred=True, error_message="<b>no</b>"),
            commit="</title><script>")
        page = maker.render(report, None)
        self.assertNotIn("<script", page)
        self.assertNotIn("<b>no", page)
        self.assertIn("&lt;script&gt;", page)

    def test_a_page_needs_nothing_else(self):
        page = maker.render(
            results.read_report([SAMPLES / "results.json"]),
            results.read_comparison(SAMPLES / "comparison.json"))
        for word in ("<script", "http:", "https:", "@import", "url(", "src="):
            self.assertNotIn(word, page.replace("https://github.com/swiftlang", ""), word)

    def test_few_results_make_a_page_too(self):
        for entries in (
            [entry("a", 1.0)], [entry("forward/auto/f32/V1_B1_T1_D1/threads:1", 1.0)],
            [entry("forward/auto/f32/V0_B0_T0_D0/threads:0", 1.0)],
        ):
            page = maker.render(self.report(*entries), {"base": "a", "head": "b", "floor": None, "rows": []})
            self.assertIn("All results", page)
            self.assertNotIn("None", page)


if __name__ == "__main__":
    unittest.main()
