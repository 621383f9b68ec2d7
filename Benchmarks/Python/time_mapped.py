"""Times rows of a mapped table beside fio's random reads, and beside the same table in memory.

Cold: the page cache forgets the file before every turn, ours and fio's. A turn of ours maps the table anew, and embeds
random ids in eight parts while a thread prefetches them, a part ahead; of fio it reads as many blocks of a row's size at random, at the depth that --depth says, by
each engine, past the page cache and through it. Ours is held against the fastest of fio's. Warm: `embed` and sums of
bags from a mapped table all of whose rows were prefetched, beside the same rows in the library's own memory, which is in
huge pages; several formats and widths, on one thread. Figures are medians of turns in random order, a warm ratio that
of the ratios turn by turn. Then what is in memory: the most
of a table that has a limit of a quarter of its bytes, and the proportional set size of two processes that map one file.
Prints Markdown tables with the bars, and with --check fails where one is missed.

    scripts/install --prefix PREFIX
    apt-get install fio
    python Benchmarks/Python/time_mapped.py --library PREFIX/lib/libembedkernel.so --check
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import queue
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from library import FLOAT32, I64, INT64, POINTER, SIZE, Layout, Options, RowsSource

# EK_PREFETCH_FINISHED, EK_BAGS_RECTANGLE
FINISHED, RECTANGLE = 0, 3
PAGE = 4096
COLD_BAR, WARM_BAR, SHARED_BAR = 0.8, 1.1, 1.05
# EK_FORMAT_..., the tensor's type, the bytes of a row of so many columns
FORMATS: dict[str, tuple[int, str, Callable[[int], int]]] = {
    "f32": (0, "F32", lambda dim: 4 * dim),
    "bf16": (2, "BF16", lambda dim: 2 * dim),
    "fbgemm8": (10, "U8", lambda dim: dim + 8),
    "q8_0": (12, "U8", lambda dim: dim // 32 * 34),
    "q4_0": (13, "U8", lambda dim: dim // 32 * 18),
}
COLD = [("f32", 128), ("f32", 1024), ("f32", 4096)]
WARM = [("f32", 64), ("f32", 256), ("f32", 1024), ("bf16", 128), ("bf16", 768), ("fbgemm8", 128), ("q8_0", 1024),
        ("q4_0", 256)]
BAG = 20


def call(code: int) -> None:
    if code != 0:
        sys.exit(f"time_mapped: the library failed with code {code}")


def make(path: Path, size: int) -> None:
    """A page for the header, and bytes that are numbers from 3e-5 to 1, and scales of such, in any format."""
    generator = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(bytes(PAGE))
        for start in range(0, size, 1 << 28):
            file.write(generator.integers(56, 64, min(1 << 28, size - start), np.uint8))
        os.fsync(file.fileno())


def forget(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Shape:
    """Rows of a format, as the file is said to have them."""

    def __init__(self, name: str, dim: int, size: int):
        self.name, self.dim = name, dim
        self.format, self.type, row_bytes = FORMATS[name]
        self.row = row_bytes(dim)
        self.rows = size // self.row

    def name_in(self, path: Path) -> None:
        """Writes the file's header anew. Rows of a page begin at pages, as fio's blocks do."""
        elements = self.row if self.type == "U8" else self.dim
        tensor = {"dtype": self.type, "shape": [self.rows, elements], "data_offsets": [0, self.rows * self.row]}
        end = path.stat().st_size - PAGE
        rest = {"dtype": "U8", "shape": [end - self.rows * self.row], "data_offsets": [self.rows * self.row, end]}
        header = json.dumps({"rows": tensor, "rest": rest}).encode().ljust(PAGE - 8)
        with path.open("r+b") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            os.fsync(file.fileno())


class Table:
    def __init__(self, library: ctypes.CDLL, shape: Shape, handle: ctypes.c_void_p):
        self.library, self.shape, self.handle = library, shape, handle

    @classmethod
    def map(cls, library: ctypes.CDLL, path: Path, shape: Shape, limit: int = 0) -> Table:
        handle = POINTER()
        call(library.ek_rows_map(str(path).encode(), b"rows", shape.format, None, I64(limit), ctypes.byref(handle)))
        return cls(library, shape, handle)

    @classmethod
    def wrap(cls, library: ctypes.CDLL, address: int, shape: Shape) -> Table:
        source = RowsSource.of(address, shape.rows * shape.row, shape.rows, shape.dim, shape.format)
        handle = POINTER()
        call(library.ek_rows_wrap(ctypes.byref(source), None, None, ctypes.byref(handle)))
        return cls(library, shape, handle)

    def prefetch(self, ids: np.ndarray) -> None:
        call(self.library.ek_rows_prefetch(
            self.handle, POINTER(ids.ctypes.data), INT64, I64(len(ids)), 0, FINISHED, None))

    def embed(self, ids: np.ndarray, out: np.ndarray) -> None:
        call(self.library.ek_rows_embed(
            POINTER(ids.ctypes.data), INT64, I64(1), I64(len(ids)), self.handle, None, 0,
            I64(0), POINTER(out.ctypes.data), FLOAT32, None))

    def bag(self, ids: np.ndarray, out: np.ndarray) -> None:
        layout = Layout(ctypes.sizeof(Layout), RECTANGLE, INT64, None, len(ids) // BAG, BAG)
        options = Options(ctypes.sizeof(Options), None, -1, 0, 0, 0, 0, 1.0, 0, 0, 0)
        call(self.library.ek_rows_bag(
            POINTER(ids.ctypes.data), INT64, I64(len(ids)), ctypes.byref(layout), self.handle,
            POINTER(out.ctypes.data), FLOAT32, None, ctypes.byref(options)))

    def destroy(self) -> None:
        self.library.ek_rows_destroy(self.handle)


def fio(path: Path, engine: str, direct: int, depth: int, block: int, count: int) -> float:
    """Blocks a second."""
    forget(path)
    size = path.stat().st_size // block * block
    result = subprocess.run(
        ["fio", "--name=rows", f"--filename={path}", "--rw=randread", f"--bs={block}", f"--iodepth={depth}",
         f"--ioengine={engine}", f"--direct={direct}", "--invalidate=1", f"--io_size={count * block}", f"--size={size}",
         "--readonly", "--randrepeat=0", "--output-format=json"], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"time_mapped: fio failed: {result.stderr.strip()}")
    return json.loads(result.stdout[result.stdout.index("{"):])["jobs"][0]["read"]["iops"]


def cold(library: ctypes.CDLL, path: Path, arguments: argparse.Namespace, missed: list[str]) -> None:
    print(f"| cold, {arguments.ids:,} ids, depth {arguments.depth}: rows a second | ours "
          "| fio io_uring, direct | fio libaio, direct | fio io_uring, page cache | ours / fastest |\n" + "|---" * 6 + "|")
    generator = np.random.default_rng()
    for name, dim in COLD:
        shape = Shape(name, dim, path.stat().st_size - PAGE)
        shape.name_in(path)
        out = np.zeros((arguments.ids, dim), np.float32)

        def ours(shape: Shape = shape, out: np.ndarray = out) -> float:
            ids = generator.integers(0, shape.rows, len(out))
            forget(path)
            table = Table.map(library, path, shape)
            parts = list(zip(np.array_split(ids, 8), np.array_split(out, 8), strict=True))
            start = time.perf_counter()
            ready: queue.Queue[None] = queue.Queue()
            ahead = threading.Thread(target=lambda: [ready.put(table.prefetch(part)) for part, _ in parts])
            ahead.start()
            for part, rows in parts:
                ready.get()
                table.embed(part, rows)
            ahead.join()
            seconds = time.perf_counter() - start
            table.destroy()
            return len(out) / seconds

        ways: dict[str, Callable[[], float]] = {"ours": ours}
        for engine, direct in (("io_uring", 1), ("libaio", 1), ("io_uring", 0)):
            ways[f"{engine} {direct}"] = lambda engine=engine, direct=direct, block=shape.row: fio(
                path, engine, direct, arguments.depth, block, arguments.ids)
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(arguments.rounds):
            for way in random.sample(list(ways), len(ways)):
                found[way].append(ways[way]())
        rates = {way: statistics.median(values) for way, values in found.items()}
        ratio = rates["ours"] / max(rate for way, rate in rates.items() if way != "ours")
        print(f"| {name}, dim {dim} | " + " | ".join(f"{rate:,.0f}" for rate in rates.values()) + f" | {ratio:.2f} |",
              flush=True)
        if ratio < COLD_BAR:
            missed.append(f"cold {name} {dim}: {ratio:.2f} of {COLD_BAR} or more")


def warm(library: ctypes.CDLL, path: Path, arguments: argparse.Namespace, missed: list[str]) -> None:
    size = min(path.stat().st_size - PAGE, arguments.warm << 20)
    memory = POINTER()
    call(library.ek_buffer_take(SIZE(size), ctypes.byref(memory)))
    copy = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(memory.value))
    copy[:] = np.fromfile(path, np.uint8, count=size, offset=PAGE)
    call(library.ek_set_threads(1))
    print(f"\n| warm, of {size >> 20} MiB, in microseconds | embed, memory | mapped | ratio | bags of {BAG}, memory "
          "| mapped | ratio |\n" + "|---" * 7 + "|")
    generator = np.random.default_rng()
    for name, dim in WARM:
        shape = Shape(name, dim, size)
        shape.name_in(path)
        forget(path)
        tables = {"memory": Table.wrap(library, memory.value, shape), "mapped": Table.map(library, path, shape)}
        tables["mapped"].prefetch(np.arange(shape.rows))
        line = f"| {name}, dim {dim} |"
        for run, share in ((Table.embed, 1), (Table.bag, BAG)):
            count = max(BAG, (32 << 20) // (4 * dim) * share // (8 if share > 1 else 1) // BAG * BAG)
            ids = [generator.integers(0, shape.rows, count) for _ in range(4)]
            outs = {way: np.zeros((count // share, dim), np.float32) for way in tables}
            seconds: dict[str, list[float]] = {way: [] for way in tables}
            for turn in range(4 * arguments.rounds + 1):
                for way in random.sample(list(tables), 2):
                    start = time.perf_counter()
                    # One output for both, as where it lies tells in its time.
                    run(tables[way], ids[turn % 4], outs["memory"])
                    if turn > 0:
                        seconds[way].append(time.perf_counter() - start)
            for way, table in tables.items():
                run(table, ids[0], outs[way])
            if not np.array_equal(outs["memory"].view(np.uint32), outs["mapped"].view(np.uint32)):
                sys.exit("time_mapped: mapped rows are not the file's")
            times = {way: statistics.median(values) for way, values in seconds.items()}
            ratio = statistics.median(map(float.__truediv__, seconds["mapped"], seconds["memory"]))
            line += f" {times['memory'] * 1e6:,.0f} | {times['mapped'] * 1e6:,.0f} | {ratio:.2f} |"
            if ratio > WARM_BAR:
                missed.append(f"warm {name} {dim}: {ratio:.2f} of {WARM_BAR} or less")
        print(line, flush=True)
        for table in tables.values():
            table.destroy()
    library.ek_buffer_release(memory)


def mapped(path: Path, field: str, process: str = "self") -> int:
    """What the system says of a process's mappings of a file, in bytes."""
    total, inside = 0, False
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        name = line.split()[0]
        if not name.endswith(":"):
            inside = line.endswith(str(path))
        elif inside and name == f"{field}:":
            total += int(line.split()[1]) << 10
    return total


