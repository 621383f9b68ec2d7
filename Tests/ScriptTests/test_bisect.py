"""`bench bisect` on a made-up repository whose benchmark is a script, with a slowdown planted ten commits back."""

import contextlib
import io
import os
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

from benchlib import environment, profiles, revisions
from benchlib.commands import bisection
from test_worktrees import git

# Takes Google Benchmark's flags; its times are noise around what the file `time` beside it says.
PROGRAM = """\
#!{python} -S
import json, os, pathlib, random, sys
flags = dict(flag.lstrip("-").split("=", 1) for flag in sys.argv[1:] if "=" in flag)
if "--benchmark_list_tests" in sys.argv:
    print("work/threads:1\\nother/threads:1")
    sys.exit()
times = json.loads(pathlib.Path(__file__).with_name("time").read_text())
rows = [
    dict(name=name, run_name=name, run_type="iteration", iterations=1, time_unit="us",
         real_time=time, cpu_time=time * random.gauss(1, 0.01), repetition_index=index)
    for name, time in times.items() if name in flags["benchmark_filter"].replace("\\\\", "")
    for index in range(int(flags["benchmark_repetitions"]))
]
pathlib.Path(flags["benchmark_out"]).write_text(json.dumps(dict(context=dict(), benchmarks=rows)))
"""


class Bisect(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()
        self.repository = self.folder / "mine"
        self.repository.mkdir()
        git(self.repository, "init", "--quiet", "--initial-branch=main")
        self.built = []
        variables = {"XDG_CACHE_HOME": str(self.folder / "cache"), environment.INSIDE: sys.prefix}
        for patch in (
            mock.patch.dict(os.environ, variables), mock.patch.object(revisions, "build", self.build),
            # There is nothing for callgrind to count in a script.
            mock.patch.object(profiles, "explain", self.explain),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def build(self, folder, product):
        if (folder / "broken").exists():
            raise environment.Failure(f"{product} did not build in {folder}")
        self.built.append(git_output(folder, "rev-parse", "HEAD"))
        return folder / product

    def explain(self, base, head, names):
        self.explained = base, head, names
        return {}

    def commit(self, time, other=100, broken=False):
        program = self.repository / "benchmarks"
        program.write_text(PROGRAM.replace("{python}", sys.executable))
        program.chmod(0o755)
        (self.repository / "time").write_text(f'{{"work/threads:1": {time}, "other/threads:1": {other}}}')
        (self.repository / "broken").unlink(missing_ok=True)
        if broken:
            (self.repository / "broken").touch()
        (self.repository / "count").write_text(f"{self.count()}")
        git(self.repository, "add", "--all")
        git(self.repository, "commit", "--quiet", "--message", f"number {self.count()}")
        return git_output(self.repository, "rev-parse", "HEAD")

    def count(self):
        with contextlib.suppress(environment.Failure):
            return int(git_output(self.repository, "rev-list", "--count", "HEAD"))
        return 0

    def bisect(self, good, bad, *more):
        out = io.StringIO()
        arguments = [
            "bench", good, bad, "--filter", "work|other", "--package", str(self.repository), "--product",
            "benchmarks", "--repetitions", "3", "--seed", "1", "--pairs", "15", *more]
        with (mock.patch.object(sys, "argv", arguments), contextlib.redirect_stdout(out),
              contextlib.redirect_stderr(io.StringIO()) as self.told):
            status = bisection.main()
        return status, out.getvalue()

    def test_a_slowdown_ten_commits_back(self):
        made = [self.commit(100 if index < 10 else 112) for index in range(20)]
        report = self.folder / "found.md"
        status, out = self.bisect(made[0], "main", "--markdown", str(report))
        self.assertEqual(status, 0)
        self.assertTrue(out.startswith(f"{made[10]} number 10\n"), out)
        self.assertRegex(out, r"work/threads:1: \+1\d\.\d% in all, \+1\d\.\d% by this commit \(slower\)")
        self.assertNotIn("several commits", out)
        self.assertEqual(report.read_text(), out)
        # Both ends, and log2 of the 19 steps between them.
        self.assertLessEqual(len(self.built), 2 + 5)
        self.assertEqual(len(set(self.built)), len(self.built))
        before, after, names = self.explained
        self.assertIn(made[9], str(before))
        self.assertIn(made[10], str(after))
        self.assertEqual(names, ["work/threads:1"])
        # The one that every other is compared with has stayed, though seven were built.
        self.assertTrue((revisions.Package(self.repository, "x").stand(made[0]).folder).exists())

    def test_commits_that_do_not_build_are_passed_over(self):
        made = [self.commit(100 if index < 6 else 115, broken=index in (4, 5)) for index in range(9)]
        status, out = self.bisect(made[0], made[-1])
        self.assertEqual(status, 0)
        self.assertTrue(out.startswith(made[6]), out)
        self.assertIn(f"passed over: {made[4][:12]}: benchmarks did not build", self.told.getvalue())
        self.assertIn(f"or one of those passed over before it: {made[4][:12]}, {made[5][:12]}\n", out)

    def test_a_slowdown_in_parts_is_told_as_one(self):
        made = [self.commit(time) for time in (100, 107, 114, 121)]
        status, out = self.bisect(made[0], made[-1])
        self.assertEqual(status, 0)
        self.assertTrue(out.startswith(made[2]), out)
        self.assertIn("less than half: several commits share it", out)

    def test_what_cannot_be_searched_is_refused(self):
        made = [self.commit(100), self.commit(100), self.commit(90)]
        git(self.repository, "checkout", "--quiet", "-b", "side", made[0])
        side = self.commit(150)
        for good, bad, message in (
            (made[0], made[1], r"nothing to search for: work/threads:1 is same"),
            (made[0], made[2], r"is faster \(0\.[89]"),
            (made[0], made[0], "are one commit"),
            (side, made[1], "is no ancestor of"),
            ("nothing", made[1], "'nothing' names no commit"),
        ):
            with self.subTest(message), self.assertRaisesRegex(environment.Failure, message):
                self.bisect(good, bad)

    def test_a_side_that_cannot_be_told_ends_the_search(self):
        made = [self.commit(time) for time in (100, 107, 115)]
        with self.assertRaisesRegex(environment.Failure, f"cannot tell {made[1][:12]} .* one of 2 commits"):
            # In the middle of the slowdown, as near as the noise can tell.
            with mock.patch.object(bisection.Search, "step", lambda search, index: False):
                self.bisect(made[0], made[2])


def git_output(folder, *arguments):
    return revisions.Package(folder, "x").git(*arguments)


if __name__ == "__main__":
    unittest.main()
