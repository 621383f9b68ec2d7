"""`bench history`: what is kept, which changes are found in histories whose truth is known, and the page."""

import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

from benchlib import environment, history
from test_reports import entry
from test_worktrees import git

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"


def made_up(generator, changes=(), count=80, spread=0.015, disturbed=0.05):
    """Logarithms of times: noise, runs disturbed by up to 20%, and (index, ratio) from where on times are
    another."""
    values = []
    for index in range(count):
        value = generator.gauss(0, spread) + sum(math.log(ratio) for at, ratio in changes if index >= at)
        if generator.random() < disturbed:
            value += generator.choice((-1, 1, 1)) * generator.uniform(0.05, 0.2)
        values.append(value)
    return values


class Changes(unittest.TestCase):
    RUNS = 150

    def found(self, ratio):
        """The part of changes found within two commits, and of histories with one that is none."""
        generator = random.Random(11)
        hits = others = 0
        for _ in range(self.RUNS):
            at = generator.randrange(10, 74)
            steps = history.steps(made_up(generator, [(at, ratio)] if ratio != 1 else []))
            near = [step for step in steps if ratio != 1 and abs(step - at) <= 2]
            hits += bool(near)
            others += len(steps) - bool(near)
        return hits / self.RUNS, others / self.RUNS

    def test_false_alarms(self):
        self.assertLess(self.found(1)[1], 0.25)

    def test_misses(self):
        for ratio, hits in ((1.03, 0.7), (1.05, 0.93), (1.10, 0.97), (0.95, 0.9)):
            found, others = self.found(ratio)
            self.assertGreaterEqual(found, hits, ratio)
            self.assertLess(others, 0.3, ratio)

    def test_steps_up_and_down_again(self):
        generator = random.Random(4)
        values = made_up(generator, [(20, 1.1), (40, 1 / 1.1), (60, 1.06)], spread=0.01)
        self.assertEqual(history.steps(values), [20, 40, 60])

    def test_one_disturbed_run_is_no_step(self):
        values = [random.Random(index).gauss(0, 0.005) for index in range(40)]
        values[20] += 0.5
        self.assertEqual(history.steps(values), [])

    def test_short_and_even_series(self):
        for values in ([], [1.0], [1.0] * 5, [1.0] * 30, [0.0, 1.0, 0.0]):
            self.assertEqual(history.steps(values), [])
        self.assertEqual(history.steps([0.0] * 10 + [0.1] * 10), [10])
        # Below a percent nothing is told, even where there is no noise at all.
        points = [history.Point(f"{i}", "2026-01-01", "s", 1000 + 6 * (i > 9)) for i in range(20)]
        self.assertEqual(history.changes(points), [])

    def test_a_change_names_its_commit_and_both_levels(self):
        points = [history.Point(f"{i:040}", "2026-01-01", "s", 100 if i < 12 else 110) for i in range(20)]
        (change,) = history.changes(points)
        self.assertEqual((change.point, change.before, change.after), (points[12], 100, 110))
        self.assertAlmostEqual(change.ratio, 1.1)


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()
        git(self.folder, "init", "--quiet", "--initial-branch=main")
        self.commits = []

    def commit(self, subject="one"):
        day = len(self.commits) + 1
        (self.folder / "file").write_text(f"{day}")
        git(self.folder, "add", "file")
        git(self.folder, "commit", "--quiet", "--message", subject, "--date", f"2026-01-{day:02}T12:00:00Z")
        self.commits.append(history.git(self.folder, "rev-parse", "HEAD"))
        return self.commits[-1]

    def report(self, *times, commit=None, name="a/threads:1"):
        path = self.folder / "run.json"
        rows = [entry(name, time, repetition_index=i) for i, time in enumerate(times)]
        context = {"commit": commit or self.commits[-1][:12], "cpu": "C", "processors": "2"}
        path.write_text(json.dumps({"context": context, "benchmarks": rows}))
        return path

    def run_script(self, *arguments):
        return subprocess.run(
            [SCRIPTS / "bench", "history", *arguments, "--package", self.folder],
            capture_output=True, text=True)

    def test_instructions_are_a_history_without_noise(self):
        """Of a file of budgets by its log, and of counts by a named commit; each 1% is a change, at the end too."""
        store, _ = self.stores()
        for instructions in (1000, 1009, 1020):
            (self.folder / "swift.json").write_text(json.dumps({
                "a/threads:1": {"instructions": instructions, "allocations": 0},
                "b/threads:2": {"instructions": 7, "allocations": 0}}))
            git(self.folder, "add", "swift.json")
            self.commit(f"take {instructions}")
        self.commit("nothing of budgets")
        store.append(history.budgets("swift.json", self.folder))
        self.assertEqual([run["commit"] for run in store.runs()], self.commits[:3])
        path = self.folder / "swift.json"
        path.write_text(path.read_text().replace("1020", "900"))
        store.append([history.run(path, self.folder, self.commits[3])])
        with self.assertRaisesRegex(environment.Failure, "swift.json has counts of no named commit"):
            history.run(path, self.folder)
        found = history.series(store.runs())["instructions, swift"]
        self.assertEqual([point.value for point in found["a/threads:1"]], [1000, 1009, 1020, 900])
        changes = history.changes(found["a/threads:1"])
        self.assertEqual([(change.index, change.before, change.after) for change in changes],
                         [(2, 1004.5, 1020), (3, 1020, 900)])
        self.assertEqual(history.changes(found["b/threads:2"]), [])

    def test_what_are_no_counts_is_refused(self):
        self.commit()
        for number, (text, message) in enumerate((
            ('{"a": {"instructions": -1}}', "a: instructions"), ('{"a": {"instructions": "x"}}', "a: instructions"),
            ('{"a": {}}', "is no file of counts"), ("[]", "is no file of counts"), ("{", "is not JSON"),
        )):
            with self.subTest(text), self.assertRaisesRegex(environment.Failure, message):
                file = self.folder / f"{number}.json"
                file.write_text(text)
                git(self.folder, "add", file)
                self.commit()
                history.budgets(file.name, self.folder)
        with self.assertRaisesRegex(environment.Failure, "has a file none.json"):
            history.budgets("none.json", self.folder)
        store, _ = self.stores()
        line = {"commit": "c", "date": "2026-01-01", "subject": "s", "machine": "m", "unit": "bytes", "benchmarks": {}}
        store.append([line])
        with self.assertRaisesRegex(environment.Failure, "unit is 'bytes': expected ns or instructions"):
            store.runs()

    def test_the_page_of_instructions(self):
        for instructions in (1000, 1100):
            (self.folder / "swift.json").write_text(json.dumps({"a/threads:1": {"instructions": instructions}}))
            git(self.folder, "add", "swift.json")
            self.commit(f"take {instructions}")
        file, page = self.folder / "h.jsonl", self.folder / "page.html"
        made = self.run_script("add", "--budgets", "swift.json", "--file", file)
        self.assertEqual((made.returncode, made.stdout), (0, f"2 runs added to {file}\n"), made.stderr)
        shown = self.run_script("show", "--file", file, "--page", page)
        self.assertIn("| a/threads:1 | 1,000 | 1,100 | +10.0% |", shown.stdout)
        text = page.read_text()
        self.assertIn("instructions of a call", text)
        self.assertIn("has 10.0% more instructions: 1,000 to 1,100", text)
        self.assertIn("<strong>more instructions</strong>", text)

    def stores(self):
        return (history.Store(self.folder, file=self.folder / "h.jsonl"),
                history.Store(self.folder, branch="benchmarks"))

    def test_runs_are_appended_to_a_file_and_to_a_branch(self):
        for store in self.stores():
            self.assertEqual(store.runs(), [])
        for time in (1, 2):
            self.commit(f"make it {time}")
            run = history.run(self.report(time, time, 3 * time), self.folder)
            for store in self.stores():
                before = store.text()
                store.append([run])
                self.assertTrue(store.text().startswith(before))
        for store in self.stores():
            first, second = store.runs()
            self.assertEqual([first["commit"], second["commit"]], self.commits)
            self.assertEqual(second["subject"], "make it 2")
            self.assertEqual(second["machine"], "C, 2")
            self.assertEqual(
                second["benchmarks"], {"a/threads:1": {"ns": 2000, "low": 2000, "high": 4000, "n": 3}})
        self.assertEqual(history.git(self.folder, "rev-list", "--count", "benchmarks"), "2")
        # The work tree and its branch are as they were.
        self.assertEqual(history.git(self.folder, "ls-files"), "file")
        self.assertEqual(history.git(self.folder, "rev-parse", "HEAD"), self.commits[-1])

    def test_commits_are_in_order_and_runs_of_one_taken_together(self):
        for subject in "abc":
            self.commit(subject)
        # By the date that the commit was made; here all on one day, but for what is set.
        runs = [history.run(self.report(time, commit=commit), self.folder)
                for commit, time in zip((self.commits[2], self.commits[0], self.commits[0]), (3, 1, 2))]
        for run, date in zip(runs, ("2026-01-03T00:00:00Z", "2026-01-02T23:00:00-05:00", "2026-01-02T23:00:00-05:00")):
            run["date"] = date
        (points,) = history.series(runs)["C, 2"].values()
        self.assertEqual([(point.subject, point.value) for point in points], [("c", 3000), ("a", 1500)])

    def test_what_cannot_be_kept_is_refused(self):
        commit = self.commit()
        for name in ("unknown", commit[:12] + "-dirty", "f" * 40):
            with self.assertRaisesRegex(environment.Failure, name):
                history.run(self.report(1, commit=name), self.folder)
        # Named by hand it is.
        self.assertEqual(history.run(self.report(1, commit="unknown"), self.folder, "HEAD")["commit"], commit)
        with self.assertRaisesRegex(environment.Failure, "no measured benchmark"):
            history.run(self.report(0), self.folder)
        file = self.folder / "h.jsonl"
        file.write_text('{"commit": "half')
        with self.assertRaisesRegex(environment.Failure, "ends within a line"):
            history.Store(self.folder, file=file).append([{}])
        self.assertEqual(file.read_text(), '{"commit": "half')

    def test_lines_that_are_none_are_named(self):
        good = {"commit": "c", "date": "2026-01-01T00:00:00Z", "subject": "s", "machine": "m", "benchmarks": {}}
        file = self.folder / "h.jsonl"
        for bad, message in (
            ("{", "h.jsonl:2 is not JSON"), ("3", "h.jsonl:2 has no text 'commit'"),
            (json.dumps({**good, "date": 3}), "h.jsonl:2 has no text 'date'"),
            (json.dumps({**good, "benchmarks": []}), "h.jsonl:2 has no 'benchmarks'"),
            (json.dumps({**good, "benchmarks": {"x": {"ns": "1"}}}), "h.jsonl:2: x: ns is '1'"),
            (json.dumps({**good, "benchmarks": {"x": {"ns": 0}}}), "h.jsonl:2: x: ns is 0"),
            (json.dumps({**good, "benchmarks": {"x": 1}}), "h.jsonl:2: x: ns is missing"),
        ):
            file.write_text(json.dumps(good) + "\n" + bad + "\n")
            with self.subTest(message), self.assertRaisesRegex(environment.Failure, message):
                history.Store(self.folder, file=file).runs()
        with self.assertRaisesRegex(environment.Failure, "'soon' is no date"):
            history.series([{**good, "date": "soon"}])

    def test_the_script(self):
        for index in range(24):
            commit = self.commit(f"<b>step</b> {index}")
            result = self.run_script("add", self.report(*(10 + (index > 11),) * 3), "--branch", "benchmarks")
            self.assertEqual(result.returncode, 0, result.stderr)
        page = self.folder / "page.html"
        result = self.run_script("show", "--branch", "benchmarks", "--page", page)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f"| {self.commits[12][:12]} <b>step</b> 12 |", result.stdout)
        self.assertIn("| 10 µs | 11 µs | +10.0% |", result.stdout)
        text = page.read_text()
        self.assertIn(f"<title>{self.commits[12][:12]} is 10.0% slower: 10 µs to 11 µs</title>", text)
        self.assertIn(f"<title>{commit[:12]} &lt;b&gt;step&lt;/b&gt; 23: 11 µs", text)
        for word in ("<b>", "<script", "http:", "https:", "url(", "None", "nan"):
            self.assertNotIn(word, text)
        for arguments, message in (
            (["show", "--file", self.folder / "none"], "has no run of a benchmark"),
            (["show", "--branch", "benchmarks", "--filter", "("], "--filter ("),
            (["show"], "one of the arguments --file --branch is required"),
            (["add", self.folder / "none.json", "--branch", "benchmarks"], "cannot read"),
        ):
            result = self.run_script(*arguments)
            self.assertEqual((result.returncode, result.stdout), (1, ""), message)
            self.assertIn(message, result.stderr)
            self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)


if __name__ == "__main__":
    unittest.main()
