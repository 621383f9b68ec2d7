"""What scripts/fuzz makes of a fuzzer that stands all inputs, fails on one or hangs; the corpus."""

import contextlib
import io
import pathlib
import re
import tempfile
import unittest
from unittest import mock

from test_reports import SCRIPTS, script

PROBE = SCRIPTS.parent / "Tests" / "Support" / "FuzzProbe"


class Fuzz(unittest.TestCase):
    def setUp(self):
        self.script = script("fuzz")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for name in ("KEPT", "FOUND"):
            patch = mock.patch.object(self.script, name, self.folder / name)
            patch.start()
            self.addCleanup(patch.stop)

    def fuzz(self, body):
        """Whether it passed, and what was told, with a shell script for a fuzzer."""
        binary = self.folder / "binary"
        binary.write_text(f"#!/bin/sh\n{body}\n")
        binary.chmod(0o755)
        with contextlib.redirect_stdout(io.StringIO()) as told:
            passed = self.script.fuzz(binary, "npy", 1, 7, 5, self.folder)
        return passed, told.getvalue()

    def test_outcomes(self):
        passed, told = self.fuzz('echo "stat::number_of_executed_units: 12" >&2')
        self.assertTrue(passed)
        self.assertRegex(told, r"npy +12 inputs in +\d+ s, seed 7")
        passed, told = self.fuzz('echo "Test unit written to /x/crash-1" >&2; exit 77')
        self.assertFalse(passed)
        self.assertIn("FAILED with status 77", told)
        self.assertIn("again: scripts/fuzz npy --input /x/crash-1\n", told)

    def test_the_fuzzer_is_told_the_limits(self):
        passed, told = self.fuzz('echo "$@" "$ASAN_OPTIONS" "$UBSAN_OPTIONS" >&2; exit 1')
        self.assertFalse(passed)
        for word in (
            "-seed=7", "-max_total_time=1", "-timeout=5", "-rss_limit_mb=512", "-malloc_limit_mb=64",
            "halt_on_error=1", str(PROBE / "Corpus" / "npy"), str(self.folder / "KEPT" / "npy"),
        ):
            self.assertIn(word, told)

    def test_one_that_does_not_end_is_ended(self):
        result = self.script.run(["sh", "-c", "exec sleep 100"], self.folder, 0.2)
        self.assertEqual(result.returncode, 124)
        self.assertIn("ended after", result.stderr)

    def test_every_parser_has_inputs(self):
        """Small ones, and none for a parser that is gone."""
        parsers = set(re.findall(r'Parser\("(\w+)"\)', (PROBE / "Parsers.swift").read_text()))
        folders = {path.name for path in (PROBE / "Corpus").iterdir()}
        self.assertEqual(parsers, folders)
        for folder in (PROBE / "Corpus").iterdir():
            files = list(folder.iterdir())
            self.assertTrue(files, folder)
            for file in files:
                self.assertLessEqual(file.stat().st_size, self.script.LONGEST, file)


if __name__ == "__main__":
    unittest.main()
