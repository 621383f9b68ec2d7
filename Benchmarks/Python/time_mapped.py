"""Times rows of a mapped table beside fio's random reads, and beside the same table in memory.

Cold: the page cache forgets the file before every turn, ours and fio's. A turn of ours maps the table anew, prefetches
random ids and embeds them; of fio it reads as many blocks of a row's size at random, at the depth that --depth says, by
each engine, past the page cache and through it. Ours is held against the fastest of fio's. Warm: `embed` of a mapped
table whose file the page cache holds, beside the same rows in memory. Figures are medians of turns in random order;
prints a Markdown table with the bars, and with --check fails where one is missed.

    scripts/install --prefix PREFIX
    apt-get install fio
    python Benchmarks/Python/time_mapped.py --library PREFIX/lib/libembedkernel.so --check
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from library import FLOAT32, I64, INT64, POINTER, RowsSource

# EK_FORMAT_OF_TENSOR, EK_PREFETCH_FINISHED
OF_TENSOR, FINISHED = -1, 0
DIM = 1024
ROW = 4 * DIM
COLD_BAR, WARM_BAR = 0.8, 1.1


def call(code: int) -> None:
    if code != 0:
        sys.exit(f"time_mapped: the library failed with code {code}")


def make(path: Path, rows: int) -> None:
    """A table of rows that begin at pages, as fio's blocks do."""
    header = json.dumps({"rows": {"dtype": "F32", "shape": [rows, DIM], "data_offsets": [0, rows * ROW]}}).encode()
    header = header.ljust(ROW - 8)
    generator = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for start in range(0, rows, 1 << 16):
            count = min(1 << 16, rows - start)
            file.write(generator.standard_normal((count, DIM), dtype=np.float32).tobytes())
        os.fsync(file.fileno())


def forget(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Table:
    def __init__(self, library: ctypes.CDLL, handle: ctypes.c_void_p):
        self.library, self.handle = library, handle

    @classmethod
    def map(cls, library: ctypes.CDLL, path: Path) -> Table:
        handle = POINTER()
        call(library.ek_rows_map(str(path).encode(), b"rows", OF_TENSOR, None, I64(0), ctypes.byref(handle)))
        return cls(library, handle)

    @classmethod
    def wrap(cls, library: ctypes.CDLL, rows: np.ndarray) -> Table:
        source = RowsSource.of(rows.ctypes.data, rows.nbytes, len(rows), DIM)
        handle = POINTER()
        call(library.ek_rows_wrap(ctypes.byref(source), None, None, ctypes.byref(handle)))
        return cls(library, handle)

    def prefetch(self, ids: np.ndarray) -> None:
        call(self.library.ek_rows_prefetch(
            self.handle, POINTER(ids.ctypes.data), INT64, I64(len(ids)), 0, FINISHED, None))

    def embed(self, ids: np.ndarray, out: np.ndarray) -> None:
        call(self.library.ek_rows_embed(
            POINTER(ids.ctypes.data), INT64, I64(1), I64(len(ids)), self.handle, None, 0,
            I64(0), POINTER(out.ctypes.data), FLOAT32, None))

    def destroy(self) -> None:
        self.library.ek_rows_destroy(self.handle)


def fio(path: Path, engine: str, direct: int, depth: int, count: int) -> float:
    """Blocks a second."""
    forget(path)
    size = path.stat().st_size // ROW * ROW
    result = subprocess.run(
        ["fio", "--name=rows", f"--filename={path}", "--rw=randread", f"--bs={ROW}", f"--iodepth={depth}",
         f"--ioengine={engine}", f"--direct={direct}", "--invalidate=1", f"--io_size={count * ROW}", f"--size={size}",
         "--readonly", "--randrepeat=0", "--output-format=json"], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"time_mapped: fio failed: {result.stderr.strip()}")
    return json.loads(result.stdout[result.stdout.index("{"):])["jobs"][0]["read"]["iops"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True, help="libembedkernel.so")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the file goes")
    parser.add_argument("--gigabytes", type=float, default=3, help="of the file")
    parser.add_argument("--ids", type=int, default=30_000, help="of a turn")
    parser.add_argument("--depth", type=int, default=64, help="of fio")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="keep the file, and take it where it is there already")
    parser.add_argument("--check", action="store_true", help="fail where a bar is missed")
    arguments = parser.parse_args()
    library = ctypes.CDLL(arguments.library)
    rows = int(arguments.gigabytes * 2**30) // ROW
    path = arguments.folder / f"time_mapped_{rows}.safetensors"
    if not (arguments.keep and path.exists()):
        make(path, rows)
    generator = np.random.default_rng()
    out = np.empty((arguments.ids, DIM), np.float32)

    def ours() -> float:
        ids = generator.integers(0, rows, arguments.ids)
        forget(path)
        table = Table.map(library, path)
        start = time.perf_counter()
        table.prefetch(ids)
        table.embed(ids, out)
        seconds = time.perf_counter() - start
        table.destroy()
        return arguments.ids / seconds

    ways: dict[str, Callable[[], float]] = {"ours": ours}
    for engine, direct in (("io_uring", 1), ("libaio", 1), ("io_uring", 0)):
        name = f"fio {engine}, {'direct' if direct else 'page cache'}"
        ways[name] = lambda engine=engine, direct=direct: fio(path, engine, direct, arguments.depth, arguments.ids)
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name in random.sample(list(ways), len(ways)):
            found[name].append(ways[name]())
    rates = {name: statistics.median(values) for name, values in found.items()}
    best = max((name for name in ways if name != "ours"), key=rates.__getitem__)

    warm = min(rows, 200_000)
    array = np.fromfile(path, np.float32, count=warm * DIM, offset=ROW).reshape(warm, DIM)
    memory, mapped = Table.wrap(library, array), Table.map(library, path)
    ids = generator.integers(0, warm, 16_384)
    out = np.empty((len(ids), DIM), np.float32)
    mapped.prefetch(np.arange(warm))
    seconds: dict[str, list[float]] = {"memory": [], "mapped": []}
    for turn in range(4 * arguments.rounds + 1):
        for name, table in random.sample([("memory", memory), ("mapped", mapped)], 2):
            start = time.perf_counter()
            table.embed(ids, out)
            if turn > 0:
                seconds[name].append(time.perf_counter() - start)
    mapped.embed(ids, out)
    if not np.array_equal(out, array[ids]):
        sys.exit("time_mapped: mapped rows are not the file's")
    times = {name: statistics.median(values) for name, values in seconds.items()}
    cold_ratio, warm_ratio = rates["ours"] / rates[best], times["mapped"] / times["memory"]
    if not arguments.keep:
        path.unlink()

    print(f"{rows:,} rows of {ROW} bytes; {arguments.ids:,} random ids a turn, depth {arguments.depth}")
    print("| cold | rows a second | of the fastest fio |\n|---|---|---|")
    for name, rate in rates.items():
        print(f"| {name} | {rate:,.0f} | {rate / rates[best]:.2f} |")
    print(f"\n| warm, {len(ids):,} rows | microseconds | of memory |\n|---|---|---|")
    for name, value in times.items():
        print(f"| {name} | {value * 1e6:,.0f} | {value / times['memory']:.2f} |")
    missed = cold_ratio < COLD_BAR or warm_ratio > WARM_BAR
    print(f"\nbars: cold {cold_ratio:.2f} of {COLD_BAR} or more, warm {warm_ratio:.2f} of {WARM_BAR} or less: "
          f"{'missed' if missed else 'met'}")
    if arguments.check and missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
