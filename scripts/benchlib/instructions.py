"""Instructions, allocations and bytes of one call of each benchmark, counted by callgrind.

Counts are the same to the instruction for one binary, inputs and environment, so the run is given
an environment of its own: a fixed set of variables, a program called by a fixed name, no home folder.
The caches that callgrind simulates are larger than any benchmark's memory and empty when counting
starts, so a miss is the first touch of a line of 64 bytes: misses times 64 are the bytes touched.

A benchmark whose name says threads:2 or more is counted on all threads together, but for what waits: how
long a thread spins is chance, how the work is cut is not. Which thread takes a part is left to valgrind, so
that two runs may differ by some instructions, and by the lines of a stack that a thread touched or did not.
"""

import collections
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from benchlib import environment, processes, reports

LINE = 64
CACHE = f"{256 << 20},16,{LINE}"
# glibc's entrances, and Swift's where it aligns memory; callgrind names the one that was called.
ALLOCATORS = {
    *("malloc", "calloc", "realloc", "reallocarray"),
    *("posix_memalign", "aligned_alloc", "memalign", "valloc", "pvalloc", "mmap", "mmap64"),
}
# How threads of this package's pool, and those of OpenBLAS, come to work and wait for each other. By names that
# no kernel has: what stands here is not counted.
WAITING = {
    *("ek_pool_run", "ek_pool_help", "ek_pool_await", "ek_pool_sleep", "ek_pool_wake", "ek_pool_release"),
    *("blas_thread_server", "exec_blas", "sched_yield", "syscall", "__lll_lock_wait", "clone", "clone3"),
}
# What tells the harness to count all threads. One that does not know it would count the others alone.
ALL_THREADS = "EMBEDBENCH_COUNT_THREADS"
# Two runs of several threads may differ by so much of what is counted; and in the bytes by a thread's stack, of
# which a step touched 103 lines where the thread had work, and none where another took it back.
UNSTEADY = 0.005
STACK = 128 * LINE


def require_valgrind():
    if not shutil.which("valgrind"):
        raise environment.Failure("no valgrind on the PATH; on Debian or Ubuntu: scripts/setup")


def counts_all_threads(binary):
    """Whether the program's harness can, which those of old revisions may not."""
    return ALL_THREADS.encode() in pathlib.Path(binary).read_bytes()


def stripped(binary, folder):
    """A copy without debug information, of a form that valgrind may not read."""
    copy = pathlib.Path(folder) / "benchmarks"
    if not shutil.which("strip"):
        raise environment.Failure("no strip on the PATH; on Debian or Ubuntu: scripts/setup")
    subprocess.run(["strip", "--strip-debug", "-o", copy, binary], check=True)
    return copy


def start(program, pattern, folder, *options, all_threads=False):
    """Starts a run whose counts and report go into a new folder, with more of callgrind's options."""
    folder = pathlib.Path(folder)
    folder.mkdir()
    log = open(folder / "log", "wb")
    return folder, subprocess.Popen(
        [
            *("valgrind", "--tool=callgrind", "--instr-atstart=no"),
            f"--collect-atstart={'yes' if all_threads else 'no'}",
            *("--cache-sim=yes", f"--D1={CACHE}", f"--LL={CACHE}", "--compress-strings=no"),
            *("--compress-pos=no", f"--callgrind-out-file={folder}/counts", *options),
            *(f"./{program.name}", "--count_instructions", f"--benchmark_filter={pattern}"),
            *(f"--benchmark_out={folder}/report.json", "--benchmark_out_format=json"),
        ],
        cwd=program.parent,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": "/nonexistent",
            "XDG_CACHE_HOME": "/nonexistent",
            "LC_ALL": "C",
            # Else dictionaries are in another order each time.
            "SWIFT_DETERMINISTIC_HASHING": "1",
            **({ALL_THREADS: "1"} if all_threads else {}),
        },
        stdout=log,
        stderr=log,
    )


def finish(started):
    """Waits for a run; its context and name -> counts."""
    folder, process = started
    status = process.wait()
    log = (folder / "log").read_text(errors="replace")
    if status != 0:
        tail = "\n".join(log.strip().splitlines()[-15:])
        raise environment.Failure(f"valgrind ended with status {status}\n{tail}")
    report = reports.load(folder / "report.json")
    # Times under valgrind are none, but a benchmark that refused has no counts either.
    refused = 0
    for _, entry in reports.entries(report, "the report"):
        said = reports.refusal(entry)
        refused += bool(said)
        if said and entry.get("error_occurred"):
            raise environment.Failure(f"{entry['name']}: {said}")
        if said:
            print(f"left out: {entry['name']}: {said}", file=sys.stderr)
    counts = dict(read(dump) for dump in dumps(folder))
    if not counts and not refused:
        raise environment.Failure("callgrind wrote no counts; was the program built with valgrind?")
    context = report.get("context")
    return context if isinstance(context, dict) else {}, counts


