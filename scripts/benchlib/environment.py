"""A Python environment with the pinned packages, made when a script first needs it.

`enter()` runs the calling script again inside it. The environment is kept in the user's cache
folder under a name that holds the requirements' hash and Python's version, so a change of either
makes a new one. Needs a network once; then none.
"""

import argparse
import contextlib
import fcntl
import hashlib
import math
import os
import pathlib
import shutil
import subprocess
import sys

REQUIREMENTS = pathlib.Path(__file__).resolve().parents[1] / "requirements" / "bench.txt"
INSIDE = "EMBEDBENCH_PYTHON"
# What messages begin with, once `main` runs.
PROGRAM = None


class Failure(Exception):
    """A message for the user; the script ends with status 1."""


class Parser(argparse.ArgumentParser):
    """Arguments, with the script's own first lines for help. A wrong one is status 1, for 2 is a
    regression."""

    def __init__(self, description=None, prog=None):
        super().__init__(
            prog=prog or PROGRAM, description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message):
        self.exit(1, f"{self.prog}: {message}; see {self.prog} --help\n")


def positive(text):
    """The type of an option that is a finite number above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return value


def at_least(least):
    """The type of an option that is a whole number, of so many or more."""

    def number(text):
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be {least} or more, not {text}")
        return value

    return number


count = at_least(1)


def output(text):
    """The type of an option that names a file to write at the end: its folder is there from the start."""
    path = pathlib.Path(text)
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"no folder {path.parent}"
        raise argparse.ArgumentTypeError(f"cannot write {text}: {what}")
    return path


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


def environment(requirements=REQUIREMENTS, *, dependencies=True):
    """The folder of the environment with these packages, made now if it is not there.

    Without `dependencies`, what the packages need is not installed with them.
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
            + ([] if dependencies else ["--no-deps"])
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


def main(function, program=None):
    """Runs a script's main function, with failures as messages and status 1.

    Messages begin with the program's name, which is the script's own unless one is given.
    What a user or the machine does wrong is one line; a traceback tells of a fault of the script.
    """
    global PROGRAM
    PROGRAM = name = program or pathlib.Path(sys.argv[0]).name
    try:
        status = function()
    except Failure as failure:
        print(f"{name}: {failure}", file=sys.stderr)
        status = 1
    except BrokenPipeError:
        # Else Python complains when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except OSError as error:
        told = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error
        print(f"{name}: {told}", file=sys.stderr)
        status = 1
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd))
        print(f"{name}: status {error.returncode} of {command}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)
