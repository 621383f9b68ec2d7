"""What the one reader of reports takes for measured, and that all who read take the same."""

import contextlib
import importlib.machinery
import importlib.util
import io
import itertools
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

from benchlib import environment, gates, processes, reports
from benchlib.commands import convert, ratios

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
SAMPLES = pathlib.Path(__file__).with_name("Samples")
sys.path.append(str(SCRIPTS / "benchlib" / "report"))


def script(name):
    """A script without an ending, as a module."""
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(SCRIPTS / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def entry(name, real, cpu=None, **more):
    return {
        "name": name, "run_name": name, "run_type": "iteration", "iterations": 10, "threads": 1,
        "real_time": real, "cpu_time": real if cpu is None else cpu, "time_unit": "us", **more,
    }


def read(*entries, choice="wall"):
    return reports.read({"context": {}, "benchmarks": list(entries)}, "run.json", choice)


class Reading(unittest.TestCase):
    def test_what_was_not_measured_is_left_out_by_name(self):
        for bad, reason in (
            (entry("x", 0), "real_time is zero: nothing was measured"),
            (entry("x", math.nan), "real_time is nan us, which is no time"),
            (entry("x", math.inf), "real_time is inf us, which is no time"),
            (entry("x", -math.inf), "real_time is -inf us, which is no time"),
            (entry("x", 10**400), f"real_time is {10**400} us, which is no time"),
            (entry("x", 1e-320), "real_time is 1e-320 us, which is no time"),
            (entry("x", 1, math.nan), "cpu_time is nan us, which is no time"),
            (entry("x", 1, bytes_per_second=math.inf), "bytes_per_second is inf, which is no rate"),
            (entry("x", 0, error_occurred=True, error_message="no file"), "failed: no file"),
            (entry("x", math.nan, error_occurred=True), "failed"),
            (entry("x", 0, skipped=True, skip_message="no device"), "skipped: no device"),
            # Google Benchmark writes no time for some of them.
            ({"name": "x", "run_type": "iteration", "error_occurred": True, "error_message": "no"}, "failed: no"),
            ({**entry("x_mean", 1), "run_type": "aggregate", "run_name": "x"},
             "aggregates alone; leave out --benchmark_report_aggregates_only"),
        ):
            for entries in ([bad, entry("a", 2)], [entry("a", 2), bad]):
                with self.subTest(reason):
                    found = read(*entries)
                    self.assertEqual(found.times, {"a": [2000]})
                    self.assertEqual(found.left_out, {"x": reason})

    def test_a_benchmark_is_measured_in_all_its_repetitions_or_not_at_all(self):
        rows = [entry("x", time, repetition_index=i) for i, time in enumerate((3, 0, 4))]
        found = read(*rows)
        self.assertEqual(found.measured, {})
        self.assertEqual(
            found.left_out, {"x": "real_time is zero: nothing was measured (1 of 3 repetitions)"})

    def test_the_clock_asked_for_counts(self):
        rows = [entry("a/threads:1", 2, 0), entry("b/threads:2", 2, 0)]
        self.assertEqual(set(read(*rows).measured), {"a/threads:1", "b/threads:2"})
        found = read(*rows, choice="auto")
        self.assertEqual(found.times, {"b/threads:2": [2000]})
        self.assertEqual(found.left_out, {"a/threads:1": "cpu_time is zero: nothing was measured"})

    def test_units_and_repetitions(self):
        rows = [entry("x", 2, time_unit=unit) for unit in ("ns", "us", "ms", "s")]
        self.assertEqual(read(*rows).times, {"x": [2, 2e3, 2e6, 2e9]})

    def test_two_benchmarks_of_one_name(self):
        places = [{"family_index": 0, "per_family_instance_index": i} for i in (0, 1)]
        for rows in (
            [entry("x", 1, **places[0]), entry("x", 2, **places[1])],
            [entry("x", 1, repetition_index=0), entry("x", 2, repetition_index=0)],
        ):
            found = read(*rows, entry("a", 1))
            self.assertEqual(set(found.measured), {"a"})
            self.assertEqual(set(found.left_out), {"x"})
            self.assertIn("two benchmarks have this name", found.left_out["x"])
        # Names that differ by what a reader takes off.
        report = {"benchmarks": [entry(f"x/iterations:{n}", n) for n in (1, 2)]}
        self.assertEqual(set(processes.measured(report).left_out), {"x"})

    def test_what_is_no_report_is_refused_with_its_place(self):
        for data, message in (
            ([], "run.json is no report of Google Benchmark"), ({}, "no list 'benchmarks'"),
            ({"benchmarks": {}}, "no list 'benchmarks'"),
        ):
            with self.subTest(message), self.assertRaisesRegex(environment.Failure, message):
                reports.read(data, "run.json")
        without = {key: value for key, value in entry("x", 1).items() if key != "time_unit"}
        for bad, message in (
            (3, "benchmarks[1] has no name"), ({"real_time": 1}, "benchmarks[1] has no name"),
            (entry("x", None), "benchmarks[1] (x).real_time is missing"),
            (entry("x", "7"), "benchmarks[1] (x).real_time is '7'"),
            (entry("x", True), "benchmarks[1] (x).real_time is True"),
            (entry("x", -1), "benchmarks[1] (x).real_time is -1"),
            (entry("x", 1, "2"), "benchmarks[1] (x).cpu_time is '2'"),
            (without, "benchmarks[1] (x).time_unit is missing"),
            (entry("x", 1, time_unit="min"), "benchmarks[1] (x).time_unit is 'min'"),
            (entry("x", 1, time_unit=[]), "benchmarks[1] (x).time_unit is []"),
            (entry("x", 1, run_type="warmup"), "benchmarks[1].run_type is 'warmup'"),
            (entry("x", 1, run_name=7), "benchmarks[1].run_name is 7"),
            (entry("x", 1, bytes_per_second="9"), "benchmarks[1] (x).bytes_per_second is '9'"),
        ):
            with self.subTest(message), self.assertRaises(environment.Failure) as caught:
                read(entry("a", 1), bad)
            self.assertIn(message, str(caught.exception))

    def test_files_that_are_no_json(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "run.json"
            for content, message in (
                (b"", "it is empty"), (b" \n", "it is empty"), (b'{"benchmarks": [', "is not JSON: "),
                (b"\xff\xfe{", "no UTF-8 at byte 0"), (b"[" * 100_000, "nested too deeply"),
                (b'{"benchmarks": [1' + b"0" * 5_000 + b"]}", "is not JSON that can be read"),
            ):
                file.write_bytes(content)
                with self.subTest(message), self.assertRaisesRegex(environment.Failure, message):
                    reports.load(file)
            file.write_bytes(b'\xef\xbb\xbf{"benchmarks": []}')
            self.assertEqual(reports.load(file), {"benchmarks": []})
            with self.assertRaisesRegex(environment.Failure, "cannot read .*none.json: No such file"):
                reports.load(pathlib.Path(folder) / "none.json")

    def test_what_is_written_is_json(self):
        self.assertEqual(json.loads(reports.text({"a": [1.5]})), {"a": [1.5]})
        for value in (math.nan, math.inf):
            with self.assertRaisesRegex(environment.Failure, "JSON"):
                reports.text({"a": value})


class Scripts(unittest.TestCase):
    """The scripts as they are called, on files."""

    def run_script(self, words, *arguments):
        """Runs a script by its name, and its command where it has several."""
        name, *command = words.split()
        return subprocess.run(
            [SCRIPTS / name, *command, *arguments], capture_output=True, text=True)

    def strict(self, text):
        def refuse(word):
            raise ValueError(f"{word} is not JSON")

        return json.loads(text, parse_constant=refuse)

    def test_samples_are_converted_without_what_was_not_measured(self):
        for sample, told in (
            ("skipped.json", "left out: BM_gpu: skipped: no device\n"),
            ("zero.json", "left out: BM_noop: real_time is zero: nothing was measured\n"),
        ):
            for form in ("bmf", "medians"):
                result = self.run_script("bench convert", SAMPLES / sample, "--to", form)
                self.assertEqual((result.returncode, result.stderr), (0, told))
                found = self.strict(result.stdout)
                if form == "bmf":
                    self.assertEqual(
                        found, {"BM_a": {
                            "latency": {"value": 10, "lower_value": 10, "upper_value": 10},
                            "throughput": {"value": 1e8, "lower_value": 1e8, "upper_value": 1e8}}})
                else:
                    self.assertEqual([row["name"] for row in found["benchmarks"]], ["BM_a"])
                    self.assertEqual(found["benchmarks"][0]["real_time"], 10)

    def test_counters_that_are_no_number_are_left_out(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "run.json"
            row = entry("x", 1, loss=math.nan, rate=math.inf, ids_sum=3)
            file.write_text(json.dumps({"context": {"mhz": math.nan, "cpus": 2}, "benchmarks": [row]}))
            result = self.run_script("bench convert", file, "--to", "medians")
            self.assertEqual(result.returncode, 0, result.stderr)
            found = self.strict(result.stdout)
            self.assertEqual(found["context"], {"cpus": 2})
            self.assertEqual(found["benchmarks"][0]["ids_sum"], 3)
            self.assertNotIn("loss", found["benchmarks"][0])
            for told in ("x: loss: is nan", "x: rate: is inf", "context: mhz: is nan"):
                self.assertIn(f"left out: {told}\n", result.stderr)

    def test_a_fault_is_one_line_and_status_1(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "run.json"
            for content in (
                "", "{", "[]", "{}", '{"benchmarks": [{"name": "x"}]}', '{"benchmarks": []}',
                json.dumps({"benchmarks": [entry("x", "7")]}), "[" * 100_000,
            ):
                file.write_text(content)
                for command in (
                    ["bench convert", file, "--to", "bmf"], ["bench convert", file, "--to", "medians"],
                    ["bench ratios", ".", "--read", file],
                ):
                    with self.subTest(content=content[:40], command=command[0]):
                        result = self.run_script(*command)
                        self.assertEqual((result.returncode, result.stdout), (1, ""))
                        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
                        self.assertTrue(result.stderr.startswith(f"{command[0]}: "), result.stderr)

    def test_wrong_arguments_are_one_line_and_status_1(self):
        for command in (
            ["bench convert"], ["bench convert", "x", "--to", "csv"], ["bench ratios"],
            ["bench ratios", "x", "--repetitions", "0"], ["bench ratios", "x", "--min-time", "nan"],
            ["bench ratios", "x", "--min-time", "much"],
            ["bench ratios", "x", "--json", "/nonexistent/report.json"],
            ["bench convert", "/nonexistent/report.json", "--to", "bmf"],
            ["bench instructions", "--package", "/"], ["bench memory", "--package", "/"], ["bench bisect", "x"],
            ["bench bisect", "no-such", "HEAD"], ["bench history"],
            ["fuzz", "--seconds", "0"], ["fuzz", "--input", "x"], ["python-environment", "/nonexistent", "x"],
        ):
            with self.subTest(command):
                result = self.run_script(*command)
                self.assertEqual((result.returncode, result.stdout), (1, ""))
                self.assertTrue(result.stderr.startswith(f"{command[0]}: "), result.stderr)
                self.assertNotIn("Traceback", result.stderr)


class Mutations(unittest.TestCase):
    """No file ends a reader otherwise than by its figures or by a failure that is told."""

    VALUES = (
        *(None, True, 0, -1, 7, 1e-320, 1e308, 10**400, math.nan, math.inf, -math.inf, "", "7", "x", [], {}),
        *("ns", "iteration", "aggregate"),
    )

    def mutated(self, generator, report):
        """The report with a field, or a byte of its text, that is another."""
        report = json.loads(json.dumps(report))
        for _ in range(generator.randrange(1, 4)):
            place = generator.choice([report, *report["benchmarks"]] if "benchmarks" in report else [report])
            if isinstance(place, dict) and place:
                key = generator.choice([*place, "error_occurred", "skipped", "bytes_per_second", "run_type"])
                if generator.random() < 0.3:
                    place.pop(key, None)
                else:
                    place[key] = generator.choice(self.VALUES)
            if not isinstance(report.get("benchmarks"), list):
                break
        text = bytearray(json.dumps(report).encode())
        for _ in range(generator.choice((0, 0, 1, 3))):
            text[generator.randrange(len(text))] = generator.randrange(256)
        return bytes(text[:generator.choice((len(text), len(text), generator.randrange(len(text)))) ])

    def test_readers(self):
        import results

        names = ["forward/auto/f32/V50257_B8_T4_D256/threads:1", "forward/simd/f32/V50257_B8_T4_D256/threads:1"]
        start = {"context": {"cpus": 2}, "benchmarks": [
            entry(name, time, repetition_index=i, repetitions=3, bytes_per_second=1e9)
            for name in names for i, time in enumerate((2, 3, 4))]}
        readers = (
            lambda file: reports.text(convert.bmf(reports.read(reports.load(file), file))),
            lambda file: reports.text(convert.medians(reports.read(reports.load(file), file))),
            lambda file: list(ratios.table(ratios.measured(reports.read(reports.load(file), file)))),
            lambda file: [result.quartiles for result in results.read_report([file]).results],
            lambda file: gates.costs(reports.load(file)),
            lambda file: processes.medians(reports.load(file)),
        )
        outcomes = {"read": 0, "refused": 0}
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            file = pathlib.Path(folder) / "run.json"
            for seed, reader in itertools.product(range(400), readers):
                file.write_bytes(self.mutated(random.Random(seed), start))
                try:
                    reader(file)
                    outcomes["read"] += 1
                except environment.Failure:
                    outcomes["refused"] += 1
                except Exception as error:
                    raise AssertionError(f"seed {seed}: {file.read_bytes()!r}") from error
        self.assertGreater(min(outcomes.values()), 250, outcomes)


if __name__ == "__main__":
    unittest.main()