def dumps(folder):
    """The files of counts of a run, one a benchmark."""
    return sorted(folder.glob("counts.*"), key=lambda path: int(path.suffix[1:]))


def read(dump):
    """The benchmark's name and counts of one of callgrind's files."""
    name = None
    events = []
    allocations = 0
    function = callee = None
    waiting = collections.Counter()
    is_call = False
    # What a line of costs begins with: its line, or its address and line.
    columns = 1
    with open(dump, errors="replace") as file:
        for line in file:
            if line.startswith("desc: Trigger: Client Request: "):
                name = line.rstrip("\n").split(": ", 3)[3]
            elif line.startswith("events: "):
                events = line.split()[1:]
            elif line.startswith("positions: "):
                columns = len(line.split()) - 1
            elif line.startswith("fn="):
                function = re.sub(r"'\d+$", "", line.rstrip("\n").split("=", 1)[1])
            elif line.startswith("cfn="):
                callee = line.rstrip("\n").split("=", 1)[1]
            elif line.startswith("calls="):
                is_call = True
                if is_allocator(callee):
                    allocations += int(line[6:].split()[0])
            elif line.startswith("totals: "):
                totals = collections.Counter(dict(zip(events, map(int, line.split()[1:]))))
            elif line[:1].isdigit() or line[:1] in "+-*":
                # What a call took stands with the functions that it called.
                if function in WAITING and not is_call:
                    waiting.update(dict(zip(events, map(int, line.split()[columns:]))))
                is_call = False
    if name is None or not events:
        raise environment.Failure(f"{dump} is no file of callgrind's that names a benchmark")
    if processes.threads(name) > 1:
        totals.subtract(waiting)
    return name, {
        "instructions": totals["Ir"],
        "allocations": allocations,
        "bytes_read": LINE * totals["DLmr"],
        "bytes_written": LINE * totals["DLmw"],
    }


def is_allocator(function):
    """Recursion gives a name a tail such as 'malloc'2."""
    return re.sub(r"'\d+$", "", function or "") in ALLOCATORS


def count_twice(binary, pattern):
    """The context and the counts, and the names whose counts differ between two runs."""
    require_valgrind()
    names = processes.listed(binary, pattern)
    several = [name for name in names if processes.threads(name) > 1]
    alone = [name for name in names if name not in several]
    if several and not counts_all_threads(binary):
        raise environment.Failure(
            f"{binary} has a harness that cannot count all threads, of which {several[0]} has several: leave "
            "it out by --filter, or use a later EmbedKernel")
    first, second = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        program = stripped(binary, folder)
        for kind, chosen in (("alone", alone), ("together", several)):
            if chosen:
                context, *counts = count_pair(
                    program, processes.exactly(chosen), folder / kind, all_threads=chosen is several)
                first.update(counts[0])
                second.update(counts[1])
    names = set(first) | set(second)
    if not names:
        raise environment.Failure(f"no benchmark that matches '{pattern}' was counted")
    return context, first, sorted(n for n in names if differ(n, first.get(n), second.get(n)))


def count_pair(program, pattern, folder, **options):
    """The context, and the counts of two runs."""
    folder.mkdir()
    # Side by side: counting does not care what else the machine does.
    runs = [start(program, pattern, folder / name, **options) for name in ("1st", "2nd")]
    try:
        (context, first), (_, second) = map(finish, runs)
    finally:
        for _, process in runs:
            process.kill()
    return context, first, second


def differ(name, one, other):
    """A call that allocates takes the path through malloc that the heap's state at the time asks for,
    and that state holds the texts of the times reported before. All else must be the same, but for what
    several threads make of chance."""
    if one and other and one["allocations"] and one["allocations"] == other["allocations"]:
        return abs(one["instructions"] / other["instructions"] - 1) > 0.01
    further = processes.threads(name) - 1
    if one and other and further:
        return any(
            abs(one[each] - other[each])
            > UNSTEADY * other[each] + (STACK * further if each.startswith("bytes") else 0)
            for each in one
        )
    return one != other
