"""What a process takes of the machine as it is counted here, and the gate on it."""

import contextlib
import io
import json
import pathlib
import platform
import sys
import tempfile
import unittest
from unittest import mock

from benchlib import budgets, environment, revisions, usage
from benchlib.commands import memory
from test_bisect import PROGRAM

MEGABYTE = 1_000_000
# Type 1 are the kernel's own counters, which every machine has: page faults.
SOFTWARE = {"page_faults": (1, 2)}


class Usage(unittest.TestCase):
    def python(self, text):
        return [sys.executable, "-S", "-c", text]

    def test_peak_is_the_process_s_own(self):
        ours = bytearray(b"x") * (200 * MEGABYTE)
        small = usage.run(self.python("pass"))
        large = usage.run(self.python(f"x = bytearray(b'x') * {50 * MEGABYTE}; del x"))
        del ours
        self.assertLess(small.peak_bytes, 40 * MEGABYTE)
        self.assertAlmostEqual(large.peak_bytes - small.peak_bytes, 50 * MEGABYTE, delta=4 * MEGABYTE)
        self.assertGreater(large.page_faults, small.page_faults)

    def test_a_program_that_fails_is_told(self):
        with self.assertRaisesRegex(environment.Failure, "status 3 of"):
            usage.run(self.python("import sys; sys.exit(3)"))
        with self.assertRaisesRegex(environment.Failure, "nonexistent"):
            usage.run(["/nonexistent/program"])

    def test_counters_count_from_the_program_s_start(self):
        try:
            few, many = (
                usage.counted(self.python(f"x = bytearray(b'x') * {size * MEGABYTE}"), events=SOFTWARE)["page_faults"]
                for size in (1, 41))
        except environment.Failure as failure:
            if not f"{failure}".startswith("perf_event_open: "):
                raise
            # Containers may forbid the call itself.
            self.skipTest(f"{failure}")
        # A fault a page of 4096, or fewer of larger ones.
        self.assertGreater(many - few, 40 * MEGABYTE / (2 << 20))
        self.assertLess(many - few, 1.2 * 40 * MEGABYTE / 4096)
        with self.assertRaisesRegex(environment.Failure, "status 3"):
            usage.counted(self.python("import sys; sys.exit(3)"), events=SOFTWARE)

    def test_an_event_that_is_not_there_is_told(self):
        with self.assertRaisesRegex(environment.Failure, "^perf_event_open: "):
            usage.counted(self.python("pass"), events={"none": (0, 999)})


class Gate(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.program = self.folder / "benchmarks"
        self.program.write_text(PROGRAM.replace("{python}", sys.executable))
        self.program.chmod(0o755)
        (self.folder / "time").write_text('{"work/threads:1": 1, "other/threads:1": 2}')
        for patch in (
            mock.patch.object(revisions, "build", lambda folder, product: self.program),
            mock.patch.object(usage, "size", lambda program: 1_000_000),
            mock.patch.object(budgets, "toolchain", lambda: "swift-6.3"),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def run_script(self, *more):
        out = io.StringIO()
        arguments = ["bench", "--package", "/p", "--product", "x", "--baselines", str(self.folder / "kept"), *more]
        with mock.patch.object(sys, "argv", arguments), contextlib.redirect_stdout(out):
            return memory.main(), out.getvalue()

    def test_budgets_made_kept_and_broken(self):
        status, out = self.run_script("--accept")
        self.assertEqual((status, out.split(" in ")[0]), (0, "3 budgets"))
        file = self.folder / "kept" / f"memory-swift-6.3-{platform.machine()}.json"
        known = json.loads(file.read_text())
        self.assertEqual(set(known), {"(program)", "work/threads:1", "other/threads:1"})
        self.assertEqual(
            [known["work/threads:1"][part] for part in ("growth", "page_faults", "size")], [0, 0, 0])
        self.assertEqual(self.run_script()[0], 0)

        known["(program)"]["size"] = 980_000
        known["gone/threads:1"] = known.pop("other/threads:1")
        file.write_text(json.dumps(known))
        status, out = self.run_script()
        self.assertEqual(status, 2)
        for told in (r"\(program\): size 980000 -> 1000000 \(\+2\.0%\)", "other/threads:1: no budget",
                     "gone/threads:1: gone", "--accept makes this change"):
            self.assertRegex(out, told)
        # A part of them says nothing of the others.
        self.assertNotIn(": gone", self.run_script("--filter", "work")[1])

    def planted(self, text):
        """The budgets of the program, then the gate on one that does something more."""
        self.run_script("--accept")
        before, after = PROGRAM.split("rows = [")
        program = f'{before}count = int(os.environ["EMBEDBENCH_ITERATIONS"])\n{text}\nrows = [{after}'
        self.program.write_text(program.replace("{python}", sys.executable))
        return self.run_script()

    def test_a_leak_is_caught(self):
        """20 kB an iteration, of which one alone would not show."""
        status, out = self.planted('kept = [b"x" * 20_000 for _ in range(count)]')
        self.assertEqual(status, 2)
        self.assertRegex(out, r"work/threads:1: growth 0 -> [12]\d{6}\n")
        self.assertNotIn("peak_bytes 0", out)
        self.assertEqual(self.planted('kept = [b"x" * 2_000 for _ in range(count)]')[0], 0)

    def test_memory_taken_each_time_is_caught(self):
        """A mebibyte from the system and back in every iteration: 256 faults, or fewer of larger pages."""
        status, out = self.planted("import mmap\nfor _ in range(count):\n  mmap.mmap(-1, 1 << 20).write(bytes(1 << 20))")
        self.assertEqual(status, 2)
        self.assertRegex(out, r"work/threads:1: page_faults 0 -> \d{3,}\n")

    def test_a_copy_of_a_table_is_caught(self):
        status, out = self.planted('kept = b"x" * 30_000_000')
        self.assertEqual(status, 2)
        self.assertRegex(out, r"work/threads:1: peak_bytes \d+ -> \d+")
        self.assertNotIn("growth", out.split("if that is meant")[0])

    def test_what_chance_adds_once_is_measured_again(self):
        self.run_script("--accept")
        of = memory.of
        calls = []

        def disturbed(*arguments):
            calls.append(arguments[1])
            first = calls[0] == arguments[1] and calls.count(arguments[1]) == 1
            return {**of(*arguments), **({"page_faults": 900} if first else {})}

        with mock.patch.object(memory, "of", disturbed):
            self.assertEqual(self.run_script()[0], 0)
        self.assertEqual(len(calls), 3)

    def test_hardware_in_the_same_form_with_and_without(self):
        status, out = self.run_script("--hardware")
        self.assertEqual(status, 0)
        self.assertEqual(len(out.splitlines()), 4)
        self.assertRegex(out.splitlines()[2], r"^\| work/threads:1 \| ([\d,]+|not counted: perf_event_open: .+) \|")
        with mock.patch.object(usage, "HARDWARE", SOFTWARE), mock.patch.object(
                usage, "hardware", lambda program, name, iterations: {"page_faults": 1234.4}):
            out = self.run_script("--hardware")[1]
        self.assertIn("| benchmark | page faults |\n|---|---:|\n| work/threads:1 | 1,234 |\n", out)

    def test_differences_of_iterations(self):
        totals = iter(({"a": 150}, {"a": 250}))
        with mock.patch.object(usage, "counted", lambda *more: next(totals)):
            self.assertEqual(usage.hardware(self.program, "work/threads:1", 10, {"a": (0, 0)}), {"a": 10})


if __name__ == "__main__":
    unittest.main()
