"""The pool of results, DLPack, threads and child processes."""

import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import time

import embedkernel as ek
import numpy as np
import pytest
from reference import BFLOAT16, table_of

# MARK: The pool


@pytest.fixture
def pool():
    gc.collect()
    ek.pool.clear()
    limit = ek.pool.limit()
    yield ek.pool
    ek.pool.set_limit(limit)
    ek.pool.clear()


def test_large_results_are_given_back(pool, rng):
    table, ids = table_of(rng, 50, 256), rng.integers(0, 50, (8, 256))
    before = pool.info()
    result = ek.embed(table, ids)
    assert pool.info().in_use - before.in_use >= result.nbytes
    assert result.ctypes.data % 64 == 0 and result.flags.c_contiguous and result.flags.writeable
    view, address = result[2:, 5], result.ctypes.data
    del result
    assert pool.info().in_use > before.in_use, "a view keeps the memory"
    expected = table[ids][2:, 5]
    ek.embed(table, ids[::-1].copy())
    assert np.array_equal(view, expected)
    del view
    assert pool.info().in_use == before.in_use and pool.held() >= 8 * 256 * 256 * 4
    again = ek.embed(table, ids)
    assert again.ctypes.data == address or pool.info().reused > before.reused


def test_small_results_are_numpys(pool, rng):
    before = pool.info().taken
    ek.embed(table_of(rng, 5, 8), [1, 2])
    assert pool.info().taken == before


def test_limit_and_clear(pool, rng):
    table, ids = table_of(rng, 50, 256), rng.integers(0, 50, (8, 256))
    pool.set_limit(0)
    assert pool.limit() == 0
    ek.embed(table, ids)
    assert pool.held() == 0
    pool.set_limit(1 << 30)
    ek.embed(table, ids)
    held = pool.held()
    assert held > 0 and pool.clear() == held and pool.held() == 0
    with pytest.raises(ValueError):
        pool.set_limit(-1)


def test_nothing_leaks(pool, rng):
    table, ids = table_of(rng, 50, 256), rng.integers(0, 50, (8, 256))
    references = sys.getrefcount(table), sys.getrefcount(ids)
    for _ in range(200):
        ek.embed(table, ids)
        with pytest.raises(IndexError):
            ek.embed(table, ids + 50)
        ek.backward(np.ones((8, 256, 256), np.float32), ids, 50)
        ek.optim.SGD(table, 0.0)
        ek.from_dlpack(table)
    gc.collect()
    assert (sys.getrefcount(table), sys.getrefcount(ids)) == references
    assert pool.info().in_use == 0


# MARK: DLPack


class Foreign:
    """An array of another library, which shows itself by DLPack alone."""

    def __init__(self, array, versioned=True):
        self.array, self.versioned = array, versioned

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, **options):
        if not self.versioned:
            if options:
                raise TypeError("max_version is not known")
            return ek.dlpack(self.array).__dlpack__()
        return ek.dlpack(self.array).__dlpack__(**options)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, BFLOAT16])
@pytest.mark.parametrize("versioned", [True, False])
def test_dlpack(dtype, versioned, rng):
    table, ids = table_of(rng, 9, 8, dtype), rng.integers(0, 9, (2, 3))
    result = ek.embed(Foreign(table, versioned), Foreign(ids, versioned), Foreign(table, versioned))
    assert result.tobytes() == ek.embed(table, ids, table).tobytes()
    shown = ek.from_dlpack(Foreign(table, versioned))
    assert np.shares_memory(shown, table) and shown.dtype == table.dtype
    assert shown.flags.writeable == versioned
    del table
    gc.collect()
    assert np.isfinite(shown.astype(np.float32)).all()


def test_dlpack_read_only_and_out(rng):
    table = table_of(rng, 9, 8)
    out = np.empty((2, 8), np.float32)
    ek.embed(table, [1, 2], out=Foreign(out))
    assert np.array_equal(out, table[[1, 2]])
    with pytest.raises(ValueError, match="read-only"):
        ek.embed(table, [1, 2], out=Foreign(out, versioned=False))
    table.flags.writeable = False
    assert not ek.from_dlpack(Foreign(table)).flags.writeable
    with pytest.raises(BufferError, match="read-only"):
        ek.dlpack(table).__dlpack__()
    assert np.array_equal(np.from_dlpack(ek.dlpack(table)), table)


def test_dlpack_of_every_kind(rng):
    for dtype in (np.int8, np.uint16, np.int32, np.uint64, np.bool_, np.float64):
        array = np.asarray(rng.integers(0, 2, (3, 4))).astype(dtype)
        for view in (array, array[::2], array.T, array[:0], array[:, ::-1]):
            assert np.array_equal(ek.from_dlpack(ek.dlpack(view)), view)
            assert np.array_equal(np.from_dlpack(ek.dlpack(view)), view)
    for wrong in (np.zeros(2, ">f4"), np.array(["a"]), np.zeros(2, np.complex64)):
        with pytest.raises(BufferError):
            ek.dlpack(wrong).__dlpack__()
    with pytest.raises(TypeError):
        ek.dlpack([1])
    with pytest.raises(AttributeError):
        ek.from_dlpack(5)


