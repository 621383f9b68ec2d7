"""What `bench instructions` reads of callgrind's files, and when it fails."""

import contextlib
import io
import json
import os
import pathlib
import tempfile
import unittest
from unittest import mock

from benchlib import budgets, environment, instructions
from benchlib.commands import instructions as command

DUMP = """\
# callgrind format
desc: Trigger: Client Request: forward/x: y/threads:1

positions: line
events: Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw
fn=kernel
1 100 50 20 1 7 5 1 7 5
cfn=malloc
calls=2 0
1 30
cfn=malloc'2
calls=1 0
1 30
cfn=malloc_usable_size
calls=9 0
1 3
totals: 163 50 20 1 7 5 1 7 5
"""


def counts(**changes):
    return {"instructions": 1000, "allocations": 0, "bytes_read": 6400, "bytes_written": 640, **changes}


class Instructions(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def enterContext(self, context):
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def test_reads_a_dump(self):
        file = self.folder / "counts.1"
        file.write_text(DUMP)
        name, found = instructions.read(file)
        self.assertEqual(name, "forward/x: y/threads:1")
        self.assertEqual(
            found,
            {"instructions": 163, "allocations": 3, "bytes_read": 448, "bytes_written": 320},
        )

    def test_refuses_another_file(self):
        file = self.folder / "counts.1"
        file.write_text("totals: 1\n")
        with self.assertRaises(environment.Failure):
            instructions.read(file)

    def problems(self, **changes):
        return list(self.held().problems({"a": counts()}, {"a": counts(**changes)}))

    def held(self, key="swift-6.3.1-avx2", is_part=False):
        return budgets.Held(self.folder, key, command.LIMITS, "bench instructions", is_part)

    def test_budgets(self):
        self.assertEqual(self.problems(), [])
        self.assertEqual(self.problems(instructions=1010, bytes_written=890), [])
        self.assertEqual(self.problems(instructions=500, bytes_read=0), [])
        for changes in (
            {"instructions": 1011},
            {"allocations": 1},
            {"bytes_read": 6400 + 257},
            {"bytes_written": 640 + 257},
        ):
            self.assertEqual(len(self.problems(**changes)), 1, changes)

    def test_two_runs(self):
        self.assertFalse(instructions.differ(counts(), counts()))
        self.assertTrue(instructions.differ(counts(), counts(instructions=1001)))
        self.assertTrue(instructions.differ(counts(), None))
        one = counts(allocations=1)
        self.assertFalse(instructions.differ(one, counts(allocations=1, instructions=1005)))
        self.assertTrue(instructions.differ(one, counts(allocations=2)))
        self.assertTrue(instructions.differ(one, counts(allocations=1, instructions=1100)))

    def test_new_and_lost_benchmarks(self):
        two = {"a": counts(), "b": counts()}
        self.assertEqual(list(self.held().problems({"a": counts()}, two)), [("b", "no budget")])
        self.assertEqual(list(self.held().problems(two, {"a": counts()})), [("b", "gone")])
        self.assertEqual(list(self.held(is_part=True).problems(two, {"a": counts()})), [])

    def test_file_has_a_line_a_benchmark(self):
        text = budgets.text_of({"b": counts(), "a": counts()})
        self.assertEqual(len(text.splitlines()), 4)
        self.assertEqual(list(json.loads(text)), ["a", "b"])

    def test_key(self):
        context = {
            "instruction_set": "avx2",
            "openblas": "OpenBLAS 0.3.21 NO_LAPACKE",
            "openblas_core": "Haswell",
        }
        with mock.patch.object(budgets, "toolchain", lambda: "swift-6.3.1"):
            self.assertEqual(budgets.key(context), "swift-6.3.1-avx2-openblas-0.3.21-haswell")
            self.assertEqual(budgets.key({}), "swift-6.3.1-generic")

    def test_missing_budgets(self):
        """No failure for another toolchain; one in CI where this toolchain's image has changed."""
        name = "swift-6.3.1-avx2-openblas-0.3.21-haswell"
        (self.folder / "swift-6.3-avx2.json").write_text("{}")
        for ci, other, expected in (
            ("true", None, 0),
            ("true", "swift-6.3.1-avx2-openblas-0.3.26-haswell.json", 2),
            ("", "swift-6.3.1-avx2-openblas-0.3.26-haswell.json", 0),
        ):
            if other:
                (self.folder / other).write_text("{}")
            with mock.patch.dict(os.environ, {"CI": ci}), contextlib.redirect_stdout(io.StringIO()):
                self.assertEqual(self.held(name).missing(), expected)
