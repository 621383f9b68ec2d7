"""What `bench instructions` reads of callgrind's files, and when it fails."""

import contextlib
import io
import json
import os
import pathlib
import shutil
import subprocess
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

ROOT = pathlib.Path(__file__).resolve().parents[2]
# 64 parts of work, three times over two threads, of which the last is counted.
PROGRAM = """\
#include <stdatomic.h>
#include "CCallgrind.h"
#include "CThreadPool.h"
static atomic_int next;
static float x[64][4096];
__attribute__((noinline)) static void part(int p) {
  for (int i = 0; i < 4096; i++) x[p][i] = x[p][i] * 1.5f + 1;
}
static void body(void *context) {
  (void)context;
  for (int p; (p = atomic_fetch_add(&next, 1)) < 64;) part(p);
}
int main(void) {
  for (int round = 0; round < 3; round++) {
    atomic_store(&next, 0);
    if (round == 2) cg_begin();
    ek_pool_run(1, body, 0);
  }
  cg_end();
  cg_write("work/threads:2");
}
"""
# The kernel's 100 instructions run in a function that waits 900, and another thread waits 70.
WAITING_DUMP = """\
desc: Trigger: Client Request: forward/x: y/threads:2
events: Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw
fn=ek_pool_release
3 900 40 0 0 1 0 0 1 0
cfn=kernel
calls=1 0
3 100 50 20 1 7 5 1 7 5
fn=ek_pool_help'2
4 70 3 2 0 0 1 0 0 1
fn=kernel
1 100 50 20 1 7 5 1 7 5
totals: 1070 93 22 1 8 6 1 8 6
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

    def test_what_waits_is_not_counted_of_several_threads(self):
        """How long threads wait for each other is chance; what they call meanwhile is work."""
        several, alone = self.folder / "counts.2", self.folder / "counts.1"
        several.write_text(WAITING_DUMP)
        alone.write_text(WAITING_DUMP.replace("threads:2", "threads:1"))
        self.assertEqual(instructions.read(alone)[1]["instructions"], 1070)
        name, found = instructions.read(several)
        self.assertEqual(name, "forward/x: y/threads:2")
        self.assertEqual(
            found, {"instructions": 100, "allocations": 0, "bytes_read": 448, "bytes_written": 320})

    @unittest.skipUnless(shutil.which("valgrind") and shutil.which("clang"), "no valgrind or clang")
    def test_all_threads_are_counted(self):
        """Whichever thread takes the parts of the work: alone, the calling one would be counted by chance."""
        source = self.folder / "program.c"
        source.write_text(PROGRAM)
        program = self.folder / "program"
        folders = [ROOT / "Benchmarks" / "CCallgrind", ROOT / "Sources" / "CThreadPool"]
        subprocess.run(
            ["clang", "-O2", *(f"-I{folder}/include" for folder in folders), source,
             folders[0] / "Callgrind.c", folders[1] / "pool.c", "-o", program, "-lpthread"], check=True)
        counts = []
        for number in range(2):
            folder = self.folder / f"{number}"
            _, process = instructions.start(program, ".", folder, all_threads=True)
            self.assertEqual(process.wait(), 0, (folder / "log").read_text())
            ((name, found),) = map(instructions.read, instructions.dumps(folder))
            self.assertEqual(name, "work/threads:2")
            counts.append(found)
        # 64 parts of 4,096 floats that are read and written, 4 at a time and a few instructions each.
        self.assertGreater(counts[0]["instructions"], 64 * 4096 / 4 * 3)
        self.assertGreaterEqual(counts[0]["bytes_read"], 64 * 4096 * 4)
        self.assertFalse(instructions.differ("work/threads:2", *counts), counts)

    def test_several_threads_may_differ_by_a_little(self):
        for changes, is_too_far in (
            ({"instructions": 1004}, False), ({"instructions": 1006}, True),
            ({"bytes_read": 6400 + 8192}, False), ({"bytes_read": 6400 + 8320}, True),
            ({"allocations": 1}, True),
        ):
            with self.subTest(changes):
                found = instructions.differ("a/threads:2", counts(), counts(**changes))
                self.assertEqual(found, is_too_far)

    def test_what_is_named_like_waiting_is_work(self):
        """A kernel may be named `release` or `help`: the pool's functions have names that no kernel has."""
        file = self.folder / "counts.1"
        file.write_text(WAITING_DUMP.replace("ek_pool_", ""))
        self.assertEqual(instructions.read(file)[1]["instructions"], 1070)
        source = (ROOT / "Sources" / "CThreadPool" / "pool.c").read_text()
        for name in instructions.WAITING:
            if name.startswith("ek_"):
                self.assertRegex(source, rf"\n(static )?void \*?{name}\(")

    def test_a_harness_that_counts_one_thread_is_refused(self):
        """It would turn counting off for the thread that works, and the rest would pass for the count."""
        program = self.folder / "program"
        program.write_text("#!/bin/sh\necho a/threads:2\n")
        program.chmod(0o755)
        with (mock.patch.object(instructions, "require_valgrind"),
              self.assertRaisesRegex(environment.Failure, "cannot count all threads, of which a/threads:2")):
            instructions.count_twice(program, ".")

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

    def test_budgets_of_several_threads(self):
        """By chance a thread's stack is touched or not."""
        for name, extra, expected in (
            ("a/threads:2", 8192 + 256, 0), ("a/threads:2", 8192 + 257, 1), ("a/threads:1", 257, 1),
            ("a/threads:3", 2 * 8192 + 256, 0),
        ):
            found = self.held().problems({name: counts()}, {name: counts(bytes_written=640 + extra)})
            self.assertEqual(len(list(found)), expected, (name, extra))
        slower = {"a/threads:2": counts(instructions=1011)}
        self.assertEqual(len(list(self.held().problems({"a/threads:2": counts()}, slower))), 1)

    def test_two_runs(self):
        self.assertFalse(instructions.differ("a/threads:1", counts(), counts()))
        self.assertTrue(instructions.differ("a/threads:1", counts(), counts(instructions=1001)))
        self.assertTrue(instructions.differ("a/threads:1", counts(), None))
        one = counts(allocations=1)
        self.assertFalse(instructions.differ("a/threads:1", one, counts(allocations=1, instructions=1005)))
        self.assertTrue(instructions.differ("a/threads:1", one, counts(allocations=2)))
        self.assertTrue(instructions.differ("a/threads:1", one, counts(allocations=1, instructions=1100)))

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
