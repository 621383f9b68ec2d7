"""Runs of a benchmark program, each in a process of its own pinned to processors.

A process is one sample of a benchmark, however often it repeats it. What differs from process to
process (where memory lies, what the caches hold) is then between samples and not hidden in one.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile

from benchlib import environment, reports


@dataclasses.dataclass(frozen=True)
class Timing:
    """How long a process measures each benchmark."""

    repetitions: int
    seconds: float


def listed(binary, pattern, cpus=None):
    """The names that a regular expression selects."""
    output = execute([*pinning(cpus), binary, "--benchmark_list_tests", f"--benchmark_filter={pattern}"])
    return [line for line in output.splitlines() if line]


def exactly(names):
    """A regular expression that matches these names alone, with or without fixed iterations, which
    the library puts before the clock at the end."""
    escaped = (re.sub(r"([.\[{}()\\*+?|^$])", r"\\\1", name) for name in names)
    parts = (re.sub(r"(/(real|manual)_time)?$", r"(/iterations:[0-9]+)?\1", e, count=1) for e in escaped)
    return f"^({'|'.join(parts)})$"


def threads(name):
    found = re.search(r"(?:^|/)threads:(\d+)(?:/|$)", name)
    return int(found[1]) if found else 1


def processors(names):
    """As many processors as the benchmarks' threads, the last ones, for the first serve interrupts."""
    allowed = sorted(os.sched_getaffinity(0))
    needed = max(map(threads, names), default=1)
    return allowed[-needed:]


def pinning(cpus):
    if not cpus:
        return []
    if not shutil.which("taskset"):
        raise environment.Failure("no taskset on the PATH; on Debian or Ubuntu it is in util-linux")
    return ["taskset", "--cpu-list", ",".join(map(str, cpus))]


def execute(command, **options):
    command = [str(part) for part in command]
    try:
        result = subprocess.run(command, capture_output=True, text=True, **options)
    except OSError as error:
        raise environment.Failure(str(error)) from None
    if result.returncode != 0:
        tail = "\n".join((result.stderr or result.stdout).strip().splitlines()[-15:])
        raise environment.Failure(f"status {result.returncode} of {' '.join(command)}\n{tail}")
    return result.stdout


def measuring(pattern, timing, file):
    return [
        f"--benchmark_filter={pattern}",
        f"--benchmark_repetitions={timing.repetitions}",
        f"--benchmark_min_time={timing.seconds}",
        "--benchmark_enable_random_interleaving=true",
        f"--benchmark_out={file}",
        "--benchmark_out_format=json",
    ]


def report(binary, pattern, timing, cpus=None, variables=None):
    """Google Benchmark's report of one process."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "report.json"
        execute(
            [*pinning(cpus), binary, *measuring(pattern, timing, file)],
            env={**os.environ, **BUILT_IN_LIMITS, **(variables or {})},
        )
        return reports.load(file)


# A fixed number of iterations: what a process finds by itself depends on how it was disturbed.
ITERATIONS = "EMBEDBENCH_ITERATIONS"
SLOWDOWN = "EMBEDBENCH_SLOWDOWN"
TURNS = "EMBEDBENCH_TURN_PIPES"
# A user's own limits of `auto`, saved by `embedkernel tune`, have no part in comparisons.
BUILT_IN_LIMITS = {"EMBEDKERNEL_TUNING": "off"}


def takes_turns(binary):
    """Whether the program's harness knows the pipes, which those of old revisions may not."""
    return TURNS.encode() in pathlib.Path(binary).read_bytes()


@dataclasses.dataclass(frozen=True)
class Job:
    """A process to run, of those that run in turns."""

    binary: pathlib.Path
    variables: dict


def reports_in_turns(jobs, pattern, timing, cpus):
    """The reports of several processes, in the order of the jobs, whose runs alternate.

    All are pinned to the same processors and only one of them works at a time.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        running = []
        for i, job in enumerate(jobs):
            running.append(Turn(stack, pathlib.Path(folder) / str(i), job, pattern, timing, cpus))
        waiting = list(running)
        while waiting:
            waiting = [turn for turn in waiting if turn.take()]
        return [turn.report() for turn in running]


class Turn:
    """A process that works when it is told to."""

    def __init__(self, stack, stem, job, pattern, timing, cpus):
        self.file, self.errors = stem.with_suffix(".json"), stem.with_suffix(".txt")
        their_in, self.go = os.pipe()
        self.done, their_out = os.pipe()
        self.command = [*pinning(cpus), str(job.binary), *measuring(pattern, timing, self.file)]
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                self.command,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=(their_in, their_out),
                env={**os.environ, **BUILT_IN_LIMITS, **job.variables, TURNS: f"{their_in},{their_out}"},
            )
        os.close(their_in)
        os.close(their_out)
        stack.callback(self.close)

    def take(self):
        """Lets the process work until it passes the turn on; false once it has ended."""
        try:
            os.write(self.go, b"g")
        except BrokenPipeError:
            return False
        return os.read(self.done, 1) != b""

    def report(self):
        if self.process.wait() != 0:
            tail = self.errors.read_text(errors="replace").strip().splitlines()[-15:]
            message = f"status {self.process.returncode} of {' '.join(self.command)}"
            raise environment.Failure("\n".join([message, *tail]))
        return reports.load(self.file)

    def close(self):
        os.close(self.go)
        os.close(self.done)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def measured(report, choice="auto"):
    """A program's report under the names of its benchmarks without fixed iterations."""
    return reports.read(
        report, "the report", choice, lambda name: re.sub(r"/iterations:\d+", "", name))


def medians(report, choice="auto"):
    """Name -> nanoseconds. A benchmark that gave no time is a failure of all."""
    found = measured(report, choice)
    found.require(found.left_out, "the report")
    return {name: statistics.median(times) for name, times in found.times.items()}


def iterations(times, timing):
    """Name -> iterations that fill a repetition, of nanoseconds of one."""
    return {
        name: max(1, round(timing.seconds * 1e9 / time)) for name, time in times.items()
    }
