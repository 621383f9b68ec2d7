"""Runs one shape on some threads: checks every peer against us, then times all of them in rounds.

Each peer is a process of its own that sleeps while others work; ours is embed-benchmarks, started anew
in each round. A round has all of them in a new random order, so that drift falls on all alike.
"""

import contextlib
import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchlib import reports
from benchlib.environment import Failure as Fault

import peers
import workloads

OURS = "EmbedKernel"
FORWARD = (peers.PREALLOCATED, peers.FRESH)
# Threads of pools go on spinning for a while after a call.
SETTLE = 0.1


def say(text):
    print(f"bench peers: {text}", file=sys.stderr, flush=True)


class Worker:
    """A peer's process."""

    def __init__(self, peer, folder, threads):
        self.peer = peer
        self.log = open(folder / f"{peer.replace(' ', '-')}.log", "w+")
        self.process = subprocess.Popen(
            [sys.executable, str(pathlib.Path(__file__).with_name("worker.py")), peer, str(folder),
             str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)

    def forms(self):
        return self.read()["forms"]

    def ask(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        answer = self.read()
        if "error" in answer:
            raise Fault(f"{self.peer}, {command}: {answer['error']}\n{answer.get('trace', '')}")
        return answer

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.log.seek(0)
            last = self.log.read().strip().splitlines()[-3:]
            raise Fault(f"{self.peer} ended with status {self.process.returncode}: {' '.join(last)}")
        return json.loads(line)

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


def our_benchmarks(workload, threads, forms):
    """The names of ours for each form."""
    end = f"threads:{threads}"
    # What a caller gets who chooses nothing, which on a small shape is one thread, as with peers. It
    # is registered for as many threads as there are processors.
    kernels = "default" if threads == os.cpu_count() and threads > 1 else "auto"
    names = {
        peers.PREALLOCATED: f"forward/{kernels}/f32/{workload.name}/{end}",
        peers.BACKWARD: f"backward/{kernels}/f32/{workload.name}/dense/{end}",
        peers.ROW_SPARSE: f"backward/{kernels}/f32/{workload.name}/row_sparse/{end}",
        peers.STEP: f"step/sgd/{kernels}/f32/{workload.name}/fused/{end}",
    }
    return {form: names[form] for form in names if form in forms}


def pinned(threads):
    """What a child does first: keeps to as many processors as it has threads."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    return lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def time_ours(binary, names, threads, seconds, expected_sum):
    """form -> median seconds of a call, from one process."""
    pattern = "^(" + "|".join(re.escape(name).replace("\\-", "-") for name in names.values()) + ")/"
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        result = subprocess.run(
            [str(binary), f"--benchmark_filter={pattern}", "--benchmark_repetitions=5",
             "--benchmark_enable_random_interleaving=true", f"--benchmark_min_time={seconds / 5}",
             f"--benchmark_out={report.name}", "--benchmark_out_format=json"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=pinned(threads),
            env={**os.environ, "EMBEDKERNEL_TUNING": "off"})
        if result.returncode != 0:
            raise Fault(f"embed-benchmarks failed: {result.stderr.strip()[-300:]}")
        found = reports.read(
            reports.load(pathlib.Path(report.name)), "the report",
            rename=lambda name: name.removesuffix("/real_time"))
    found.require(names.values(), "embed-benchmarks")
    for repetition in (one for name in names.values() for one in found.measured[name]):
        total = repetition.entry.get("ids_sum", expected_sum)
        if total != expected_sum:
            raise Fault(f"{repetition.entry['name']} draws other ids: their sum is {total}")
    return {form: statistics.median(found.times[name]) / 1e9 for form, name in names.items()}


def our_results(command, folder, workload, forms):
    """What ours gives for the first id batch: the output, and the table gradient."""
    files = {name: str(folder / f"{name}.npy") for name in ("tokens", "positions", "gradient")}
    np.save(folder / "ids0.npy", np.load(folder / "ids.npy")[0])
    ids = ["--token-ids", str(folder / "ids0.npy")]
    expected = {}
    if set(forms) & set(FORWARD):
        path = folder / "ours.npy"
        run([command, "embed", *ids, "--token-table", files["tokens"], "--position-table",
             files["positions"], "--output", path])
        expected["output"] = np.load(path).reshape(workload.batch, workload.context, workload.dim)
    if set(forms) - set(FORWARD):
        path = folder / "ours-gradient.npy"
        run([command, "backward", *ids, "--output-gradient", files["gradient"], "--vocabulary",
             workload.vocabulary, "--token-gradient", path])
        expected["gradient"] = np.load(path)
    return expected


def run(command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode != 0:
        raise Fault(f"{' '.join(map(str, command))}: {result.stderr.strip()}")


def check(worker, form, expected, tokens):
    """Holds a peer's result to ours: embeddings to the bit, sums to rounding."""
    path = pathlib.Path(worker.ask(check=form, batch=0)["file"])
    found = np.load(path)
    path.unlink()
    if form in FORWARD:
        same = found.shape == expected["output"].shape and np.array_equal(
            found.view(np.int32), expected["output"].view(np.int32))
        if not same:
            raise Fault(f"{worker.peer}, {form}: the embeddings are not ours")
        return
    if form == peers.STEP:
        found = (tokens - found) / peers.RATE
        # The table's rounding, seen through the division.
        tolerance = 2.0**-23 / peers.RATE
    else:
        tolerance = 1e-5
    # A row may be drawn a few times; sums differ by the order of their terms.
    if not np.allclose(found, expected["gradient"], rtol=1e-5, atol=tolerance):
        raise Fault(f"{worker.peer}, {form}: the gradient is not ours")


def measure(name, threads, forms, rounds, seconds, tools, only=None):
    """The record of a shape: for each implementation and form a median a round."""
    workload = workloads.WORKLOADS[name]
    shuffle = random.Random(f"{name} {threads}").shuffle
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as folder, contextlib.ExitStack() as stack:
        folder = pathlib.Path(folder)
        tokens, positions = workload.tables()
        ids = workload.ids()
        arrays = {"tokens": tokens, "positions": positions, "ids": ids, "gradient": workload.gradient()}
        for key, value in arrays.items():
            np.save(folder / f"{key}.npy", value)
        expected = our_results(tools["embedkernel"], folder, workload, forms)
        turns = []
        for peer in only or peers.PEERS:
            try:
                worker = Worker(peer, folder, threads)
                stack.callback(worker.stop)
                for form in worker.forms():
                    if form in forms:
                        check(worker, form, expected, tokens)
                        turns.append((worker, form))
            except Fault as fault:
                say(f"left out: {fault}")
                turns = [turn for turn in turns if turn[0].peer != peer]
        names = our_benchmarks(workload, threads, forms)
        times, faults = {}, {}
        for round in range(rounds):
            order = [*turns, None]
            shuffle(order)
            for turn in order:
                if turn is None:
                    found = time_ours(
                        tools["embed-benchmarks"], names, threads, seconds, int(ids.sum(dtype=np.int64)))
                    for form, value in found.items():
                        times.setdefault((OURS, form), []).append(value)
                    continue
                worker, form = turn
                answer = worker.ask(time=form, seconds=seconds)
                key = worker.peer, form
                times.setdefault(key, []).append(statistics.median(answer["seconds"]))
                faults.setdefault(key, []).append(answer["faults"])
                time.sleep(SETTLE)
            say(f"{name}, {threads} threads: round {round + 1} of {rounds}")
    return {
        "workload": name, "threads": threads,
        "results": [
            {"implementation": peer, "form": form, "seconds": values,
             "faults": statistics.median(faults[peer, form]) if (peer, form) in faults else None}
            for (peer, form), values in times.items()
        ],
    }
