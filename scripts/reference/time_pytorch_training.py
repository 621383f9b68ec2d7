#!/usr/bin/env python3
"""Times PyTorch's training step of an input embedding beside this library's, as ratios.

    python3 scripts/reference/time_pytorch_training.py --shape gpt2 --rounds 5

Token plus learned position embedding, forward, backward and step, as PyTorch users write them. Each
round times every PyTorch form and then runs the benchmark executable once, so that drift of the machine
falls on both; figures are medians over rounds. Needs the torch of fixtures.txt and a release build
of embed-benchmarks, or --binary. Figures hold only on an idle machine.
"""

import argparse
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from benchlib import reports  # noqa: E402  (of the folder that was just added)

SHAPES = {"gpt2": (50_257, 8, 1_024, 768), "seed": (50_257, 8, 4, 256)}
RATE = 1e-7
BATCHES = 8
RULES = ("sgd", "adagrad", "adamw-lazy", "adamw-exact-lazy", "row-wise-adagrad")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="gpt2")
    parser.add_argument("--ids", choices=("uniform", "zipf"), default="uniform")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2, help="of one form in a round")
    parser.add_argument("--binary", type=pathlib.Path)
    parser.add_argument("--only", help="regular expression over the forms' names")
    return parser.parse_args()


class Model:
    """The two tables, and batches of ids to rotate over as the benchmarks do."""

    def __init__(self, shape, distribution):
        self.vocabulary, self.batch, self.context, self.dim = shape
        generator = torch.Generator().manual_seed(1)
        self.tokens = torch.rand(self.vocabulary, self.dim, generator=generator) * 2 - 1
        self.positions = torch.rand(self.context, self.dim, generator=generator) * 2 - 1
        size = (BATCHES, self.batch, self.context)
        if distribution == "uniform":
            self.ids = torch.randint(self.vocabulary, size, generator=generator)
        else:
            weights = torch.arange(1, self.vocabulary + 1, dtype=torch.float64) ** -1.1
            drawn = torch.multinomial(
                weights, BATCHES * self.batch * self.context, True, generator=generator
            )
            self.ids = drawn.reshape(size)
        self.gradient = torch.rand(self.batch, self.context, self.dim, generator=generator) * 2 - 1
        self.at = 0

    def next_ids(self):
        self.at = (self.at + 1) % BATCHES
        return self.ids[self.at]


def training(model, sparse, make_optimizers):
    """forward, backward, step and cleared gradients, with parameters of their own."""
    tokens = torch.nn.Parameter(model.tokens.clone())
    positions = torch.nn.Parameter(model.positions.clone())
    optimizers = make_optimizers(tokens, positions)

    def step():
        output = torch.nn.functional.embedding(model.next_ids(), tokens, sparse=sparse) + positions
        output.backward(model.gradient)
        if not optimizers and sparse:
            tokens.grad.coalesce()
        for optimizer in optimizers:
            optimizer.step()
        tokens.grad = positions.grad = None

    return step


def index_add(model):
    buffer = torch.zeros(model.vocabulary, model.dim)
    rows = model.gradient.reshape(-1, model.dim)
    return lambda: buffer.index_add_(0, model.next_ids().reshape(-1), rows)


def uncoalesced_sgd(model):
    """Backward and step alone: the output gradient's rows are scattered into the table."""
    table = model.tokens.clone()
    rows = model.gradient.reshape(-1, model.dim)

    def step():
        ids = model.next_ids().reshape(1, -1)
        table.add_(
            torch.sparse_coo_tensor(ids, rows, table.shape, check_invariants=False), alpha=-RATE
        )

    return step


def sparse_adam_step(model):
    table = torch.nn.Parameter(model.tokens.clone())
    optimizer = torch.optim.SparseAdam([table], lr=RATE)
    rows = model.gradient.reshape(-1, model.dim)

    def step():
        ids = model.next_ids().reshape(1, -1)
        table.grad = torch.sparse_coo_tensor(ids, rows, table.shape, check_invariants=False)
        optimizer.step()

    return step


