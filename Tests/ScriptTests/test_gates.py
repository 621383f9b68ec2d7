"""Ratio gates: reading rules, and what exceeds."""

import json
import pathlib
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

    def test_failures_are_told(self):
        with self.assertRaisesRegex(environment.Failure, "c/threads:2"):
            report = {"benchmarks": [entry("a/threads:2", 1), entry("b/threads:2", 1)]}
            gates.ratio(self.gate, *gates.costs(report))
        with self.assertRaisesRegex(environment.Failure, "broken"):
            row = entry("a", 1, error_occurred=True, error_message="broken")
            gates.costs({"benchmarks": [row]})

    def test_the_package_s_own_rules(self):
        found = gates.read(ROOT / "Benchmarks" / "Baselines" / "ratios.json")
        self.assertGreaterEqual({gate.rule for gate in found}, {"native / OpenBLAS"})
        self.assertFalse([name for name in gates.names(found) if "{" in name])

    def test_malformed_rules(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "rules.json"
            for text in ("", "[]", "{}", json.dumps({"rules": [{"name": "x"}]})):
                file.write_text(text)
                with self.assertRaises(environment.Failure):
                    gates.read(file)
