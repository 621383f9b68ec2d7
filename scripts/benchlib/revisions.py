"""The benchmark program of a revision: a git worktree a commit, kept in the cache folder, built there.

The revision `.` is the package as it lies, built in place. A package may lie anywhere in its
repository, so that any package's benchmarks can be compared, not only this one's.
"""

import dataclasses
import hashlib
import pathlib
import subprocess
import sys

from benchlib import environment

# Worktrees that are kept a repository; each holds a build of some hundred megabytes.
KEPT = 6


@dataclasses.dataclass(frozen=True)
class Revision:
    commit: str
    binary: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Package:
    """A Swift package, and the product of it that runs the benchmarks."""

    folder: pathlib.Path
    product: str

    def git(self, *arguments):
        command = ["git", "-C", str(self.folder), *arguments]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            raise environment.Failure(f"{' '.join(command)}: {result.stderr.strip()}")
        return result.stdout.strip()

    def revision(self, name):
        """Builds what `name` names, unless it is there."""
        if name == ".":
            commit = self.git("rev-parse", "HEAD")
            if self.git("status", "--porcelain"):
                commit += "-dirty"
            return Revision(commit, build(self.folder, self.product))
        try:
            commit = self.git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        except environment.Failure:
            raise environment.Failure(f"'{name}' names no commit of {self.folder}") from None
        return Revision(commit, self.build_worktree(commit))

    def build_worktree(self, commit):
        root = pathlib.Path(self.git("rev-parse", "--show-toplevel"))
        within = self.folder.resolve().relative_to(root.resolve())
        # By the repository too, for a worktree belongs to one. Of one length for all commits, as
        # paths are part of programs.
        place = hashlib.sha256(str(root).encode()).hexdigest()[:8]
        trees = environment.cache_folder() / "compare" / place
        tree = trees / commit
        with environment.lock(trees / "lock"):
            self.git("worktree", "prune")
            if not (tree / ".git").exists():
                self.git("worktree", "add", "--detach", "--force", str(tree), commit)
            tree.touch()
            binary = build(tree / within, self.product)
            self.remove_oldest(trees, tree)
        return binary

    def remove_oldest(self, trees, current):
        """The current one was touched last; the other of a comparison just before."""
        found = sorted(
            (path for path in trees.iterdir() if path.is_dir() and path != current),
            key=lambda path: path.stat().st_mtime,
        )
        for path in found[: max(0, len(found) - KEPT + 1)]:
            self.git("worktree", "remove", "--force", str(path))


def build(folder, product):
    """Builds for release, its messages on standard error, and returns the program."""
    command = ["swift", "build", "--configuration", "release", "--package-path", str(folder)]
    print(f"building {product} in {folder}", file=sys.stderr)
    environment.run([*command, "--product", product], f"{product} did not build in {folder}")
    found = subprocess.run([*command, "--show-bin-path"], capture_output=True, text=True)
    lines = found.stdout.split("\n")
    if found.returncode != 0 or not lines[0]:
        raise environment.Failure(f"no path of a build in {folder}: {found.stderr.strip()}")
    return pathlib.Path([line for line in lines if line][-1]) / product
