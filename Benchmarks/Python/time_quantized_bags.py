"""Times bags of quantised rows beside FBGEMM's, and bags of any shape beside PyTorch's.

FBGEMM is measured twice: as its inference module comes (`IntNBitTableBatchedEmbeddingBagsCodegen`, which spends one
thread on one table however many there are), and as PyTorch calls its kernels (`quantized::embedding_bag_*`, which
splits bags over threads), on the very bytes that ours reads. PyTorch's floats are measured in its own memory and in
ours, which is in huge pages. All ways of a shape run in turns of random order in one process; figures are medians.

    python Benchmarks/Python/time_quantized_bags.py --library PREFIX/lib/libembedkernel.so
    python Benchmarks/Python/time_quantized_bags.py --library PREFIX/lib/libembedkernel.so --sweep cache large

Takes numpy, torch 2.13 and fbgemm-gpu-cpu 1.8.0. A table of 8 GB, --sweep large, takes 12 GB of memory.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import sys

import numpy as np
import time_bags
import torch
from library import FLOAT32, I64, INT64, POINTER, SIZE, Layout, Options, RowsSource
from time_bags import Call, measure
from torch.nn import functional

SHAPES = time_bags.SHAPES
# EK_FORMAT_..., and how many times FBGEMM's speed is asked for on one thread and on two.
FORMATS = {"fp32": (0, 0, 0), "fp16": (1, 1.3, 2), "int8": (10, 1.5, 2.5), "int4": (11, 2, 3.5)}


class Rows:
    """A table in one format, in the library's memory."""

    def __init__(self, library: ctypes.CDLL, name: str, rows: int, dim: int):
        self.library, self.name, self.rows, self.dim = library, name, rows, dim
        row_bytes = {"fp32": 4 * dim, "fp16": 2 * dim, "int8": dim + 8, "int4": (dim + 1) // 2 + 4}[name]
        self.memory = POINTER()
        if library.ek_buffer_take(SIZE(rows * row_bytes), ctypes.byref(self.memory)) != 0:
            raise MemoryError(f"{rows * row_bytes} bytes")
        flat = np.ctypeslib.as_array((ctypes.c_uint8 * (rows * row_bytes)).from_address(self.memory.value))
        self.bytes = torch.from_numpy(flat.reshape(rows, row_bytes))
        # Every byte 60 is a number near 1 in any of the formats, and its scale and bias.
        self.bytes.fill_(60)
        source = RowsSource.of(self.memory.value, rows * row_bytes, rows, dim, FORMATS[name][0])
        self.handle = POINTER()
        if library.ek_rows_wrap(ctypes.byref(source), None, None, ctypes.byref(self.handle)) != 0:
            raise RuntimeError("ek_rows_wrap failed")

    def close(self) -> None:
        self.library.ek_rows_destroy(self.handle)
        self.bytes = None
        self.library.ek_buffer_release(self.memory)


class Bags:
    """Some sets of ids in bags, and where their sums go."""

    sets = 4

    def __init__(self, rows: int, dim: int, bags: int, length: int, zipf: bool = False):
        self.rows, self.dim, self.bags, self.length = rows, dim, bags, length
        generator = np.random.default_rng(1)
        count = bags * length
        self.ids = []
        for _ in range(self.sets):
            # Zipf's rank r is row r * a large prime mod rows: frequent rows are not neighbours.
            drawn = generator.zipf(1.1, count) if zipf else generator.integers(0, rows, count)
            self.ids.append(torch.from_numpy(drawn % rows * 2_654_435_761 % rows if zipf else drawn))
        self.offsets = torch.arange(0, count, length)
        self.output = torch.empty(bags, dim)

    def ours(self, table: Rows, threads: int) -> Call:
        layout = Layout(ctypes.sizeof(Layout), 0, INT64, self.offsets.data_ptr(), self.bags, 0)
        options = Options(ctypes.sizeof(Options), None, -1, 0, 0, 0, threads, 1.0, 0, 0, 0)
        run = table.library.ek_rows_bag
        arguments = [
            (POINTER(ids.data_ptr()), INT64, I64(len(ids)), ctypes.byref(layout), table.handle,
             POINTER(self.output.data_ptr()), FLOAT32, None, ctypes.byref(options))
            for ids in self.ids
        ]

        def call(at: int) -> None:
            if run(*arguments[at]) != 0:
                raise RuntimeError("ek_rows_bag failed")

        return call

    def torch(self, table: torch.Tensor) -> Call:
        return lambda at: functional.embedding_bag(self.ids[at], table, self.offsets, mode="sum")

    def quantized(self, table: Rows) -> Call:
        """PyTorch's call of FBGEMM's kernel."""
        run = (torch.ops.quantized.embedding_bag_byte_rowwise_offsets if table.name == "int8" else
               torch.ops.quantized.embedding_bag_4bit_rowwise_offsets)
        return lambda at: run(table.bytes, self.ids[at], self.offsets)

    def module(self, name: str) -> Call:
        """FBGEMM's own module."""
        from fbgemm_gpu.split_embedding_configs import SparseType
        from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation, PoolingMode
        from fbgemm_gpu.split_table_batched_embeddings_ops_inference import IntNBitTableBatchedEmbeddingBagsCodegen

        kind = {"fp32": SparseType.FP32, "fp16": SparseType.FP16, "int8": SparseType.INT8, "int4": SparseType.INT4}
        module = IntNBitTableBatchedEmbeddingBagsCodegen(
            [("table", self.rows, self.dim, kind[name], EmbeddingLocation.HOST)], device="cpu",
            pooling_mode=PoolingMode.SUM, output_dtype=SparseType.FP32)
        module.initialize_weights()
        module.split_embedding_weights()[0][0].fill_(60)
        ids = [set_of_ids.int() for set_of_ids in self.ids]
        offsets = torch.arange(0, self.bags * self.length + 1, self.length, dtype=torch.int32)
        return lambda at: module(ids[at], offsets)


def floats(table: Rows) -> torch.Tensor:
    return table.bytes.view(torch.float32)


def peers(library: ctypes.CDLL, rounds: int, threads: list[int], shapes: list[int], formats: list[str]) -> None:
    """The table of formats, a line for each shape and number of threads."""
    print("| rows, dim, bags, ids a bag | threads | format | ours | FBGEMM | FBGEMM by PyTorch | PyTorch "
          "| PyTorch, our memory | fastest other / ours | asked of FBGEMM |\n|" + "---|" * 10)
    for rows, dim, count, length in (SHAPES[at] for at in shapes):
        bags = Bags(rows, dim, count, length)
        for name in formats:
            asked = FORMATS[name][1:]
            table = Rows(library, name, rows, dim)
            module = bags.module(name)
            plain = torch.full((rows, dim), 0.011) if name == "fp32" else None
            for number in threads:
                torch.set_num_threads(number)
                calls = {"ours": bags.ours(table, number), "module": module}
                if name == "fp32":
                    calls |= {"torch": bags.torch(plain), "same": bags.torch(floats(table))}
                elif name != "fp16":
                    calls["quantized"] = bags.quantized(table)
                    calls["ours"](0)
                    if not torch.allclose(bags.output, calls["quantized"](0), rtol=1e-4):
                        sys.exit(f"{name}: other sums than FBGEMM's")
                times = measure(calls, bags.sets, rounds)
                ours = times.pop("ours")
                cells = " | ".join(f"{times[key]:.0f}" if key in times else "" for key in
                                   ("module", "quantized", "torch", "same"))
                target = f"{times['module'] / ours:.2f} of {asked[number - 1]}" if asked[0] and number <= 2 else ""
                print(f"| ({rows}, {dim}, {count}, {length}) | {number} | {name} | {ours:.0f} | {cells} "
                      f"| {min(times.values()) / ours:.2f} | {target} |", flush=True)
            del module, plain
            table.close()


def sweep(library: ctypes.CDLL, rounds: int, threads: list[int], kinds: list[str], formats: list[str],
          dims: list[int]) -> None:
    """The time of others over ours, over dims, lengths of bags, and how ids are drawn."""
    lengths = (1, 20, 200)
    print("| table | ids | threads | format | ids a bag | " + " | ".join(f"D {dim}" for dim in dims) + " |\n|"
          + "---|" * (5 + len(dims)))
    for kind, name in itertools.product(kinds, formats):
        results: dict[tuple[str, int, int], list[str]] = {}
        for dim in dims:
            size = {"cache": 1 << 20, "medium": 512 << 20, "large": 8 << 30}[kind]
            # So many bytes, of floats: quantised tables have as many rows.
            rows = size // (4 * dim)
            table = Rows(library, name, rows, dim)
            for zipf, length in itertools.product((False, True), lengths):
                # Some 20 MB of floats, so that a call takes about a millisecond.
                bags = Bags(rows, dim, max(16, min(8192, (20 << 20) // (4 * dim * length))), length, zipf)
                for number in threads:
                    torch.set_num_threads(number)
                    other = bags.torch(floats(table)) if name == "fp32" else bags.quantized(table)
                    times = measure({"ours": bags.ours(table, number), "other": other}, bags.sets, rounds)
                    results.setdefault(("Zipf" if zipf else "uniform", number, length), []).append(
                        f"{times['other'] / times['ours']:.2f}")
            table.close()
        for (ids, number, length), cells in results.items():
            print(f"| {kind} | {ids} | {number} | {name} | {length} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sweep", nargs="+", choices=["cache", "medium", "large"], metavar="TABLE",
                        help="tables of 1 MB, of 512 MB and of 8 GB of floats")
    parser.add_argument("--formats", nargs="+", choices=list(FORMATS), help="by default all, of the sweep all but fp16")
    parser.add_argument("--dims", type=int, nargs="+", default=[32, 64, 128, 256, 512, 1024], help="of the sweep")
    parser.add_argument("--shapes", type=int, nargs="+", choices=range(len(SHAPES)), default=range(len(SHAPES)),
                        help=", ".join(f"{at}: {shape}" for at, shape in enumerate(SHAPES)))
    options = parser.parse_args()
    library = ctypes.CDLL(options.library)
    if options.sweep:
        formats = options.formats or ["fp32", "int8", "int4"]
        if "fp16" in formats:
            parser.error("--sweep has no fp16: PyTorch has no kernel of FBGEMM's for it")
        sweep(library, options.rounds, options.threads, options.sweep, formats, options.dims)
    else:
        peers(library, options.rounds, options.threads, options.shapes, options.formats or list(FORMATS))


if __name__ == "__main__":
    main()
