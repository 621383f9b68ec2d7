"""Times `embedkernel.torch` beside PyTorch: `torch.nn.Embedding` and the addition of positions.

All cases of a shape run in turns of random order in one process, short ones of many, so that whatever else the
machine does meets all of them; figures are medians of the turns, ratios are PyTorch's median over ours. Both make
a new output in every call. Prints a Markdown table with the bar of each row, and with --check fails where one is
missed.

    python Benchmarks/Python/time_torch.py --check
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

import embedkernel.torch as ek

Call = Callable[[], object]


@dataclass
class Row:
    """A line of the table: our way of doing a work, and PyTorch's."""

    shape: str
    threads: int
    work: str
    ours: Call
    theirs: Call
    bar: float | None
    times: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))

    @property
    def ratio(self) -> float:
        return statistics.median(self.times[1]) / statistics.median(self.times[0])


def timed(call: Call, repetitions: int) -> float:
    """Seconds a call."""
    start = time.perf_counter()
    for _ in range(repetitions):
        call()
    return (time.perf_counter() - start) / repetitions


def measure(rows: list[Row], rounds: int) -> None:
    """Fills in the rows' times, in turns of some 50 microseconds or one call, each after a call to warm up."""
    repetitions = {}
    for index, row in enumerate(rows):
        for side, call in enumerate((row.ours, row.theirs)):
            for _ in range(3):
                call()
            repetitions[index, side] = max(1, min(10, int(50e-6 / max(timed(call, 3), 1e-7))))
    order = list(repetitions)
    gc.disable()
    for _ in range(rounds):
        random.shuffle(order)
        for index, side in order:
            row = rows[index]
            call = (row.ours, row.theirs)[side]
            call()
            row.times[side].append(timed(call, repetitions[index, side]))
    gc.enable()


def seed_rows() -> list[Row]:
    """(50257, 8, 4, 256) on one thread."""
    vocabulary, batch, context, dim = 50_257, 8, 4, 256
    ids = torch.randint(0, vocabulary, (batch, context))
    theirs = nn.Embedding(vocabulary, dim)
    added = nn.Parameter(torch.randn(context, dim))
    layer = ek.InputEmbedding(vocabulary, dim, context)
    with torch.no_grad():
        layer.tokens.weight.copy_(theirs.weight)
        layer.positions.weight.copy_(added)
    frozen_tokens, frozen_positions = layer.tokens.weight.detach(), layer.positions.weight.detach()
    tokens, positions = layer.tokens.weight, layer.positions.weight
    operator = torch.ops.embedkernel.embed_forward.default
    upstream = torch.randn(batch, context, dim)
    sparse_theirs = nn.Embedding(vocabulary, dim, sparse=True)
    sparse_ours = ek.InputEmbedding(vocabulary, dim, context, sparse=True)

    def without(call: Call) -> Call:
        def run() -> object:
            with torch.no_grad():
                return call()

        return run

    def trained(call: Callable[[], torch.Tensor], parameters: list[nn.Parameter]) -> Call:
        def run() -> None:
            for parameter in parameters:
                parameter.grad = None
            call().backward(upstream)

        return run

    assert torch.equal(layer(ids), theirs(ids) + added)
    frozen_theirs = nn.Embedding.from_pretrained(theirs.weight.detach())
    frozen_added = added.detach()
    frozen_layer = ek.InputEmbedding(vocabulary, dim, context).requires_grad_(False)
    text = f"{vocabulary}, {batch}, {context}, {dim}"
    return [
        Row(text, 1, "operator", lambda: operator(ids, frozen_tokens, frozen_positions),
            lambda: frozen_theirs(ids) + frozen_added, 2.0),
        Row(text, 1, "function, with gradients", lambda: ek.embed(ids, tokens, positions),
            lambda: theirs(ids) + added, 1.7),
        Row(text, 1, "module", lambda: frozen_layer(ids), lambda: frozen_theirs(ids) + frozen_added, 1.3),
        Row(text, 1, "module, with gradients", lambda: layer(ids), lambda: theirs(ids) + added, 1.0),
        Row(text, 1, "module, no_grad", without(lambda: layer(ids)), without(lambda: theirs(ids) + added), None),
        Row(text, 1, "module, forward and backward, sparse",
            trained(lambda: sparse_ours(ids), list(sparse_ours.parameters())),
            trained(lambda: sparse_theirs(ids) + added, [*sparse_theirs.parameters(), added]), None),
    ]


