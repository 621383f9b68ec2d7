"""The benchmark program of a revision: a git worktree a commit, kept in the cache folder, built there.

The revision `.` is the package as it lies, built in place. A package may lie anywhere in its
repository, so that any package's benchmarks can be compared, not only this one's.

A worktree lies under a folder of its commit by the whole path of its repository, so that `../x` in a
manifest stays within that folder. What such a path means and the commit does not hold, another
repository or a folder that git ignores, is linked there: it serves every revision as it lies.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
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
        commit = self.commit(name)
        return Revision(commit, self.build_worktree(commit))

    def commit(self, name):
        try:
            return self.git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        except environment.Failure:
            raise environment.Failure(f"'{name}' names no commit of {self.folder}") from None

    def stand(self, commit):
        root = pathlib.Path(self.git("rev-parse", "--show-toplevel"))
        # By the repository too, for a worktree belongs to one. Of one length for all commits, as
        # paths are part of programs.
        place = hashlib.sha256(str(root).encode()).hexdigest()[:8]
        trees = (environment.cache_folder() / "worktrees" / place).resolve()
        return Stand(trees / commit, root.resolve())

    def keep(self, commit):
        """Has a worktree stay that is in use for longer than the next build."""
        self.stand(commit).folder.touch()

    def build_worktree(self, commit):
        stand = self.stand(commit)
        trees = stand.folder.parent
        within = self.folder.resolve().relative_to(stand.root)
        with environment.lock(trees / "lock"):
            self.git("worktree", "prune")
            if not (stand.tree / ".git").exists():
                stand.tree.parent.mkdir(parents=True, exist_ok=True)
                self.git("worktree", "add", "--detach", "--force", str(stand.tree), commit)
            stand.folder.touch()
            if (stand.tree / within / "Package.swift").exists():
                stand.link_dependencies(stand.tree / within)
            binary = build(stand.tree / within, self.product)
            self.remove_oldest(trees, stand.folder)
        return binary

    def remove_oldest(self, trees, current):
        """The current one was touched last; the other of a comparison just before."""
        found = sorted(
            (path for path in trees.iterdir() if path.is_dir() and path != current),
            key=lambda path: path.stat().st_mtime,
        )
        for path in found[: max(0, len(found) - KEPT + 1)]:
            # Links are removed, never what they lead to.
            shutil.rmtree(path)
        self.git("worktree", "prune")


@dataclasses.dataclass(frozen=True)
class Stand:
    """A folder that stands for the root of the file system: the worktree of a repository lies in it by
    the repository's whole path."""

    folder: pathlib.Path
    root: pathlib.Path

    def place(self, path):
        """Where a path of the file system is in the stand."""
        return self.folder / path.relative_to(path.anchor)

    @property
    def tree(self):
        return self.place(self.root)

    def link_dependencies(self, package, seen=None):
        """Links the dependencies by path that the stand has not, and theirs."""
        seen = set() if seen is None else seen
        if package.resolve() in seen:
            return
        seen.add(package.resolve())
        for path in dependencies(package, self.folder / "manifests"):
            # An absolute path, and one beside a dependency that was linked, is the real one.
            is_within = path.is_relative_to(self.folder)
            real = pathlib.Path("/") / path.relative_to(self.folder) if is_within else path
            place = self.place(real)
            if not (place / "Package.swift").exists():
                if not (real / "Package.swift").exists():
                    raise environment.Failure(f"no package at {real}, on which {package} depends")
                print(f"as it lies, for every revision: {real}", file=sys.stderr)
                self.link(real)
            self.link_dependencies(place, seen)

    def link(self, real):
        """Makes a folder of the file system appear in the stand."""
        place = self.place(real)
        if self.root.is_relative_to(real):
            # It holds the repository, whose worktree is there already: all beside that is linked.
            for entry in real.iterdir():
                spot = self.place(entry)
                if self.root.is_relative_to(entry):
                    if entry != self.root:
                        self.link(entry)
                elif not os.path.lexists(spot) and entry.name not in (".git", ".build"):
                    spot.symlink_to(entry)
            return
        # An empty folder is what git leaves of a submodule.
        if place.is_dir() and not place.is_symlink():
            place.rmdir()
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(real)


def dependencies(package, scratch):
    """The paths of the packages that a package's manifest names by path."""
    command = ["swift", "package", "--package-path", package, "--scratch-path", scratch, "dump-package"]
    command = [str(part) for part in command]
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode != 0:
        raise environment.Failure(f"{' '.join(command)}: {found.stderr.strip()}")
    listed = json.loads(found.stdout[found.stdout.index("{"):])["dependencies"]
    return [
        pathlib.Path(os.path.normpath(part["path"]))
        for each in listed for part in each.get("fileSystem", [])
    ]


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
