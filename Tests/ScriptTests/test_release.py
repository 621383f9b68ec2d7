"""A version is the same in the command, in the changelog and as a tag."""

import datetime
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

from benchlib import environment
from test_reports import SCRIPTS, script

ROOT = SCRIPTS.parent
SOURCE = (
    'package enum Release {\n  package static let version = "0.1.0"\n'
    '  package static let date = "1999-12-31"\n}\n')


class Release(unittest.TestCase):
    def setUp(self):
        self.script = script("release")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.repository = self.script.Repository(self.root)
        self.repository.source.parent.mkdir(parents=True)
        self.repository.source.write_text(SOURCE)
        self.repository.changes.write_text("# Changelog\n\n## Unreleased\n\n- Something.\n")
        self.repository.git("init", "--quiet")
        for key, value in (("user.name", "a"), ("user.email", "a@b"), ("commit.gpgsign", "false")):
            self.repository.git("config", key, value)
        self.commit()

    def commit(self):
        self.repository.git("add", ".")
        self.repository.git("commit", "--quiet", "--message", "Change something")

    def change(self):
        text = self.repository.changes.read_text()
        self.repository.changes.write_text(
            text.replace("## Unreleased\n", "## Unreleased\n\n- More.\n", 1))
        self.commit()

    def test_this_package_s_version(self):
        """The newest tag, if any is here, is the version that the command prints."""
        repository = self.script.Repository(ROOT)
        faults = [fault for fault in repository.check() if "has no tag" not in fault]
        self.assertEqual(faults, [])
        self.assertRegex(repository.version(), r"^\d+\.\d+\.\d+$")
        shown = subprocess.run([SCRIPTS / "version"], capture_output=True, text=True, check=True)
        self.assertEqual(shown.stdout, repository.version() + "\n")

    def test_a_release(self):
        self.assertEqual(list(self.repository.check()), [])
        self.repository.release("0.1.0")
        self.change()
        self.repository.release("0.10.0")
        self.assertEqual(list(self.repository.check()), [])
        self.assertEqual(
            (self.repository.version(), self.repository.released(), self.repository.tagged()),
            ("0.10.0", "0.10.0", "0.10.0"))
        self.assertEqual(self.repository.git("tag").split(), ["v0.1.0", "v0.10.0"])
        self.assertEqual(
            self.repository.git("rev-parse", "v0.10.0^{commit}"), self.repository.git("rev-parse", "HEAD"))
        self.assertRegex(
            self.repository.changes.read_text(),
            r"^# Changelog\n\n## Unreleased\n\n## 0.10.0 \([-\d]+\)\n\n- More.\n\n"
            r"## 0.1.0 \([-\d]+\)\n\n- Something.\n$")
        self.assertEqual(self.repository.notes(), "- More.")
        day = datetime.date.today().isoformat()
        self.assertIn(f'static let date = "{day}"\n', self.repository.source.read_text())
        self.assertEqual(self.repository.git("status", "--porcelain"), "")

    def test_what_disagrees_is_told(self):
        self.repository.release("0.2.0")
        self.repository.git("tag", "v0.3.0")
        self.assertEqual(
            list(self.repository.check()), ["the command prints 0.2.0, but the newest tag is v0.3.0"])
        self.repository.git("tag", "--delete", "v0.3.0", "v0.2.0")
        self.assertIn("has no tag", "".join(self.repository.check()))
        self.repository.source.write_text(SOURCE)
        self.assertIn("newest release is 0.2.0", "".join(self.repository.check()))

    def test_what_is_refused(self):
        def refused(version, message):
            with self.subTest(message), self.assertRaisesRegex(environment.Failure, message):
                self.repository.release(version)

        for version in ("1", "1.2", "v1.2.3", "1.2.3-rc", "01.2.3"):
            refused(version, "is no version")
        self.repository.release("0.2.0")
        refused("0.3.0", "nothing under Unreleased")
        self.change()
        for version in ("0.2.0", "0.1.9"):
            refused(version, "is not above 0.2.0")
        self.repository.source.write_text(SOURCE + "// more\n")
        refused("0.3.0", "not committed")

    def test_how_to_cite(self):
        """The file has what its schema asks for, and no version, which would be a second place for it."""
        text = (ROOT / "CITATION.cff").read_text()
        keys = re.findall(r"(?m)^([a-z-]+):", text)
        self.assertEqual(len(keys), len(set(keys)))
        self.assertLessEqual({"cff-version", "message", "title", "authors", "license"}, set(keys))
        self.assertNotIn("version", keys)
        holder = re.search(r"Copyright \(c\) \d+ (.+)", (ROOT / "LICENSE").read_text())[1]
        self.assertIn(f"  - name: {holder}\n", text)

    def test_arguments(self):
        for arguments in ([], ["--check", "--tag"], ["0.2.0", "--check"]):
            result = subprocess.run(
                [sys.executable, SCRIPTS / "release", *arguments], capture_output=True, text=True)
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)


if __name__ == "__main__":
    unittest.main()