def large_rows(vocabulary: int, batch: int, context: int, dim: int, bar: float) -> list[Row]:
    """A large shape on two threads."""
    ids = torch.randint(0, vocabulary, (batch, context))
    theirs = nn.Embedding(vocabulary, dim)
    added = nn.Parameter(torch.randn(context, dim))
    layer = ek.InputEmbedding(vocabulary, dim, context)
    with torch.no_grad():
        layer.tokens.weight.copy_(theirs.weight)
        layer.positions.weight.copy_(added)
    upstream = torch.randn(batch, context, dim)
    # Of the buffers that outputs come from, whose pages are there.
    written, read = layer(ids).detach(), layer(ids).detach()

    def trained(call: Callable[[], torch.Tensor], parameters: list[nn.Parameter]) -> Call:
        def run() -> None:
            for parameter in parameters:
                parameter.grad = None
            call().backward(upstream)

        return run

    assert torch.equal(layer(ids), theirs(ids) + added)
    text = f"{vocabulary}, {batch}, {context}, {dim}"
    return [
        # What memory allows: the same bytes copied, where no page is fresh.
        Row(text, 2, "module, against a copy of as many bytes", lambda: layer(ids), lambda: written.copy_(read), None),
        Row(text, 2, "module, with gradients", lambda: layer(ids), lambda: theirs(ids) + added, bar),
        Row(text, 2, "module, forward and backward, dense", trained(lambda: layer(ids), list(layer.parameters())),
            trained(lambda: theirs(ids) + added, [*theirs.parameters(), added]), None),
    ]


def unit(seconds: float) -> str:
    return f"{seconds * 1e6:.2f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21, help="turns of a case at large shapes; 20 times as many at the small one")
    parser.add_argument("--shapes", default="seed,gpt2,wide", help="which of seed, gpt2 and wide")
    parser.add_argument("--check", action="store_true", help="fail where a bar is missed")
    parser.add_argument("--output", help="where the table goes too")
    arguments = parser.parse_args()
    random.seed(1)
    torch.manual_seed(1)
    makers = {
        "seed": (1, seed_rows),
        "gpt2": (2, lambda: large_rows(50_257, 8, 1_024, 768, 2.1)),
        "wide": (2, lambda: large_rows(50_257, 4, 2_048, 1_024, 13.0)),
    }
    rows: list[Row] = []
    for name in arguments.shapes.split(","):
        threads, make = makers[name]
        torch.set_num_threads(threads)
        made = make()
        measure(made, arguments.rounds * (20 if name == "seed" else 1))
        # Only the figures are kept: the next shape needs the memory.
        rows += [Row(r.shape, r.threads, r.work, lambda: None, lambda: None, r.bar, r.times) for r in made]
        del made
        gc.collect()
    lines = [
        f"PyTorch {torch.__version__}, {os.cpu_count()} CPUs, medians of {arguments.rounds} turns ({20 * arguments.rounds} at the small shape)",
        "",
        "| vocabulary, batch, context, dim | threads | work | EmbedKernel | `nn.Embedding` + add | ratio | bar |",
        "|---|---|---|---|---|---|---|",
    ]
    missed = []
    for row in rows:
        ours, theirs = (statistics.median(times) for times in row.times)
        bar = "" if row.bar is None else f"{row.bar:g}"
        lines.append(
            f"| {row.shape} | {row.threads} | {row.work} | {unit(ours)} | {unit(theirs)} | {row.ratio:.2f} | {bar} |"
        )
        if row.bar is not None and row.ratio < row.bar:
            missed.append(f"{row.work} at ({row.shape}): {row.ratio:.2f} where {row.bar:g} is asked for")
    text = "\n".join(lines)
    print(text)
    if arguments.output:
        with open(arguments.output, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    if arguments.check and missed:
        sys.exit("\n".join(missed))


if __name__ == "__main__":
    main()
