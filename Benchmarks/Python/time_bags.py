"""Times bags beside PyTorch's `embedding_bag`, and beside what reading the same random rows takes.

All ways of a shape run in turns of random order in one process, so that whatever else the machine does meets all
of them; figures are medians of the turns. The ceiling is a C loop that reads the rows and adds them up, with the best
of several distances of prefetch; for bags of one id, whose output is as large as what is read, it copies the rows.
Ours reads the library's C interface, PyTorch's table is PyTorch's own memory and ours the library's (which asks for
huge pages); `torch, our memory` is PyTorch on ours. Prints a Markdown table with the bars, and with --check fails
where one is missed.

    scripts/install --prefix PREFIX
    python Benchmarks/Python/time_bags.py --library PREFIX/lib/libembedkernel.so --check
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import itertools
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from library import FLOAT32, INT64, POINTER, SIZE, Layout, Options
from torch.nn import functional

LOOPS = Path(__file__).resolve().parents[1] / "CReferenceLoops"
# Rows, dim, bags, ids a bag.
SHAPES = ((1_000_000, 128, 2048, 20), (1_000_000, 64, 2048, 50), (50_257, 256, 8192, 1))

Call = Callable[[int], object]


class Reading(ctypes.Structure):
    """crl_row_reading"""

    _fields_ = [
        ("rows", POINTER), ("ids", POINTER), ("count", SIZE), ("row_bytes", SIZE), ("ahead", SIZE), ("output", POINTER),
    ]


def loops() -> ctypes.CDLL:
    """The reference loops, compiled."""
    library = Path(tempfile.mkdtemp()) / "loops.so"
    subprocess.run(
        ["clang", "-O3", "-shared", "-fPIC", f"-I{LOOPS}/include", *map(str, LOOPS.glob("*.c")), "-o", str(library),
         "-lpthread", "-lm"], check=True)
    found = ctypes.CDLL(str(library))
    found.crl_team_create.restype = POINTER
    found.crl_team_create.argtypes = [SIZE]
    found.crl_read_rows_team.argtypes = [POINTER, SIZE, POINTER]
    return found


class Bench:
    """A shape: its table in both memories, and some sets of ids."""

    sets = 8

    def __init__(self, library: ctypes.CDLL, loops: ctypes.CDLL, shape: tuple[int, int, int, int]):
        self.library, self.loops = library, loops
        self.rows, self.dim, self.bags, self.length = shape
        self.theirs = torch.randn(self.rows, self.dim)
        self.taken: list[ctypes.c_void_p] = []
        self.ours = self.take(self.rows)
        self.ours.copy_(self.theirs)
        count = self.bags * self.length
        self.output = self.take(self.bags)
        self.ids = [torch.randint(0, self.rows, (count,)) for _ in range(self.sets)]
        self.offsets = torch.arange(0, count, self.length)

    def take(self, rows: int) -> torch.Tensor:
        """Rows in the library's memory."""
        memory = POINTER()
        assert self.library.ek_buffer_take(SIZE(rows * self.dim * 4), ctypes.byref(memory)) == 0
        self.taken.append(memory)
        floats = (ctypes.c_float * (rows * self.dim)).from_address(memory.value)
        return torch.from_numpy(np.ctypeslib.as_array(floats).reshape(rows, self.dim))

    def close(self) -> None:
        for memory in self.taken:
            self.library.ek_buffer_release(memory)

    def bag(self, threads: int) -> Call:
        layout = Layout(ctypes.sizeof(Layout), 0, INT64, self.offsets.data_ptr(), self.bags, 0)
        options = Options(ctypes.sizeof(Options), None, -1, 0, 0, 0, threads, 1.0, 0, 0, 0)
        run, count, i64 = self.library.ek_bag, self.bags * self.length, ctypes.c_int64
        arguments = [
            (POINTER(ids.data_ptr()), INT64, i64(count), ctypes.byref(layout), POINTER(self.ours.data_ptr()), FLOAT32,
             i64(self.rows), i64(self.dim), POINTER(self.output.data_ptr()), FLOAT32, None, ctypes.byref(options))
            for ids in self.ids
        ]

        def call(at: int) -> None:
            if run(*arguments[at]) != 0:
                raise RuntimeError("ek_bag failed")

        return call

    def torch_bag(self, table: torch.Tensor) -> Call:
        return lambda at: functional.embedding_bag(self.ids[at], table, self.offsets, mode="sum")

    def reading(self, threads: int, ahead: int) -> Call:
        output = self.output.data_ptr() if self.length == 1 else None
        works = [
            Reading(self.ours.data_ptr(), ids.data_ptr(), ids.numel(), self.dim * 4, ahead, output) for ids in self.ids
        ]
        run = self.loops.crl_read_rows_team
        team = self.loops.crl_team_create(threads)
        return lambda at: run(team, threads, ctypes.byref(works[at]))


