"""A report as the benchmarks write it, fed to what reads it: Google Benchmark's own compare.py where
it is installed, and schemas of what github-action-benchmark and Bencher take."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import jsonschema

from benchlib import processes, revisions

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Debian's libbenchmark-tools.
COMPARE = pathlib.Path("/usr/share/benchmark/compare.py")

NUMBER = {"type": "number", "minimum": 0}

# Bencher's metric format: benchmark -> measure -> a value with optional bounds.
BMF = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {
            "type": "object",
            "properties": {"value": NUMBER, "lower_value": NUMBER, "upper_value": NUMBER},
            "required": ["value"],
            "additionalProperties": False,
        },
    },
}

# What github-action-benchmark's `googlecpp` makes its entries of.
GOOGLE = {
    "type": "object",
    "required": ["context", "benchmarks"],
    "properties": {
        "context": {"type": "object", "required": ["date", "num_cpus", "caches"]},
        "benchmarks": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "real_time", "cpu_time", "time_unit", "iterations", "threads"],
                "properties": {
                    "name": {"type": "string"},
                    "real_time": NUMBER,
                    "cpu_time": NUMBER,
                    "time_unit": {"enum": ["ns", "us", "ms", "s"]},
                    "iterations": {"type": "integer", "minimum": 1},
                    "threads": {"type": "integer", "minimum": 1},
                },
            },
        },
    },
}


class Formats(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.binary = revisions.build(ROOT, "embed-benchmarks")
        cls.cpus = processes.processors([])
        # Nine repetitions: fewer are too few for compare.py's test.
        cls.report = processes.report(
            cls.binary, "^overhead/(inlined|closure)", processes.Timing(9, 0.001), cls.cpus
        )

    def convert(self, text, form):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "report.json"
            file.write_text(text)
            return subprocess.run(
                [ROOT / "scripts" / "bench", "convert", file, "--to", form],
                capture_output=True,
                text=True,
            )

    def converted(self, form):
        result = self.convert(json.dumps(self.report), form)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def test_the_report_has_every_repetition(self):
        jsonschema.validate(self.report, GOOGLE)
        measured = processes.measured(self.report)
        self.assertEqual(measured.left_out, {})
        for times in measured.times.values():
            self.assertEqual(len(times), 9)

    def test_bmf(self):
        found = self.converted("bmf")
        jsonschema.validate(found, BMF)
        medians = processes.medians(self.report, "wall")
        self.assertEqual(set(found), set(medians))
        for name, measures in found.items():
            latency = measures["latency"]
            self.assertAlmostEqual(latency["value"], medians[name])
            self.assertLessEqual(latency["lower_value"], latency["value"])
            self.assertLessEqual(latency["value"], latency["upper_value"])

    def test_medians(self):
        found = self.converted("medians")
        jsonschema.validate(found, GOOGLE)
        medians = processes.medians(self.report, "wall")
        self.assertEqual({row["name"]: row["real_time"] for row in found["benchmarks"]}, medians)

    def test_not_a_report(self):
        for text in ("", "[]", "{}", '{"benchmarks": []}', '{"benchmarks": [{"name": "x"}]}'):
            result = self.convert(text, "bmf")
            self.assertEqual(result.returncode, 1, text)
            self.assertIn("bench convert: ", result.stderr)

    def test_compare_py_reads_it(self):
        if not COMPARE.exists():
            self.assertNotEqual(os.environ.get("CI"), "true", f"no {COMPARE}: scripts/setup installs it")
            self.skipTest(f"no {COMPARE}")
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "report.json"
            file.write_text(json.dumps(self.report))
            result = subprocess.run(
                [sys.executable, COMPARE, "--no-color", "benchmarks", file, file],
                capture_output=True,
                text=True,
            )
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("overhead/inlined/real_time", result.stdout)
        self.assertIn("overhead/inlined/real_time_pvalue", result.stdout)

    def test_context(self):
        context = self.report["context"]
        for key in (
            *("cpu", "commit", "toolchain", "build", "governor", "pinned_to"),
            *("openblas", "openblas_core", "instruction_set"),
        ):
            self.assertTrue(context.get(key), key)
        # Some containers show no caches.
        if pathlib.Path("/sys/devices/system/cpu/cpu0/cache").exists():
            self.assertTrue(context.get("caches"))
        self.assertEqual(context["pinned_to"], ",".join(map(str, self.cpus)))

    def test_a_slowed_report_says_so(self):
        report = processes.report(
            *(self.binary, "overhead/inlined", processes.Timing(1, 0.001)),
            variables={"EMBEDBENCH_SLOWDOWN": "1.5:inlined"},
        )
        self.assertEqual(report["context"]["slowdown"], "1.5:inlined")