def forms(model):
    """name -> (what makes PyTorch's step, the benchmarks beside it); nothing is made yet"""
    optim = torch.optim

    def sgd(t, p):
        return [optim.SGD([t, p], lr=RATE)]

    def adagrad(t, p):
        return [optim.Adagrad([t, p], lr=RATE)]

    def sparse_adam(t, p):
        return [optim.SparseAdam([t], lr=RATE), optim.Adam([p], lr=RATE, fused=True)]

    def adam(t, p):
        return [optim.Adam([t, p], lr=RATE, fused=True)]

    def none(t, p):
        return []

    return {
        "forward + sparse backward": (
            lambda: training(model, True, none), ["forward", "backward/sparse"]
        ),
        "forward + dense backward": (
            lambda: training(model, False, none), ["forward", "backward/dense"]
        ),
        "index_add_": (lambda: index_add(model), ["backward/dense"]),
        "SGD": (lambda: training(model, True, sgd), ["sgd/training"]),
        "Adagrad": (lambda: training(model, True, adagrad), ["adagrad/training"]),
        "Adagrad, row-wise Adagrad": (None, ["row-wise-adagrad/training"]),
        "SparseAdam, lazy AdamW": (
            lambda: training(model, True, sparse_adam), ["adamw-lazy/training"]
        ),
        "SparseAdam, exact-lazy AdamW": (None, ["adamw-exact-lazy/training"]),
        "dense fused Adam, lazy AdamW": (
            lambda: training(model, False, adam), ["adamw-lazy/training"]
        ),
        "dense fused Adam, exact-lazy AdamW": (None, ["adamw-exact-lazy/training"]),
        "SGD step alone, not coalesced": (lambda: uncoalesced_sgd(model), ["sgd/fused"]),
        "SparseAdam step alone": (lambda: sparse_adam_step(model), ["adamw-lazy/fused"]),
    }


def timed(step, seconds):
    for _ in range(3):
        step()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def workload_name(shape, distribution):
    vocabulary, batch, context, dim = shape
    return f"V{vocabulary}_B{batch}_T{context}_D{dim}" + ("/zipf" if distribution == "zipf" else "")


def benchmark_names(arguments, binary):
    """Short name -> the benchmark's full name, where there is one.

    `default` chooses its threads, as PyTorch does; the others are told.
    """
    listed = subprocess.run(
        [str(binary), "--benchmark_list_tests"], check=True, capture_output=True, text=True
    ).stdout.split()
    listed = {name.removesuffix("/real_time") for name in listed}
    workload = workload_name(SHAPES[arguments.shape], arguments.ids)
    threads = f"threads:{arguments.threads}"
    patterns = {
        "forward": f"forward/%s/f32/{workload}/{threads}",
        "backward/sparse": f"backward/%s/f32/{workload}/row_sparse/{threads}",
        "backward/dense": f"backward/%s/f32/{workload}/dense/{threads}",
    }
    for rule in RULES:
        for form in ("training", "fused"):
            patterns[f"{rule}/{form}"] = f"step/{rule}/%s/f32/{workload}/{form}/{threads}"
    names = {}
    for short, pattern in patterns.items():
        for kind in ("default", "auto"):
            if pattern % kind in listed:
                names.setdefault(short, pattern % kind)
    return names


def benchmark(binary, names, seconds):
    pattern = "^(" + "|".join(names) + ")/real_time$"
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.json"
        subprocess.run(
            [str(binary), f"--benchmark_filter={pattern}", f"--benchmark_min_time={seconds}",
             f"--benchmark_out={report}", "--benchmark_out_format=json"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        found = reports.read(reports.load(report), report).tell()
    return {
        name.removesuffix("/real_time"): times[0] / 1e9 for name, times in found.times.items()
    }


def shown(seconds):
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    binary = arguments.binary or ROOT / ".build/release/embed-benchmarks"
    chosen = {
        name: form
        for name, form in forms(Model(SHAPES[arguments.shape], arguments.ids)).items()
        if not arguments.only or re.search(arguments.only, name)
    }
    names = benchmark_names(arguments, binary)
    wanted = {part for _, parts in chosen.values() for part in parts if part in names}
    steps = {name: make() for name, (make, _) in chosen.items() if make}
    theirs = {name: [] for name in steps}
    ours = {part: [] for part in wanted}
    for _ in range(arguments.rounds):
        for name in theirs:
            theirs[name].append(timed(steps[name], arguments.seconds))
        found = benchmark(binary, [names[part] for part in wanted], arguments.seconds)
        for part in wanted:
            if names[part] in found:
                ours[part].append(found[names[part]])
    print(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.rounds} rounds, "
          f"{workload_name(SHAPES[arguments.shape], arguments.ids)}\n")
    print("| work | PyTorch | quickest | ours | quickest | ratio of medians |")
    print("|---|---|---|---|---|---|")
    # A form of ours without one of PyTorch's stands beside the one before it.
    last = None
    for name, (_, parts) in chosen.items():
        last = theirs.get(name, last)
        if last is None or not all(ours.get(part) for part in parts):
            continue
        median = sum(statistics.median(ours[part]) for part in parts)
        quickest = sum(min(ours[part]) for part in parts)
        print(f"| {name} | {shown(statistics.median(last))} | {shown(min(last))} "
              f"| {shown(median)} | {shown(quickest)} | {statistics.median(last) / median:.2f} |")


if __name__ == "__main__":
    main()
