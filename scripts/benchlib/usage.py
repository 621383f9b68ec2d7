"""What a benchmark's process takes of the machine: peak memory and page faults as the kernel counts them, the
program's size, and hardware counters where the machine has them."""

import ctypes
import dataclasses
import json
import os
import pathlib
import platform
import struct
import subprocess
import sys
import tempfile

from benchlib import environment, instructions, processes, reports

# A process inherits the peak of the one that it was forked from, so that the one that forks is small: Python
# without packages, some 10 MB, below which no peak is told. Large pages are off in what it starts (prctl's
# PR_SET_THP_DISABLE), as some machines have them and some not.
LAUNCHER = """
import ctypes, json, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)
child = os.fork()
if not child:
    os.dup2(2, 1)
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps([os.waitstatus_to_exitcode(status), peak, usage.ru_minflt + usage.ru_majflt]))
"""


# glibc keeps what is freed for later, up to 64 MiB as it learns; with fixed limits it gives all back, so that memory
# taken again and again faults each time, and a leak is not hidden in what setting up has freed.
FIXED_LIMITS = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_TOP_PAD_": "0"}


@dataclasses.dataclass(frozen=True)
class Usage:
    peak_bytes: int
    page_faults: int


def run(command, variables=None):
    """Runs a program to its end, and what the kernel counted of it."""
    launched = [sys.executable, "-I", "-S", "-E", "-c", LAUNCHER, *map(str, command)]
    result = subprocess.run(
        launched, capture_output=True, text=True, env={**os.environ, **FIXED_LIMITS, **(variables or {})})
    lines = result.stdout.splitlines()
    if result.returncode != 0 or not lines:
        raise environment.Failure(f"cannot run {command[0]}: {result.stderr.strip()}")
    status, peak, faults = json.loads(lines[-1])
    if status != 0:
        tail = "\n".join(result.stderr.strip().splitlines()[-15:])
        raise environment.Failure(f"status {status} of {' '.join(map(str, command))}\n{tail}")
    return Usage(peak, faults)


def of_benchmark(program, name, iterations):
    """A run of so many iterations, on as many processors as the benchmark has threads. What it sets up is
    in it."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "report.json"
        command = [
            *processes.pinning(processes.processors([name])), program,
            *processes.measuring(processes.exactly([name]), processes.Timing(1, 1e-9), file)]
        found = run(command, {**processes.BUILT_IN_LIMITS, processes.ITERATIONS: f"{iterations}"})
        report = reports.load(file)
    processes.measured(report, "wall").require([name], program)
    return found


def without_work(program, name):
    """What the program takes that only tells the name of a benchmark: its libraries, and the names of all."""
    command = [program, "--benchmark_list_tests", f"--benchmark_filter={processes.exactly([name])}"]
    return run(command, processes.BUILT_IN_LIMITS)


def size(program):
    """Bytes of the program's file without debug information."""
    with tempfile.TemporaryDirectory() as folder:
        return instructions.stripped(program, folder).stat().st_size


# Event -> (type, number) of perf_event_open; all of user code alone.
HARDWARE = {"instructions": (0, 1), "cycles": (0, 0), "branch_misses": (0, 5), "cache_misses": (0, 3)}
CALLS = {"x86_64": 298, "aarch64": 241}
# Disabled until the program starts, with its threads, without the kernel and a hypervisor.
FLAGS = 1 << 0 | 1 << 1 | 1 << 5 | 1 << 6 | 1 << 12


def open_counter(event, process):
    """A file descriptor that counts an event of a process from when it calls exec."""
    call = CALLS.get(platform.machine())
    if call is None or not sys.platform.startswith("linux"):
        raise environment.Failure(f"no perf_event_open on {sys.platform} {platform.machine()}")
    kind, number = event
    # perf_event_attr in its first version, of 64 bytes.
    attributes = struct.pack("=IIQQQQQ16x", kind, 64, number, 0, 0, 0, FLAGS)
    library = ctypes.CDLL(None, use_errno=True)
    found = library.syscall(call, ctypes.create_string_buffer(attributes), process, -1, -1, 0)
    if found < 0:
        raise environment.Failure(f"perf_event_open: {os.strerror(ctypes.get_errno())}")
    return found


def counted(command, variables=None, events=HARDWARE):
    """Event -> how often it happened in a program's run; a Failure says what the machine does not permit."""
    # A shell that waits for a line, so that counters are there before the program starts.
    waiting = subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _ && exec "$@" </dev/null', "sh", *map(str, command)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, **(variables or {})})
    counters = {}
    try:
        for name, event in events.items():
            counters[name] = open_counter(event, waiting.pid)
        waiting.communicate(b"go\n")
        if waiting.returncode != 0:
            raise environment.Failure(f"status {waiting.returncode} of {' '.join(map(str, command))}")
        return {name: int.from_bytes(os.read(file, 8), sys.byteorder) for name, file in counters.items()}
    finally:
        waiting.kill()
        waiting.wait()
        for file in counters.values():
            os.close(file)


def hardware(program, name, iterations, events=HARDWARE):
    """Event -> how often it happens in an iteration: the difference of runs of so many and of twice as many,
    in which setting up falls out."""
    totals = []
    for times in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "report.json"
            command = [
                *processes.pinning(processes.processors([name])), program,
                *processes.measuring(processes.exactly([name]), processes.Timing(1, 1e-9), file)]
            variables = {**processes.BUILT_IN_LIMITS, processes.ITERATIONS: str(times * iterations)}
            totals.append(counted(command, variables, events))
    return {event: max(0, totals[1][event] - totals[0][event]) / iterations for event in events}
