"""What is refused, by kind and facts, and that nothing was written."""

import errno
import pickle

import embedkernel as ek
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from reference import BFLOAT16, batches, table_of


@given(batches(), st.sampled_from([-1, 0, 100]), st.data())
def test_an_id_outside(sizes, beyond, data):
    vocabulary, dim, ids, rng = sizes
    ids = ids.astype(np.int64).reshape(-1, ids.shape[-1])
    place = data.draw(st.integers(0, ids.size - 1))
    bad = -1 if beyond < 0 else vocabulary + beyond
    ids.reshape(-1)[place] = bad
    out = np.full((*ids.shape, dim), 5, np.float32)
    with pytest.raises(ek.OutOfRangeError) as caught:
        ek.embed(table_of(rng, vocabulary, dim), ids, out=out)
    error = caught.value
    assert isinstance(error, IndexError)
    assert (error.row, error.position) == divmod(place, ids.shape[1])
    assert (error.id, error.bound, error.kind) == (bad, vocabulary, "tokenOutOfRange")
    assert str(bad) in str(error) and np.all(out == 5)


def test_positions_outside(rng):
    table, positions = table_of(rng, 9, 4), table_of(rng, 3, 4)
    ids = np.zeros((2, 3), np.int64)
    for place in ({"offset": 1}, {"offset": [0, 1]}, {"position_ids": [0, 1, 3]}, {"position_ids": [0, -1, 2]}):
        with pytest.raises(IndexError):
            ek.embed(table, ids, positions, **place)
    with pytest.raises((IndexError, ValueError)):
        ek.embed(table, ids, positions, offset=-1)
    with pytest.raises(ValueError):
        ek.embed(table, ids, positions, cumulative_lengths=[0, 3, 5])
    with pytest.raises(ValueError, match="offset and mask"):
        ek.embed(table, ids, positions, offset=1, mask=np.ones((2, 3), bool))


def test_types(rng):
    table = table_of(rng, 9, 4)
    for wrong in (table.astype(np.float64), table.astype(np.int32), table.astype(object), table.astype(">f4")):
        with pytest.raises((TypeError, ValueError)):
            ek.embed(wrong, [1])
    with pytest.raises(TypeError, match="float64.*float32 or float16 or bfloat16"):
        ek.embed(table.astype(np.float64), [1])
    for wrong in (1.5, "text", [1.5], [[True]], np.array([1], np.uint64), None, object(), [[1], [2, 3]]):
        with pytest.raises((TypeError, ValueError)):
            ek.embed(table, wrong)
    with pytest.raises(TypeError, match="positions has elements of float16"):
        ek.embed(table, [1], table.astype(np.float16))
    with pytest.raises(TypeError, match="masked"):
        ek.embed(np.ma.masked_array(table, table > 0), [1])
    with pytest.raises(TypeError, match="table is a"):
        ek.embed([[1.0]], [0])


def test_names_of_arguments(rng):
    table = table_of(rng, 9, 4)
    for call in (
        lambda: ek.embed(table),
        lambda: ek.embed(table, None),
        lambda: ek.embed(),
        lambda: ek.embed(table, [1], None, None),
        lambda: ek.embed(table, [1], table=table),
        lambda: ek.embed(table, [1], scal=1),
        lambda: ek.embed(table, [1], scale="1"),
        lambda: ek.embed(table, [1], threads=1.5),
        lambda: ek.embed(table, [1], offset=True),
        lambda: ek.embed(table, [1], backend=1),
    ):
        with pytest.raises(TypeError):
            call()
    for call in (
        lambda: ek.embed(table, [1], backend="cuda"),
        lambda: ek.embed(table, [1], unknown="ignore"),
        lambda: ek.embed(table, [1], threads=-1),
        lambda: ek.embed(table, [1], threads=2**40),
        lambda: ek.embed(table, [1], offset=2**80),
        lambda: ek.embed(table, [1], scale=float("nan")),
    ):
        with pytest.raises(ValueError):
            call()


def test_shapes_and_strides(rng):
    table = table_of(rng, 9, 4)
    with pytest.raises(ValueError, match="C-contiguous.*ascontiguousarray"):
        ek.embed(table[:, ::2], [1])
    with pytest.raises(ValueError, match=r"table has shape \(4,\): expected \(\?, \?\)"):
        ek.embed(table[0], [1])
    with pytest.raises(ValueError, match=r"positions has shape \(9, 3\)"):
        ek.embed(table, [1], table_of(rng, 9, 3))
    with pytest.raises(ValueError, match="0 dimensions"):
        ek.embed(table, np.int64(3))
    with pytest.raises(ValueError, match=r"out has shape \(2, 4\): expected \(1, 4\)"):
        ek.embed(table, [1], out=np.empty((2, 4), np.float32))
    with pytest.raises(ValueError, match="mask has shape"):
        ek.embed(table, [[1, 2]], table, mask=np.ones((2, 2), bool))
    with pytest.raises(ValueError, match="aligned"):
        unaligned = np.frombuffer(b"\0" + table.tobytes(), np.uint8)[1:].view(np.float32).reshape(9, 4)
        ek.embed(unaligned, [1])
    for empty in (np.empty((0, 4), np.float32), np.empty((4, 0), np.float32)):
        with pytest.raises((ValueError, IndexError)):
            ek.embed(empty, [1])


def test_outputs_that_cannot_be_written(rng):
    table = table_of(rng, 9, 4)
    out = np.empty((1, 4), np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        ek.embed(table, [1], out=out)
    with pytest.raises(ValueError, match="overlap"):
        ek.embed(table, [1], out=table[:1])
    with pytest.raises(ValueError, match="overlap"):
        ek.embed(table, [1], table[1:2], out=table[1:2])
    with pytest.raises(ValueError, match="C-contiguous"):
        ek.embed(table, [1], out=np.empty((1, 8), np.float32)[:, ::2])
    before = table.copy()
    assert np.array_equal(table, before)


def test_files(tmp_path):
    missing = tmp_path / "missing.safetensors"
    with pytest.raises(FileNotFoundError) as caught:
        ek.load(missing)
    assert caught.value.errno == errno.ENOENT and caught.value.filename == str(missing)
    with pytest.raises(OSError):
        ek.save(tmp_path / "no" / "folder.safetensors", {"x": np.zeros(1, np.float32)})
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\xff" * 16)
    with pytest.raises(ek.FileFormatError) as broke:
        ek.load(broken)
    assert isinstance(broke.value, ValueError) and broke.value.path == str(broken)
    with pytest.raises(ek.FileFormatError, match="model.safetensors"):
        ek.load(tmp_path)
    with pytest.raises((IsADirectoryError, OSError)):
        ek.load_npy(tmp_path)
    with pytest.raises(TypeError):
        ek.load(5)
    with pytest.raises(ValueError):
        ek.load("a\0b")


def test_memory():
    with pytest.raises((MemoryError, ValueError)):
        ek.Table.zeros(2**40, 2**20)


def test_errors_are_pickled(rng):
    with pytest.raises(ek.OutOfRangeError) as caught:
        ek.embed(table_of(rng, 3, 2), [[0, 5]])
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.id, again.row, again.position, again.args) == (5, 0, 1, caught.value.args)


def test_bfloat16_needs_nothing_else(rng):
    table = table_of(rng, 3, 2, BFLOAT16)
    with pytest.raises(IndexError):
        ek.embed(table, [3])