def test_unread_capsules_are_freed(rng):
    table = table_of(rng, 9, 8)
    before = sys.getrefcount(table)
    for _ in range(10):
        ek.dlpack(table).__dlpack__()
        ek.dlpack(table).__dlpack__(max_version=(1, 0))
    assert sys.getrefcount(table) == before


def test_torch(rng):
    torch = pytest.importorskip("torch")
    if not hasattr(torch, "from_dlpack"):
        pytest.skip("PyTorch is not installed: that is the folder of its tests")
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        table = torch.randn(9, 8).to(dtype)
        ids = torch.randint(0, 9, (2, 3))
        result = torch.from_dlpack(ek.dlpack(ek.embed(table, ids)))
        assert torch.equal(result, table[ids])


# MARK: Threads


def test_the_lock_is_given_back(rng):
    """While one thread computes, another runs Python. A busy machine may wake it late: it has a minute."""
    table, ids = table_of(rng, 20000, 512), rng.integers(0, 20000, (16, 1024))
    out, done = np.empty((16, 1024, 512), np.float32), threading.Event()
    latest = [0.0]

    def tick():
        while not done.is_set():
            latest[0] = time.perf_counter()
            time.sleep(0.0001)

    switch = sys.getswitchinterval()
    # The lock is not taken from a thread that runs: the other gets it when this one gives it back.
    sys.setswitchinterval(100)
    other = threading.Thread(target=tick)
    ran, limit = False, time.perf_counter() + 60
    try:
        other.start()
        while not ran and time.perf_counter() < limit:
            begun = time.perf_counter()
            ek.embed(table, ids, out=out, threads=1)
            ended = time.perf_counter()
            ran = begun < latest[0] < ended
    finally:
        done.set()
        other.join()
        sys.setswitchinterval(switch)
    assert ran


def test_calls_from_many_threads(rng):
    table, positions = table_of(rng, 500, 256), table_of(rng, 64, 256)
    faults = []

    def work(seed):
        own = np.random.default_rng(seed)
        for _ in range(40):
            ids = own.integers(0, 500, (8, 64))
            try:
                if not np.array_equal(ek.embed(table, ids, positions), table[ids] + positions):
                    faults.append(seed)
                ids[3, 5] = 500 + seed
                ek.embed(table, ids)
            except ek.OutOfRangeError as error:
                if (error.row, error.position, error.id) != (3, 5, 500 + seed):
                    faults.append(error)
            else:
                faults.append("no error")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


def test_set_threads(rng):
    before = ek.threads()
    try:
        ek.set_threads(1)
        assert ek.threads() == 1
        with pytest.raises(ValueError):
            ek.set_threads(-1)
    finally:
        ek.set_threads(before)
    assert ek.cpu_count() >= 1


# MARK: Child processes


def in_a_child(table, ids, expected):
    result = ek.embed(table, ids, threads=2)
    gradient = ek.backward(np.ones_like(result), ids, len(table), threads=2)
    return np.array_equal(result, expected) and gradient.tokens.rows.size > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork(rng):
    table, ids = table_of(rng, 2000, 256), rng.integers(0, 2000, (16, 256))
    kept = ek.embed(table, ids, threads=2)
    for _ in range(3):
        child = os.fork()
        if child == 0:
            good = in_a_child(table, ids, kept) and np.array_equal(kept, table[ids])
            os._exit(0 if good else 1)
        limit = time.monotonic() + 60
        while True:
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                break
            if time.monotonic() > limit:
                os.kill(child, 9)
                os.waitpid(child, 0)
                pytest.fail("the child hangs")
            time.sleep(0.01)
        assert status == 0
    assert np.array_equal(ek.embed(table, ids, threads=2), kept)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(method, rng):
    table, ids = table_of(rng, 200, 256), rng.integers(0, 200, (8, 64))
    expected = ek.embed(table, ids, threads=2)
    with multiprocessing.get_context(method).Pool(2) as workers:
        found = [workers.apply_async(in_a_child, (table, ids, expected)) for _ in range(4)]
        assert all(result.get(timeout=120) for result in found)


def test_results_may_outlive_the_module():
    code = (
        "import embedkernel as ek, numpy as np, builtins\n"
        "builtins.kept = ek.embed(np.ones((9, 512), np.float32), np.zeros((64, 64), int))\n"
        "builtins.shown = np.from_dlpack(ek.dlpack(builtins.kept))\n"
        "builtins.table = ek.optim.AdamW(np.ones((99, 512), np.float32))\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
