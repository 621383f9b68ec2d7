"""The experiment on positions in its short form: models are trained, measured, drawn and kept."""

import csv
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMES = ["none", "learned", "sinusoidal", "rope", "alibi", "t5"]
PLOTS = ["length", "positions", "curves", "similarity", "spectrum"]


class Experiment(unittest.TestCase):
    def run_script(self, folder, *more):
        return subprocess.run(
            [
                *(ROOT / "scripts" / "experiment-positions", "--quick", "--output", folder / "out"),
                *("--text", folder / "text", *more),
            ],
            capture_output=True,
            text=True,
        )

    def test_quick(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            text = "".join((ROOT / file).read_text() for file in ("README.md", "CHANGELOG.md"))
            (folder / "text").write_text(text)
            first = self.run_script(folder)
            self.assertEqual(first.returncode, 0, first.stderr)
            out = folder / "out"
            page = (out / "summary.md").read_text()
            self.assertEqual(first.stdout.strip(), page.strip())
            # What learned positions say past their table, and a row of each table.
            self.assertIn("--interpolate", page)
            for part in ("| RoPE |", "## Does order", "## The learned table", "| verdict |"):
                self.assertIn(part, page)
            for plot in PLOTS:
                self.assertEqual((out / f"{plot}.png").read_bytes()[:4], b"\x89PNG")

            with open(out / "results.csv", newline="") as file:
                rows = list(csv.DictReader(file))
            self.assertEqual(
                [(row["scheme"], row["length"]) for row in rows],
                [(scheme, length) for scheme in SCHEMES for length in ("32", "64", "128")])
            # Less than a byte drawn at random, ln 256, and more than nothing.
            for row in rows:
                self.assertTrue(0.5 < float(row["loss"]) < 5.55, row)
            orders = {
                scheme: {
                    (row["direction"], row["parameters"]): float(row["difference"])
                    for row in csv.DictReader(open(out / "runs" / f"{scheme}-1" / "order.csv"))
                } for scheme in SCHEMES
            }
            self.assertLess(orders["none"]["bidirectional", "trained"], 1e-5)
            for scheme in SCHEMES[1:]:
                self.assertGreater(orders[scheme]["bidirectional", "trained"], 1e-5, scheme)

            # Finished runs are kept; what was removed is made again, with the same figures.
            figures = (out / "positions.csv").read_bytes()
            shutil.rmtree(out / "runs" / "rope-1")
            (out / "runs" / "t5-1" / "done.json").unlink()
            again = self.run_script(folder)
            self.assertEqual(again.returncode, 0, again.stderr)
            self.assertIn("4 of 6 runs are there; 2 to go", again.stderr)
            self.assertEqual((out / "positions.csv").read_bytes(), figures)

    def test_faults(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            missing = self.run_script(folder)
            self.assertEqual(missing.returncode, 1)
            self.assertIn("no text", missing.stderr)
            (folder / "text").write_text("too short")
            short = self.run_script(folder)
            self.assertEqual(short.returncode, 1)
            self.assertIn("failed, see", short.stderr)


if __name__ == "__main__":
    unittest.main()
