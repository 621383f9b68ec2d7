"""One peer in a process of its own: makes ready, then answers commands, a line of JSON each.

    {"check": form, "batch": k}        the result's file, for comparison with ours
    {"time": form, "seconds": s}       seconds a call, one for each stretch of calls; page faults a call

It sleeps between commands, so that others can be timed.
"""

import json
import os
import pathlib
import resource
import sys
import time
import traceback

# A stretch is long enough for the clock.
STRETCH = 0.002


def main():
    peer, folder, threads = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    # Before any library counts the processors; pools are then of the same size.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)
    # Commands go by the real output; what libraries print must not mix with them.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    import numpy as np

    import peers

    def load(name):
        return np.load(folder / f"{name}.npy")

    inputs = peers.Inputs(
        load("tokens"), load("positions"), load("ids"), load("gradient"), threads)
    ways = peers.PEERS[peer](inputs)

    def answer(value):
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    answer({"forms": list(ways)})
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if "check" in command:
                way = ways[command["check"]]
                way.call(command["batch"])
                path = folder / f"{peer.replace(' ', '-')}-{os.getpid()}.npy"
                np.save(path, way.result())
                answer({"file": str(path)})
            else:
                answer(timed(ways[command["time"]].call, command["seconds"], len(inputs.ids)))
        except Exception as error:
            answer({"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()})


def timed(call, seconds, batches):
    """Times stretches of calls, the first of which, a warm-up, is left out."""
    clock = time.perf_counter
    for k in range(batches):
        call(k)
    start = clock()
    call(0)
    count = max(1, round(STRETCH / max(clock() - start, 1e-9)))
    samples, k = [], 0
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    calls, end = 0, clock() + seconds
    while clock() < end or len(samples) < 3:
        start = clock()
        for _ in range(count):
            call(k)
            k = (k + 1) % batches
        samples.append((clock() - start) / count)
        calls += count
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    return {"seconds": samples, "faults": faults / calls}


if __name__ == "__main__":
    main()