def measure(calls: dict[str, Call], sets: int, rounds: int) -> dict[str, float]:
    """Microseconds of each, in turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    for call in calls.values():
        call(0)
    gc.disable()
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            at = random.randrange(sets)
            start = time.perf_counter()
            calls[name](at)
            times[name].append(time.perf_counter() - start)
    gc.enable()
    return {name: statistics.median(values) * 1e6 for name, values in times.items()}


def forward(library: ctypes.CDLL, loops: ctypes.CDLL, shape: tuple[int, int, int, int], threads: int, rounds: int):
    """A line of the table, and whether it meets the bars."""
    torch.set_num_threads(threads)
    bench = Bench(library, loops, shape)
    ours = bench.bag(threads)
    ours(0)
    assert torch.equal(bench.output, functional.embedding_bag(bench.ids[0], bench.ours, bench.offsets, mode="sum"))
    calls = {"ours": ours, "torch": bench.torch_bag(bench.theirs), "same": bench.torch_bag(bench.ours)}
    for ahead in (4, 8, 16, 32, 64):
        calls[f"ceiling {ahead}"] = bench.reading(threads, ahead)
    times = measure(calls, bench.sets, rounds)
    bench.close()
    ceiling = min(value for name, value in times.items() if name.startswith("ceiling"))
    ok = times["ours"] <= times["torch"] and ceiling / times["ours"] >= 0.95
    text = ", ".join(map(str, shape))
    print(f"| ({text}) | {threads} | {times['ours']:.0f} | {times['torch']:.0f} | {times['same']:.0f} | {ceiling:.0f} "
          f"| {times['torch'] / times['ours']:.2f} | {ceiling / times['ours']:.2f} |", flush=True)
    return ok


class OptimizerOptions(ctypes.Structure):
    """ek_optimizer_options"""

    _fields_ = [
        ("struct_size", SIZE), ("name", ctypes.c_char_p),
        *((name, ctypes.c_double) for name in (
            "learning_rate", "weight_decay", "beta1", "beta2", "epsilon", "initial_sum", "rate_decay")),
        ("untouched", ctypes.c_int32), ("updates", ctypes.c_int32), ("frozen_row", ctypes.c_int64),
        ("masters", POINTER), ("seed", ctypes.c_uint64), ("state", POINTER), ("state_count", ctypes.c_int64),
        ("step_count", ctypes.c_int64), ("moment_dtype", ctypes.c_int32),
    ]


class StepOptions(ctypes.Structure):
    """ek_step_options"""

    _fields_ = [
        ("struct_size", SIZE),
        *((name, ctypes.c_double) for name in ("learning_rate", "weight_decay", "beta1", "beta2", "epsilon")),
        ("gradient_scale", ctypes.c_float), ("threads", ctypes.c_int32),
    ]


def training(library: ctypes.CDLL, shape: tuple[int, int, int, int], threads: int, rounds: int) -> bool:
    """A line of the training table: backward and step, and whether it meets the bar."""
    torch.set_num_threads(threads)
    rows, dim, bags, length = shape
    count, nan, i64 = bags * length, float("nan"), ctypes.c_int64
    ids = [torch.randint(0, rows, (count,)) for _ in range(8)]
    offsets, upstream = torch.arange(0, count, length), torch.randn(bags, dim)
    theirs = torch.nn.EmbeddingBag(rows, dim, mode="sum", sparse=True)
    adagrad = torch.optim.Adagrad(theirs.parameters(), lr=0.01)

    handle, optimizer = POINTER(), POINTER()
    assert library.ek_table_create(i64(rows), i64(dim), FLOAT32, ctypes.byref(handle)) == 0
    made = OptimizerOptions(
        ctypes.sizeof(OptimizerOptions), b"row-wise-adagrad", 0.01, nan, nan, nan, nan, nan, nan, 0, 0, -1, None, 0,
        None, 0, 0, FLOAT32)
    assert library.ek_optimizer_create(handle, ctypes.byref(made), ctypes.byref(optimizer)) == 0
    layout = Layout(ctypes.sizeof(Layout), 0, INT64, offsets.data_ptr(), bags, 0)
    bag = Options(ctypes.sizeof(Options), None, -1, 0, 0, 0, 0, 1.0, 0, 0, 0)
    step = StepOptions(ctypes.sizeof(StepOptions), nan, nan, nan, nan, nan, 1.0, threads)

    def ours(at: int) -> float:
        start = time.perf_counter()
        code = library.ek_optimizer_step_bags(
            optimizer, POINTER(upstream.data_ptr()), POINTER(ids[at].data_ptr()), INT64, i64(count),
            ctypes.byref(layout), None, ctypes.byref(bag), ctypes.byref(step))
        assert code == 0
        return time.perf_counter() - start

    def torches(at: int) -> float:
        adagrad.zero_grad()
        output = theirs(ids[at], offsets)
        start = time.perf_counter()
        output.backward(upstream)
        adagrad.step()
        return time.perf_counter() - start

    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 2):
        for side, call in random.sample(list(enumerate((ours, torches))), 2):
            seconds = call(random.randrange(8))
            if turn > 1:
                times[side].append(seconds)
    mine, other = (statistics.median(side) * 1e6 for side in times)
    library.ek_optimizer_destroy(optimizer)
    library.ek_table_destroy(handle)
    print(f"| ({', '.join(map(str, shape))}) | {threads} | {mine:.0f} | {other:.0f} | {other / mine:.2f} |", flush=True)
    return other / mine >= 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--shapes", type=int, nargs="+", choices=range(len(SHAPES)), default=range(len(SHAPES)),
                        help=", ".join(f"{at}: {shape}" for at, shape in enumerate(SHAPES)))
    parser.add_argument("--work", nargs="+", choices=["sums", "steps"], default=["sums", "steps"])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    library, reading = ctypes.CDLL(options.library), loops()
    met = True
    if "sums" in options.work:
        print("| rows, dim, bags, ids a bag | threads | ours | torch | torch, our memory | ceiling | torch / ours "
              "| ceiling / ours |\n|---|---|---|---|---|---|---|---|")
        for shape, threads in itertools.product((SHAPES[at] for at in options.shapes), options.threads):
            met &= forward(library, reading, shape, threads, options.rounds)
    if "steps" in options.work:
        print("\n| rows, dim, bags, ids a bag | threads | ours, row-wise Adagrad | torch, sparse, Adagrad "
              "| torch / ours |\n|---|---|---|---|---|")
        for shape, threads in itertools.product((SHAPES[at] for at in options.shapes), options.threads):
            met &= training(library, shape, threads, options.rounds // 5)
    if options.check and not met:
        sys.exit("a bar is missed")


if __name__ == "__main__":
    main()
