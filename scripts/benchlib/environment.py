"""A Python environment with the pinned packages, made when a script first needs it.

`enter()` runs the calling script again inside it. The environment is kept in the user's cache
folder under a name that holds the requirements' hash and Python's version, so a change of either
makes a new one. Needs a network once; then none.
"""

import argparse
import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

REQUIREMENTS = pathlib.Path(__file__).with_name("requirements.txt")
INSIDE = "EMBEDBENCH_PYTHON"


class Failure(Exception):
    """A message for the user; the script ends with status 1."""


class Parser(argparse.ArgumentParser):
    """Arguments, with the script's own first lines for help. A wrong one is status 1, for 2 is a
    regression."""

    def __init__(self, description):
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    def error(self, message):
        self.exit(1, f"{self.prog}: {message}; see {self.prog} --help\n")


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "embedkernel"


@contextlib.contextmanager
def lock(path):
    """Holds an exclusive lock on a file, so that scripts at the same time take turns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def enter():
    """Goes on inside the environment; returns at once if this process is in it."""
    if sys.version_info < (3, 10):
        raise Failure(f"needs Python 3.10 or later, not {sys.version.split()[0]}")
    # Python itself may be a link that several environments share, so its path tells nothing.
    if os.environ.get(INSIDE) == sys.prefix:
        return
    folder = environment()
    python = folder / "bin" / "python"
    os.environ[INSIDE] = str(folder)
    sys.stdout.flush()
    os.execv(python, [str(python), *sys.argv])


def environment(requirements=REQUIREMENTS):
    """The folder of the environment with these packages, made now if it is not there.

    Where the file has hashes, pip checks every package by them.
    """
    version = "{}.{}".format(*sys.version_info)
    text = requirements.read_bytes()
    digest = hashlib.sha256(text).hexdigest()[:12]
    folder = cache_folder() / f"python{version}-{digest}"
    done = folder / "complete"
    if done.exists():
        return folder
    with lock(folder.with_name(folder.name + ".lock")):
        if done.exists():
            return folder
        print(f"making a Python environment in {folder}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        run(
            [sys.executable, "-m", "venv", folder],
            "could not make a Python environment; on Debian or Ubuntu: scripts/setup, "
            "or apt-get install python3-venv",
        )
        run(
            [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-input"]
            + ["--disable-pip-version-check", "--only-binary=:all:"]
            + (["--require-hashes"] if b"--hash=" in text else [])
            + ["--requirement", requirements],
            "could not install the pinned packages; is there a network?",
        )
        done.touch()
    return folder


def run(command, complaint):
    command = [str(part) for part in command]
    try:
        result = subprocess.run(command, stdout=sys.stderr)
    except OSError as error:
        raise Failure(f"{complaint}\n{error}") from None
    if result.returncode != 0:
        raise Failure(complaint)


def main(function):
    """Runs a script's main function, with failures as messages and status 1."""
    name = pathlib.Path(sys.argv[0]).name
    try:
        status = function()
    except Failure as failure:
        print(f"{name}: {failure}", file=sys.stderr)
        status = 1
    except BrokenPipeError:
        status = 1
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)
