"""Ratio gates: reading rules, and what exceeds."""

import json
import math
import pathlib
import re
import subprocess
import tempfile
import unittest

from benchlib import environment, gates

ROOT = pathlib.Path(__file__).resolve().parents[2]


def entry(name, real, cpu=None, **more):
    return {
        "name": name,
        "run_name": f"{name}/real_time",
        "run_type": "iteration",
        "real_time": real,
        "cpu_time": real if cpu is None else cpu,
        "time_unit": "us",
        **more,
    }


class Gates(unittest.TestCase):
    gate = gates.Gate("rule", "a/threads:2", ("b/threads:2", "c/threads:2"), False, 1.2)

    def test_the_fastest_of_the_others_counts(self):
        report = {"benchmarks": [entry(f"{n}/threads:2", t) for n, t in (("a", 3), ("b", 2), ("c", 9))]}
        self.assertAlmostEqual(gates.ratio(self.gate, *gates.costs(report)), 1.5)

    def test_medians_of_repetitions(self):
        times = [("a", 3), ("a", 2), ("a", 90), ("b", 2), ("c", 4)]
        report = {"benchmarks": [entry(f"{name}/threads:2", time) for name, time in times]}
        self.assertAlmostEqual(gates.ratio(self.gate, *gates.costs(report)), 1.5)

    def test_per_byte(self):
        gate = gates.Gate("rule", "a/threads:2", ("b/threads:2",), True, 1.2)
        # 4,000 bytes in 2 us, and 1,000 in 1.
        rows = [
            entry("a/threads:2", 2, bytes_per_second=2e9),
            entry("b/threads:2", 1, bytes_per_second=1e9),
        ]
        self.assertAlmostEqual(gates.ratio(gate, *gates.costs({"benchmarks": rows})), 0.5)

    def test_what_was_not_measured_is_told(self):
        rows = [entry("a/threads:2", 1), entry("b/threads:2", 1)]
        for row, message in (
            (None, "c/threads:2: not in the report"),
            (entry("c/threads:2", 1, error_occurred=True, error_message="broken"), "failed: broken"),
            (entry("c/threads:2", 0, skipped=True, skip_message="no device"), "skipped: no device"),
            (entry("c/threads:2", 0), "c/threads:2: real_time is zero"),
            (entry("c/threads:2", math.nan), "c/threads:2: real_time is nan"),
        ):
            report = {"benchmarks": rows + ([row] if row else [])}
            with self.subTest(message), self.assertRaisesRegex(environment.Failure, message):
                gates.ratio(self.gate, *gates.costs(report))
        per_byte = gates.Gate("rule", "a/threads:2", ("b/threads:2",), True, 1.2)
        with self.assertRaisesRegex(environment.Failure, "a/threads:2: no bytes a second"):
            gates.ratio(per_byte, *gates.costs({"benchmarks": rows}))

    def test_a_benchmark_that_no_rule_names_may_be_skipped(self):
        rows = [entry(f"{name}/threads:2", 1) for name in "abc"]
        rows.append(entry("d", 0, skipped=True, skip_message="no device"))
        self.assertEqual(gates.ratio(self.gate, *gates.costs({"benchmarks": rows})), 1)

    def test_the_package_s_own_rules(self):
        found = gates.read(ROOT / "Benchmarks" / "Baselines" / "ratios.json")
        self.assertGreaterEqual({gate.rule for gate in found}, {"native / OpenBLAS"})
        self.assertFalse([name for name in gates.names(found) if "{" in name])

    def test_the_article_s_example(self):
        article = ROOT / "Sources/EmbedKernel/EmbedKernel.docc/RegressionTiming.md"
        (example,) = re.findall(r"```json\n(.*?)```", article.read_text(), re.DOTALL)
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "rules.json"
            file.write_text(example)
            found = gates.read(file)
        self.assertEqual(
            [(gate.measured, gate.against, gate.per_byte, gate.at_most) for gate in found],
            [
                *((f"dot/{work}", (f"plain/{work}", f"unrolled/{work}"), False, 0.5)
                  for work in ("N4096/threads:1", "N65536/threads:1")),
                ("scaled/N4096/threads:1", ("copy/N4096/threads:1",), True, 1.3),
            ])

    def refused(self, text, message):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "rules.json"
            if text is not None:
                file.write_text(text if isinstance(text, str) else json.dumps(text))
            with self.subTest(message), self.assertRaises(environment.Failure) as caught:
                gates.read(file)
            self.assertIn(message, str(caught.exception))
            self.assertIn("rules.json", str(caught.exception))
            self.assertEqual(len(str(caught.exception).splitlines()), 1)

    def test_malformed_rules(self):
        rule = {"name": "x", "measured": "a/{work}", "against": ["b"], "works": ["w"], "at_most": 1.2}
        self.refused(None, "no file of gates")
        self.refused("", "is empty")
        self.refused('{"rules": [', "is not JSON")
        for rules in ([], {}, {"rules": []}, {"rules": {}}):
            self.refused(rules, "no list 'rules'")
        self.refused({"rules": [3]}, "rules[0] is 3")
        for field, value, message in (
            ("name", "", "rules[0].name is ''"),
            ("measured", None, "rules[0].measured is missing"),
            ("against", "b", "rules[0].against is 'b'"),
            ("against", [], "rules[0].against is []"),
            ("works", [], "rules[0].works is []"),
            ("works", [1], "rules[0].works is [1]"),
            ("per_byte", "no", "rules[0].per_byte is 'no'"),
            ("at_most", None, "rules[0].at_most is missing"),
            ("at_most", "1.2", "rules[0].at_most is '1.2'"),
            # No ratio exceeds what is no number: such a gate would hold nothing.
            ("at_most", math.nan, "rules[0].at_most is nan"),
            ("at_most", math.inf, "rules[0].at_most is inf"),
            ("at_most", 0, "rules[0].at_most is 0"),
            ("at_most", {"v": 1}, "rules[0].at_most[w] is missing"),
            ("atmost", 1, "rules[0].atmost is not known"),
        ):
            self.refused({"rules": [{**rule, field: value}]}, message)

    def test_the_script_says_so_in_one_line(self):
        for arguments, message in (
            (["--file", "/nonexistent/ratios.json"], "no file of gates /nonexistent/ratios.json"),
            (["--package", ROOT / "Tests" / "Consumer"], "--package needs --product"),
            (["--package", ROOT / "Tests" / "Consumer", "--product", "x"], "no file of gates"),
            (["--repetitions", "0"], "must be 1 or more"),
            (["--min-time", "nan"], "must be above 0"),
        ):
            result = subprocess.run(
                [ROOT / "scripts" / "bench", "gate", *arguments],
                capture_output=True, text=True)
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
            self.assertIn(message, result.stderr)


if __name__ == "__main__":
    unittest.main()
