"""Worktrees of packages whose dependencies are named by a relative path, as Tests/Consumer's is."""

import contextlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from benchlib import environment, revisions

ROOT = pathlib.Path(__file__).resolve().parents[2]


def git(folder, *arguments):
    settings = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", folder, *settings, *arguments], check=True, capture_output=True)


class Worktrees(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()

    def package(self, place, *paths):
        """A package that has nothing but dependencies by path."""
        folder = self.folder / place
        folder.mkdir(parents=True, exist_ok=True)
        named = ", ".join(f'.package(path: "{path}")' for path in paths)
        (folder / "Package.swift").write_text(
            "// swift-tools-version: 6.0\nimport PackageDescription\n"
            f'let package = Package(name: "{folder.name}", dependencies: [{named}])\n')
        return folder

    def linked(self, root, package):
        """Links a package's dependencies in a stand where the repository's worktree is a copy."""
        stand = revisions.Stand(self.folder / "stand", root)
        shutil.copytree(root, stand.tree, ignore=shutil.ignore_patterns("ignored"))
        with contextlib.redirect_stderr(io.StringIO()) as told:
            stand.link_dependencies(stand.place(package))
        return stand, told.getvalue()

    def test_dependencies_beside_the_repository_and_theirs(self):
        package = self.package("work/mine/app", "../library", "../../near", "../../../far")
        library = self.package("work/mine/library")
        near = self.package("work/near", "../next")
        next, far = self.package("work/next"), self.package("far")
        stand, told = self.linked(self.folder / "work/mine", package)
        for one in (near, next, far):
            self.assertEqual(stand.place(one).resolve(), one)
            self.assertIn(f"as it lies, for every revision: {one}\n", told)
        # What the commit holds is the commit's.
        self.assertEqual(stand.place(library).resolve(), stand.tree / "library")
        self.assertNotIn("library", told)

    def test_what_git_leaves_out(self):
        package = self.package("mine", "ignored/one", "module")
        ignored, module = self.package("mine/ignored/one"), self.package("mine/module")
        (module / "Package.swift").rename(self.folder / "aside")
        stand = revisions.Stand(self.folder / "stand", package)
        shutil.copytree(package, stand.tree, ignore=shutil.ignore_patterns("ignored"))
        # A submodule is an empty folder in a worktree.
        (self.folder / "aside").rename(module / "Package.swift")
        with contextlib.redirect_stderr(io.StringIO()):
            stand.link_dependencies(stand.tree)
        for one in (ignored, module):
            self.assertEqual(stand.place(one).resolve(), one)

    def test_a_repository_within_the_package_it_depends_on(self):
        outer = self.package("outer")
        (outer / "Sources").mkdir()
        (outer / "Tests" / "Other").mkdir(parents=True)
        inner = self.package("outer/Tests/Inner", "../..")
        stand, _ = self.linked(inner, inner)
        self.assertEqual(stand.place(outer / "Sources").resolve(), outer / "Sources")
        self.assertEqual(stand.place(outer / "Tests/Other").resolve(), outer / "Tests/Other")
        self.assertEqual(stand.place(inner).resolve(), stand.tree)

    def test_a_dependency_that_is_nowhere(self):
        package = self.package("mine", "../gone")
        with self.assertRaisesRegex(environment.Failure, f"no package at {self.folder}/gone"):
            self.linked(package, package)

    def test_two_commits_of_a_package_beside_this_one(self):
        """Built, run and compared; the stands of old commits go, and nothing that they link."""
        mine = self.folder / "outer" / "Consumer"
        shutil.copytree(ROOT / "Tests" / "Consumer", mine, ignore=shutil.ignore_patterns(".build"))
        (self.folder / "outer" / "EmbedKernel").symlink_to(ROOT)
        manifest = (mine / "Package.swift").read_text()
        self.assertIn('path: "../.."', manifest)
        (mine / "Package.swift").write_text(manifest.replace('path: "../.."', 'path: "../EmbedKernel"'))
        git(mine, "init", "--quiet")
        git(mine, "add", ".")
        git(mine, "commit", "--quiet", "--message", "one")
        (mine / "README").write_text("two\n")
        git(mine, "add", ".")
        git(mine, "commit", "--quiet", "--message", "two")
        report = self.folder / "report.json"
        result = subprocess.run(
            [
                *(ROOT / "scripts" / "bench", "compare", "HEAD~1", "HEAD"),
                *("--package", mine, "--product", "consumer-benchmarks", "--filter", "^dot/"),
                *("--pairs", "15", "--repetitions", "3", "--min-time", "0.001", "--json", report),
            ],
            capture_output=True, text=True,
            env={
                **os.environ, "XDG_CACHE_HOME": str(self.folder / "cache"),
                environment.INSIDE: sys.prefix,
            })
        self.assertIn(result.returncode, (0, 2, 4), result.stderr)
        self.assertIn(f"as it lies, for every revision: {self.folder}/outer/EmbedKernel\n", result.stderr)
        (row,) = json.loads(report.read_text())["benchmarks"]
        self.assertEqual(row["name"].split("/")[0], "dot")
        (trees,) = (self.folder / "cache" / "embedkernel" / "worktrees").iterdir()
        package = revisions.Package(mine, "consumer-benchmarks")
        stands = [path for path in trees.iterdir() if path.is_dir()]
        self.assertEqual(len(stands), 2)
        for i in range(revisions.KEPT):
            (trees / f"{i}").mkdir()
        package.remove_oldest(trees, trees / "0")
        self.assertFalse([path for path in stands if path.exists()])
        self.assertTrue((ROOT / "Package.swift").exists())
        self.assertEqual(len(package.git("worktree", "list").splitlines()), 1)


if __name__ == "__main__":
    unittest.main()
