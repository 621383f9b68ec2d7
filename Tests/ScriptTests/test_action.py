"""GitHub's action: what it posts, its status and what the article says of it. Its steps run as bash runs them
there, with a stand-in for scripts/bench."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import yaml

from benchlib import comparison

ROOT = pathlib.Path(__file__).resolve().parents[2]
ARTICLE = ROOT / "Sources" / "EmbedKernel" / "EmbedKernel.docc" / "RegressionTiming.md"
# What `scripts/bench` was called with is kept; `instructions` ends with GATE, `compare` with STATUS.
BENCH = """#!/usr/bin/env bash
printf '%s\\n' "$*" >> "$CALLS"
if [ "$1" = instructions ]; then echo "dot: instructions 1 -> 2"; exit "$GATE"; fi
while [ $# -gt 0 ]; do
  case "$1" in
    --markdown) [ "$STATUS" = 1 ] || echo "| benchmark |" > "$2" ;;
    --json) echo "{}" > "$2" ;;
  esac
  shift
done
exit "$STATUS"
"""


class Action(unittest.TestCase):
    def setUp(self):
        self.action = yaml.safe_load((ROOT / "action.yml").read_text())
        self.steps = {step.get("name"): step for step in self.action["runs"]["steps"]}
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        script = self.folder / "action" / "scripts" / "bench"
        script.parent.mkdir(parents=True)
        script.write_text(BENCH)
        script.chmod(0o755)
        self.work = self.folder / "work"

    def run_step(self, name, **variables):
        """Runs a step in a fresh repository; its result."""
        step = self.steps[name]
        self.assertEqual(step["shell"], "bash")
        script = self.folder / "step.sh"
        script.write_text(step["run"])
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", script],
            cwd=self.work, capture_output=True, text=True, env={**os.environ, **variables})

    def compare(self, status, gate=0, filter="", instructions="true", baselines=True):
        subprocess.run(["rm", "-rf", self.work], check=True)
        self.work.mkdir()
        subprocess.run(["git", "init", "--quiet", self.work], check=True)
        if baselines:
            (self.work / "Benchmarks" / "Baselines").mkdir(parents=True)
        for name in ("calls", "summary", "output"):
            (self.folder / name).write_text("")
        result = self.run_step(
            "Compare with the base", BASE="b" * 40, PACKAGE=".", PRODUCT="my benchmarks", FILTER=filter,
            INSTRUCTIONS=instructions, STATUS=f"{status}", GATE=f"{gate}",
            CALLS=f"{self.folder}/calls", GITHUB_ACTION_PATH=f"{self.folder}/action",
            GITHUB_STEP_SUMMARY=f"{self.folder}/summary", GITHUB_OUTPUT=f"{self.folder}/output")
        self.assertEqual(result.returncode, 0, result.stderr)
        post = (self.work / "bench-results" / "comment.md").read_text()
        self.assertEqual(post, (self.folder / "summary").read_text())
        told = subprocess.run(["git", "-C", self.work, "status", "--porcelain"], capture_output=True, text=True)
        self.assertEqual(told.stdout, "", "results are a change of the working tree")
        return (self.folder / "output").read_text().strip(), post, (self.folder / "calls").read_text()

    def test_the_status_and_what_is_posted(self):
        for status, gate, expected, title in (
            (0, 0, 0, "no regression"), (4, 0, 4, "no regression"), (2, 0, 2, "a regression"),
            (0, 2, 2, "over a budget"), (4, 1, 1, "not compared"), (2, 2, 2, "a regression"), (1, 0, 1, "not compared"),
        ):
            with self.subTest(status=status, gate=gate):
                output, post, _ = self.compare(status, gate)
                self.assertEqual(output, f"status={expected}")
                lines = post.splitlines()
                self.assertEqual(lines[0], "<!-- benchmarks of my benchmarks -->")
                self.assertTrue(lines[1].startswith(f"### Benchmarks: {title}"), lines[1])
                self.assertEqual("| benchmark |" in post, status != 1)
                self.assertIn("over a budget" if gate else "within their budgets", post)
                self.assertIn("\n```\ndot: instructions 1 -> 2\n```\n", post)
                ended = self.run_step("Fail on a regression", STATUS=f"{expected}").returncode
                self.assertEqual(ended, 0 if expected in (0, 4) else 1)
        # A step before that failed leaves no status.
        self.assertEqual(self.run_step("Fail on a regression", STATUS="").returncode, 1)

    def test_what_is_called(self):
        _, _, calls = self.compare(0, filter="^dot/ x")
        base = "b" * 40
        self.assertEqual(calls.splitlines(), [
            f"compare {base} . --package . --product my benchmarks --filter ^dot/ x "
            "--json bench-results/compare.json --markdown bench-results/compare.md",
            f"instructions --package . --product my benchmarks --base {base}"])
        for more in ({"instructions": "false"}, {"baselines": False}):
            _, post, calls = self.compare(0, **more)
            self.assertEqual(len(calls.splitlines()), 1)
            self.assertNotIn("--filter", calls)
            self.assertNotIn("<details>", post)

    def test_inputs_reach_no_shell_as_text(self):
        """They come from pull requests of anyone: as variables alone, never in a script."""
        for step in self.steps.values():
            self.assertNotIn("${{", step.get("run", ""))
            self.assertNotIn("${{", step.get("with", {}).get("script", ""))

    def test_the_article_calls_it_and_shows_what_it_posts(self):
        text = ARTICLE.read_text()
        called = re.search(r"```yaml\n(- uses: actions/checkout.*?)```", text, re.DOTALL)[1]
        self.assertEqual(len(called.strip().splitlines()), 5)
        step = yaml.safe_load(called)[-1]
        self.assertTrue(step["uses"].endswith("EmbedKernel@main"))
        for name in step["with"]:
            self.assertIn(name, self.action["inputs"])
        self.assertEqual({"product"}, {n for n, i in self.action["inputs"].items() if i.get("required")})
        for name in self.action["inputs"]:
            self.assertIn(f"| `{name}` |", text)
        for line in list(comparison.table([]))[:1]:
            self.assertIn(line, text)

    def test_this_package_calls_it(self):
        jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
        (step,) = [step for step in jobs["compare"]["steps"] if step.get("uses") == "./"]
        for name in step["with"]:
            self.assertIn(name, self.action["inputs"])
        self.assertEqual(jobs["compare"]["permissions"]["pull-requests"], "write")


if __name__ == "__main__":
    unittest.main()