def residency(library: ctypes.CDLL, path: Path, arguments: argparse.Namespace, missed: list[str]) -> None:
    size = min(path.stat().st_size - PAGE, arguments.warm << 20)
    shape, limit = Shape("f32", 1024, size), size // 4
    shape.name_in(path)
    generator = np.random.default_rng()
    table, most = Table.map(library, path, shape, limit), 0
    out = np.zeros((8_192, shape.dim), np.float32)
    for _ in range(4 * arguments.rounds):
        ids = generator.integers(0, shape.rows, len(out))
        table.prefetch(ids)
        table.embed(ids, out)
        most = max(most, mapped(path, "Rss"))
    table.destroy()
    print(f"\nresident of a table of {size >> 20} MiB with a limit of {limit >> 20} MiB: {most / 2**20:.1f} MiB at most")
    if most > limit:
        missed.append(f"resident {most} of {limit} or less")
    table = Table.map(library, path, shape)
    table.prefetch(np.arange(shape.rows))
    alone = mapped(path, "Pss")
    told, tell = os.pipe()
    done, end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(end)
        other = Table.map(library, path, shape)
        # What is inherited is given back, so that it has pages by its own mapping alone.
        table.destroy()
        other.prefetch(np.arange(shape.rows))
        os.write(tell, b"x")
        os.read(done, 1)
        os._exit(0)
    os.read(told, 1)
    ours, its = mapped(path, "Pss"), mapped(path, "Pss", str(child))
    os.close(end)
    os.waitpid(child, 0)
    table.destroy()
    print(f"proportional set size: one process {alone >> 20} MiB; two {ours >> 20} and {its >> 20} MiB")
    if (ours + its) > SHARED_BAR * alone:
        missed.append(f"shared {ours + its} of {alone}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True, help="libembedkernel.so")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the file goes")
    parser.add_argument("--gigabytes", type=float, default=3, help="of the file")
    parser.add_argument("--warm", type=int, default=512, help="MiB of it that are read warm")
    parser.add_argument("--ids", type=int, default=30_000, help="of a turn")
    parser.add_argument("--depth", type=int, default=64, help="of fio")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["cold", "warm", "residency"], nargs="*", help="some of the parts")
    parser.add_argument("--keep", action="store_true", help="keep the file, and take it where it is there already")
    parser.add_argument("--check", action="store_true", help="fail where a bar is missed")
    arguments = parser.parse_args()
    library = ctypes.CDLL(arguments.library)
    size = int(arguments.gigabytes * 2**30)
    path = arguments.folder / f"time_mapped_{size}.safetensors"
    if not (arguments.keep and path.exists()):
        make(path, size)
    missed: list[str] = []
    for part in (cold, warm, residency):
        if not arguments.only or part.__name__ in arguments.only:
            part(library, path, arguments, missed)
    if not arguments.keep:
        path.unlink()
    print("\nbars: " + ("; ".join(missed) + ": missed" if missed else "met"))
    if arguments.check and missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
