"""Comparisons of programs that skip, fail or time nothing; the programs are made up."""

import contextlib
import io
import json
import math
import pathlib
import sys
import tempfile
import unittest

from benchlib import comparison, environment, processes
from test_reports import entry

PROGRAM = """#!{python}
import json, sys
rows = json.loads({rows!r})
if "--benchmark_list_tests" in sys.argv:
    print("\\n".join(row["name"] for row in rows))
for word in sys.argv:
    if word.startswith("--benchmark_out="):
        json.dump({{"context": {{"cpus": 2}}, "benchmarks": rows}}, open(word.split("=", 1)[1], "w"))
"""
OPTIONS = {
    "pairs": 15, "timing": processes.Timing(1, 0.001), "cpus": None, "least": 0.05, "clock": "wall",
    "seed": 1, "head_variables": {}, "progress": False,
}
SKIPPED = entry("b", 0, skipped=True, skip_message="no device")


class Skipped(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def program(self, *rows):
        path = self.folder / f"program{len(list(self.folder.iterdir()))}"
        path.write_text(PROGRAM.format(python=sys.executable, rows=json.dumps(rows)))
        path.chmod(0o755)
        return path

    def prepare(self, base, head):
        with contextlib.redirect_stderr(io.StringIO()) as told:
            plan, _ = comparison.prepare(self.program(*base), self.program(*head), ".", OPTIONS)
        return plan, told.getvalue()

    def test_what_neither_measures_is_left_out(self):
        for row, reason in (
            (SKIPPED, "skipped: no device"),
            (entry("b", 0), "real_time is zero: nothing was measured"),
            (entry("b", math.nan), "real_time is nan us, which is no time"),
            (entry("b", 1, error_occurred=True, error_message="no file"), "failed: no file"),
        ):
            rows = [entry("a", 2), row]
            plan, told = self.prepare(rows, rows)
            self.assertEqual(plan.names, ("a",))
            self.assertEqual(told, f"left out: b: {reason}\n")

    def test_what_one_of_both_measures_is_an_error(self):
        rows = [entry("a", 2), entry("b", 2)]
        for base, head, message in (
            (rows, [entry("a", 2), SKIPPED], "the head: b: skipped: no device"),
            ([entry("a", 2), SKIPPED], rows, "the base: b: skipped: no device"),
        ):
            with self.assertRaisesRegex(environment.Failure, message):
                self.prepare(base, head)

    def test_nothing_left(self):
        with self.assertRaisesRegex(environment.Failure, "no benchmark of '.' is measured by both"):
            self.prepare([SKIPPED], [SKIPPED])

    def test_a_time_that_is_lost_later(self):
        plan, _ = self.prepare([entry("b", 2)], [entry("b", 2)])
        lost = self.program(SKIPPED)
        for role in (comparison.BASE, comparison.HEAD):
            broken = comparison.dataclasses.replace(plan, base=lost, head=lost)
            with self.assertRaisesRegex(environment.Failure, f"{lost}: b: skipped: no device"):
                comparison.times(broken, [role], "b")


if __name__ == "__main__":
    unittest.main()
