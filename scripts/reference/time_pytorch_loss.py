#!/usr/bin/env python3
"""Times the softmax cross-entropy of a table of outputs and its gradients beside PyTorch's, with peak memory.

    python3 scripts/reference/time_pytorch_loss.py --threads 2 --rounds 5

2,048 hidden states of dim 256 against 50,257 rows. PyTorch's forms: `whole` (linear and cross_entropy, all
logits at once) and `chunked` (512 rows at a time by the same functions, whose gradients are taken chunk
by chunk, as memory-saving training loops do). Each round times every form once and runs the benchmark
executable once; figures are medians. Peak memory of a form is what its process takes beyond inputs and
gradients. Needs the torch of fixtures.txt and a release build of embed-benchmarks, or --binary.
"""

import argparse
import json
import multiprocessing
import pathlib
import resource
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ROWS, VOCABULARY, DIM, CHUNK = 2_048, 50_257, 256, 512


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--binary", type=pathlib.Path)
    return parser.parse_args()


def serve(pipe, chunk, threads):
    """Computes a loss each time it is asked, and tells its seconds and peak memory."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(1)
    table = (torch.randn(VOCABULARY, DIM, generator=generator) * 0.02).requires_grad_()
    hidden = torch.randn(ROWS, DIM, generator=generator).requires_grad_()
    targets = 31 * torch.arange(ROWS) % VOCABULARY
    table.grad, hidden.grad = torch.zeros_like(table), torch.zeros_like(hidden)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while pipe.recv():
        start = time.perf_counter()
        table.grad.zero_()
        hidden.grad.zero_()
        for first in range(0, ROWS, chunk):
            part = slice(first, first + chunk)
            logits = F.linear(hidden[part], table)
            loss = F.cross_entropy(logits, targets[part], reduction="sum") / ROWS
            loss.backward()
            del logits, loss
        seconds = time.perf_counter() - start
        pipe.send((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))


def ours(binary, threads):
    """Milliseconds and bytes of one call."""
    name = f"training/loss/auto/f32/V{VOCABULARY}_N{ROWS}_D{DIM}_C{CHUNK}/threads:{threads}"
    run = subprocess.run(
        [binary, f"--benchmark_filter=^{name}/", "--benchmark_format=json", "--benchmark_min_time=0.5"],
        capture_output=True, text=True, check=True,
    )
    (found,) = json.loads(run.stdout)["benchmarks"]
    return found["real_time"], found["memory_bytes"]


def main():
    arguments = parse_arguments()
    binary = arguments.binary or ROOT / ".build/release/embed-benchmarks"
    context = multiprocessing.get_context("spawn")
    sides = {}
    for name, chunk in (("PyTorch, whole", ROWS), ("PyTorch, chunked", CHUNK)):
        here, there = context.Pipe()
        context.Process(target=serve, args=(there, chunk, arguments.threads), daemon=True).start()
        here.send(True)
        here.recv()
        sides[name] = (here, [], [])
    times, memory = [], 0
    for _ in range(arguments.rounds):
        for here, seconds, peaks in sides.values():
            here.send(True)
            taken, peak = here.recv()
            seconds.append(taken * 1e3)
            peaks.append(peak)
        taken, memory = ours(binary, arguments.threads)
        times.append(taken)
    mine = statistics.median(times)
    print("| side | median | ratio | beyond inputs and gradients |")
    print("|---|---|---|---|")
    print(f"| ours, by {CHUNK} rows | {mine:.0f} ms | | {memory / 1e6:.0f} MB |")
    for name, (here, seconds, peaks) in sides.items():
        here.send(False)
        median = statistics.median(seconds)
        print(f"| {name} | {median:.0f} ms | {median / mine:.2f} | {max(peaks) * 1024 / 1e6:.0f} MB |")


if __name__ == "__main__":
    main()
