"""`embed` against NumPy's indexing."""

import embedkernel as ek
import hypothesis.strategies as st
import numpy as np
import pytest
import reference
from hypothesis import given
from reference import FLOATS, batches, table_of


@given(batches(), st.sampled_from(FLOATS), st.booleans(), st.booleans())
def test_equals_indexing(sizes, dtype, with_positions, with_out):
    vocabulary, dim, ids, rng = sizes
    table = table_of(rng, vocabulary, dim, dtype)
    positions = table_of(rng, ids.shape[-1], dim, dtype) if with_positions else None
    expected = reference.embed(table, ids, positions)
    out = np.empty(expected.shape, dtype) if with_out else None
    result = ek.embed(table, ids, positions, out=out)
    assert result.dtype == dtype
    assert (result is out) == with_out
    assert result.tobytes() == expected.tobytes()


@given(batches(), st.sampled_from(["offset", "offsets", "rows", "ids", "packed", "mask"]), st.data())
def test_places(sizes, kind, data):
    vocabulary, dim, ids, rng = sizes
    ids = ids.reshape(-1, ids.shape[-1])
    batch, context = ids.shape
    maximum = ids.size + 10
    table, positions = table_of(rng, vocabulary, dim), table_of(rng, maximum, dim)
    whole = data.draw(st.sampled_from([np.int32, np.int64]))
    if kind == "offset":
        place = {"offset": data.draw(st.integers(0, 10))}
    elif kind == "offsets":
        place = {"offset": rng.integers(0, 10, batch).astype(whole)}
    elif kind == "rows":
        place = {"position_ids": rng.integers(0, maximum, context).astype(whole)}
    elif kind == "ids":
        place = {"position_ids": rng.integers(0, maximum, (batch, context)).astype(whole)}
    elif kind == "packed":
        cuts = rng.choice(np.arange(ids.size + 1), min(3, ids.size), replace=False)
        place = {"cumulative_lengths": np.unique([0, *cuts, ids.size]).astype(whole)}
    else:
        mask_type = data.draw(st.sampled_from([np.bool_, np.uint8, np.int64]))
        place = {"mask": rng.integers(0, 2, (batch, context)).astype(mask_type)}
    result = ek.embed(table, ids, positions, **place)
    assert np.array_equal(result, reference.embed(table, ids, positions, **place))


def test_places_of_the_ids_shape(rng):
    table, positions, ids = table_of(rng, 9, 4), table_of(rng, 20, 4), rng.integers(0, 9, (2, 3, 5))
    places = rng.integers(0, 20, ids.shape)
    found = ek.embed(table, ids, positions, position_ids=places)
    assert np.array_equal(found, table[ids] + positions[places])
    mask = rng.integers(0, 2, ids.shape).astype(bool)
    flat = ek.embed(table, ids.reshape(6, 5), positions, mask=mask.reshape(6, 5))
    assert np.array_equal(ek.embed(table, ids, positions, mask=mask).reshape(flat.shape), flat)


@given(batches(), st.floats(-4, 4, width=32))
def test_scale(sizes, scale):
    vocabulary, dim, ids, rng = sizes
    table, positions = table_of(rng, vocabulary, dim), table_of(rng, ids.shape[-1], dim)
    result = ek.embed(table, ids, positions, scale=scale)
    exact = table[ids].astype(np.float64) * scale + positions[np.arange(ids.shape[-1])]
    assert np.all(np.abs(result - exact) <= 2**-22 * (np.abs(table[ids] * scale) + np.abs(exact)) + 1e-30)


def test_unknown_and_overflow(rng):
    table, positions = table_of(rng, 5, 8), table_of(rng, 2, 8)
    ids = np.array([[-3, 7, 2]])
    clamped = ek.embed(table, ids, unknown="clamp")
    assert np.array_equal(clamped, table[[[0, 4, 2]]])
    zeros = ek.embed(table, ids, unknown="zero")
    assert np.array_equal(zeros[0, :2], np.zeros((2, 8))) and np.array_equal(zeros[0, 2], table[2])
    ids = np.array([[1, 2, 3]])
    assert np.array_equal(
        ek.embed(table, ids, positions, overflow="clamp"), table[ids] + positions[[0, 1, 1]]
    )
    with pytest.raises(ek.OutOfRangeError):
        ek.embed(table, ids, positions)


def test_lists_and_strides(rng):
    table = table_of(rng, 9, 4)
    assert np.array_equal(ek.embed(table, [[1, 2], [3, 4]]), table[[[1, 2], [3, 4]]])
    assert np.array_equal(ek.embed(table, range(3)), table[:3])
    ids = np.arange(8).reshape(2, 4)
    for view in (ids[:, ::-1], ids.T, ids[::2], np.asfortranarray(ids), ids.astype(">i4")):
        assert np.array_equal(ek.embed(table, view), table[view])


def test_without_tokens(rng):
    table, positions = table_of(rng, 9, 4), table_of(rng, 3, 4)
    for shape in [(0,), (0, 3), (2, 0), (2, 0, 3)]:
        assert ek.embed(table, np.empty(shape, np.int64), positions).shape == (*shape, 4)
    assert ek.embed(table, []).shape == (0, 4)


def test_read_only_inputs_and_backends(rng):
    table, positions, ids = table_of(rng, 9, 16), table_of(rng, 5, 16), rng.integers(0, 9, (3, 5))
    for array in (table, positions, ids):
        array.flags.writeable = False
    expected = table[ids] + positions
    for backend in ("auto", "native", "simd", "openblas"):
        for threads in (0, 1, 2):
            result = ek.embed(table, ids, positions, backend=backend, threads=threads)
            assert np.array_equal(result, expected) and result.flags.writeable


def test_output_of_another_type(rng):
    table = table_of(rng, 9, 16, reference.BFLOAT16)
    out = np.empty((3, 16), np.float32)
    assert np.array_equal(ek.embed(table, [1, 2, 3], out=out), table[[1, 2, 3]].astype(np.float32))


def test_a_mapped_table(tmp_path, rng):
    table = table_of(rng, 9, 16)
    np.save(tmp_path / "table.npy", table)
    mapped = np.load(tmp_path / "table.npy", mmap_mode="r")
    assert np.array_equal(ek.embed(mapped, [4, 2]), table[[4, 2]])
