"""The runs of `bench compare`: processes in turns, names, arguments."""

import os
import pathlib
import subprocess
import tempfile
import unittest

from benchlib import environment, processes, reports, revisions

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIMING = processes.Timing(5, 0.001)


class Processes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.binary = revisions.build(ROOT, "embed-benchmarks")

    def test_turns(self):
        """Three processes that alternate, the second slowed threefold."""
        self.assertTrue(processes.takes_turns(self.binary))
        name = "overhead/inlined/real_time"
        fixed = {processes.ITERATIONS: "200000"}
        slow = {**fixed, "EMBEDBENCH_SLOWDOWN": "3"}
        jobs = [processes.Job(self.binary, variables) for variables in (fixed, slow, fixed)]
        reports = processes.reports_in_turns(
            jobs, processes.exactly([name]), TIMING, processes.processors([])
        )
        for report in reports:
            repetitions = [row for row in report["benchmarks"] if row["run_type"] == "iteration"]
            self.assertEqual([row["iterations"] for row in repetitions], [200_000] * 5)
        first, second, _ = (processes.medians(report, "cpu")[name] for report in reports)
        self.assertGreater(second, 2 * first)

    def test_a_process_that_fails_in_turn(self):
        job = processes.Job(self.binary, {"EMBEDBENCH_SLOWDOWN": "none"})
        with self.assertRaisesRegex(environment.Failure, "EMBEDBENCH_SLOWDOWN"):
            processes.reports_in_turns([job, job], "overhead/inlined", TIMING, None)

    def test_names(self):
        name = "overhead/check_ids/i32/N32/real_time"
        self.assertEqual(processes.listed(self.binary, processes.exactly([name])), [name])
        self.assertEqual(processes.threads("a/threads:12/real_time"), 12)
        self.assertEqual(processes.threads("a/threads:12x"), 1)

    def test_clock(self):
        for name, choice, expected in (
            ("a/threads:1/real_time", "auto", "cpu_time"),
            ("a/threads:2/real_time", "auto", "real_time"),
            ("a/real_time", "auto", "real_time"),
            ("a/real_time", "cpu", "cpu_time"),
            ("a/threads:1/manual_time", "auto", "real_time"),
            ("a/threads:1/real_time", "wall", "real_time"),
        ):
            self.assertEqual(reports.clock(name, choice), expected)


class Revisions(unittest.TestCase):
    def test_errors_are_status_1(self):
        for arguments in (
            ["no-such-revision"],
            [".", "--pairs", "14"],
            [".", "--package", "/tmp"],
            [".", ".", "--filter", "^no such benchmark$"],
            [".", "--cpus", "x"],
        ):
            result = subprocess.run(
                [ROOT / "scripts" / "bench", "compare", *arguments],
                capture_output=True,
                text=True,
            )
            self.assertEqual(result.returncode, 1, (arguments, result.stderr))
            self.assertIn("bench compare: ", result.stderr)

    def test_only_the_oldest_worktrees_go(self):
        with tempfile.TemporaryDirectory() as folder:
            trees = pathlib.Path(folder)
            paths = [trees / f"{i}" for i in range(revisions.KEPT + 2)]
            for i, path in enumerate(paths):
                path.mkdir()
                os.utime(path, (i, i))
            revisions.Package(ROOT, "x").remove_oldest(trees, paths[-1])
            self.assertEqual(sorted(trees.iterdir()), sorted(paths[2:]))
