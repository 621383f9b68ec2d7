"""A user's package, Tests/Consumer, under the gate on instructions: budgets made, kept and broken."""

import json
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Package(unittest.TestCase):
    def gate(self, folder, *more):
        return subprocess.run(
            [
                *(ROOT / "scripts" / "bench", "instructions"),
                *("--package", ROOT / "Tests" / "Consumer", "--product", "consumer-benchmarks"),
                *("--baselines", folder, *more),
            ],
            capture_output=True,
            text=True,
        )

    def test_budgets(self):
        with tempfile.TemporaryDirectory() as folder:
            made = self.gate(folder, "--accept")
            self.assertEqual(made.returncode, 0, made.stderr)
            (file,) = pathlib.Path(folder).iterdir()
            budgets = json.loads(file.read_text())
            dot, scaled = (budgets[f"{kernel}/N4096/threads:1"] for kernel in ("dot", "scaled"))
            self.assertEqual(dot["allocations"], 0)
            self.assertEqual(scaled["allocations"], 1)
            # Two arrays of 4,096 floats, and a few lines of stack.
            self.assertGreaterEqual(dot["bytes_read"], 32_768)
            self.assertLess(dot["bytes_read"], 32_768 + 1_024)

            kept = self.gate(folder)
            self.assertEqual(kept.returncode, 0, kept.stdout + kept.stderr)

            dot["instructions"] = int(dot["instructions"] / 1.02)
            scaled["allocations"] = 0
            file.write_text(json.dumps(budgets))
            broken = self.gate(folder)
            self.assertEqual(broken.returncode, 2, broken.stdout + broken.stderr)
            self.assertRegex(broken.stdout, r"dot/N4096/threads:1: instructions \d+ -> \d+ \(\+2\.0%\)")
            self.assertIn("scaled/N4096/threads:1: allocations 0 -> 1", broken.stdout)
            self.assertIn("+++ counted", broken.stdout)
