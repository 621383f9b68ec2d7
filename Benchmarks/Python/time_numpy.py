#!/usr/bin/env python3
"""Times `embedkernel.embed` beside NumPy's own `table[ids] + positions`, in turns, as a Markdown table.

    python Benchmarks/Python/time_numpy.py [--rounds N] [--threads N] [--check]

The same table, ids and processors, fp32, uniform ids, a new result in every call of both. A round times each
once, in random order, over calls that fill some milliseconds; the ratio is that of medians over the rounds.
With --check it fails where a ratio is under its bar.
"""

import argparse
import random
import statistics
import sys
import time

import embedkernel as ek
import numpy as np

# Vocabulary, batch, context, dim; threads; the least ratio.
SHAPES = [
    ((50257, 8, 4, 256), 1, 2.4),
    ((50257, 8, 1024, 768), 2, 7.0),
    ((50257, 4, 2048, 1024), 2, 6.0),
]


def seconds_a_call(function, calls):
    begun = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - begun) / calls


def calls_for(function, seconds=0.02):
    for _ in range(3):
        function()
    return max(1, int(seconds / seconds_a_call(function, 3)))


def measured(shape, threads, rounds):
    vocabulary, batch, context, dim = shape
    rng = np.random.default_rng(1)
    table = rng.standard_normal((vocabulary, dim), dtype=np.float32)
    positions = rng.standard_normal((context, dim), dtype=np.float32)
    # Several batches, so that rows are not warm from the call before.
    ids = [rng.integers(0, vocabulary, (batch, context)) for _ in range(8)]
    turn = iter(range(10**12))
    forms = {
        "numpy": lambda: table[ids[next(turn) & 7]] + positions,
        "embedkernel": lambda: ek.embed(table, ids[next(turn) & 7], positions, threads=threads),
    }
    assert np.array_equal(ek.embed(table, ids[0], positions), table[ids[0]] + positions)
    calls = {name: calls_for(form) for name, form in forms.items()}
    times = {name: [] for name in forms}
    for _ in range(rounds):
        order = list(forms)
        random.shuffle(order)
        for name in order:
            times[name].append(seconds_a_call(forms[name], calls[name]))
    # What the loop itself takes.
    empty = min(seconds_a_call(lambda: ids[next(turn) & 7], 100000) for _ in range(5))
    medians = {name: statistics.median(found) - empty for name, found in times.items()}
    least = {name: min(found) - empty for name, found in times.items()}
    return medians, least


def text(seconds):
    return f"{seconds * 1e6:.3g} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, help="instead of each row's own")
    parser.add_argument("--check", action="store_true", help="fail where a ratio is under its bar")
    arguments = parser.parse_args()
    print(f"NumPy {np.__version__}, embedkernel {ek.__version__}; medians of {arguments.rounds} rounds in turns\n")
    print("| vocabulary, batch, context, dim | threads | `table[ids] + positions` | `embed` | ratio | of minima | bar |")
    print("|---|---|---|---|---|---|---|")
    missed = False
    for shape, own_threads, bar in SHAPES:
        threads = own_threads if arguments.threads is None else arguments.threads
        medians, least = measured(shape, threads, arguments.rounds)
        ratio = medians["numpy"] / medians["embedkernel"]
        missed |= ratio < bar
        print(
            f"| {', '.join(map(str, shape))} | {threads} | {text(medians['numpy'])} "
            f"| {text(medians['embedkernel'])} | {ratio:.2f} "
            f"| {least['numpy'] / least['embedkernel']:.2f} | {bar} |"
        )
    return 1 if missed and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
