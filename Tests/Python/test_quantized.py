"""Quantised tables: formulas of the formats that are one line, and every way of reading against `dequantize`."""

import gc
import pickle

import embedkernel as ek
import ml_dtypes
import numpy as np
import pytest
from reference import FLOATS

DIMS = {"q4_k": 256, "q6_k": 256, "q8_0": 64, "q4_0": 64, "fp8_block128": 256, "fp8_block128_f32": 256,
        "fp8_block32": 64}


def table_of(format, rng, rows=23):
    return rng.standard_normal((rows, DIMS.get(format, 40))).astype(np.float32)


@pytest.mark.parametrize("format", ek.ROW_FORMATS)
def test_a_table(format, rng):
    floats = table_of(format, rng)
    table = ek.QuantizedTable.quantize(floats, format)
    decoded = table.dequantize()
    assert table.shape == floats.shape and len(table) == len(floats) and decoded.dtype == np.float32
    assert table.nbytes == table.data.nbytes + (0 if table.scales is None else table.scales.nbytes)
    worst = {"f32": 0, "f16": 1e-3, "bf16": 8e-3, "q4_0": 0.5, "q4_k": 0.3, "fbgemm4": 0.3, "fp8": 0.15,
             "fp8_block32": 0.6}
    assert np.abs(decoded - floats).max() <= worst.get(format, 0.2)
    # Rows that are in the format already, where they lie and from other places.
    again = ek.QuantizedTable.from_bytes(
        table.data, format, table.shape, scales=table.scales, rows_per_scale=max(table.rows_per_scale, 1))
    assert np.array_equal(again.dequantize(), decoded)
    # Quantising what was decoded changes nothing more than rounding did.
    odd = np.frombuffer(b"x" + table.data.tobytes(), np.uint8)[1:]
    unaligned = ek.QuantizedTable.from_bytes(odd, format, table.shape, scales=table.scales)
    assert np.array_equal(unaligned.dequantize(), decoded)
    assert np.array_equal(pickle.loads(pickle.dumps(table)).dequantize(), decoded)
    assert ek.QuantizedTable.quantize(floats, format, threads=1).data.tobytes() == table.data.tobytes()
    assert not table.data.flags.writeable and format in repr(table)
    part = table.dequantize(3, 7)
    assert np.array_equal(part, decoded[3:7])
    out = np.empty_like(part)
    assert table.dequantize(3, 7, out=out) is out and np.array_equal(out, part)
    assert table.dequantize(5, 5).shape == (0, floats.shape[1])
    for start in (-1, len(table) + 1):
        with pytest.raises(IndexError):
            table.dequantize(start)
    with pytest.raises(ValueError, match="stop is 3: expected 5"):
        table.dequantize(5, 3)


@pytest.mark.parametrize("format", ek.ROW_FORMATS)
def test_reading_is_that_of_the_decoded_rows(format, rng):
    table = ek.QuantizedTable.quantize(table_of(format, rng), format)
    decoded = table.dequantize()
    ids = rng.integers(0, len(table), (3, 4))
    positions = rng.standard_normal((6, table.shape[1])).astype(np.float32)
    assert np.array_equal(table.embed(ids), ek.embed(decoded, ids))
    assert np.array_equal(ek.embed(table, ids, scale=2.0), ek.embed(decoded, ids, scale=2.0))
    assert np.array_equal(ek.embed(ids=ids, table=table), ek.embed(decoded, ids))
    assert np.array_equal(
        table.embed(ids, positions, offset=2, scale=1.5), ek.embed(decoded, ids, positions, offset=2, scale=1.5))
    for dtype in FLOATS:
        out = np.empty((3, 4, table.shape[1]), dtype)
        expected = ek.embed(decoded, ids, positions, out=np.empty_like(out))
        assert table.embed(ids, positions, out=out) is out
        assert out.tobytes() == expected.tobytes()
    narrow = positions.astype(ml_dtypes.bfloat16)
    assert np.array_equal(table.embed(ids, narrow), ek.embed(decoded, ids, narrow.astype(np.float32)))
    flat, offsets = ids.reshape(-1), [0, 5, 5]
    weights = rng.standard_normal(flat.shape).astype(np.float32)
    for mode in ("sum", "mean", "max"):
        given = {"offsets": offsets, "mode": mode, "padding_id": int(flat[0])}
        found = ek.bag(table, flat, **given)
        assert found.dtype == np.float32 and np.array_equal(found, ek.bag(decoded, flat, **given))
    assert np.array_equal(
        ek.bag(table, flat, offsets=offsets, weights=weights), ek.bag(decoded, flat, offsets=offsets, weights=weights))
    gradient = rng.standard_normal((3, table.shape[1])).astype(np.float32)
    assert np.array_equal(
        ek.bag_weight_gradient(gradient, table, flat, offsets=offsets),
        ek.bag_weight_gradient(gradient, decoded, flat, offsets=offsets))


def test_int8_by_row(rng):
    codes = rng.integers(-127, 128, (7, 12)).astype(np.int8)
    scales = rng.uniform(0.1, 2, 7).astype(np.float32)
    table = ek.QuantizedTable.from_bytes(codes, "int8", codes.shape, scales=scales)
    assert np.array_equal(table.dequantize(), codes.astype(np.float32) * scales[:, None])
    assert np.array_equal(table.scales.view(np.float32).reshape(-1), scales)
    # The array's own memory.
    assert table.data.ctypes.data == codes.ctypes.data
    half = ek.QuantizedTable.from_bytes(codes, "int8_f16", codes.shape, scales=scales.astype(np.float16))
    assert np.array_equal(half.dequantize(), codes * scales.astype(np.float16).astype(np.float32)[:, None])
    one = ek.QuantizedTable.from_bytes(codes, "int8", codes.shape, scales=scales[:1], rows_per_scale=7)
    assert np.array_equal(one.dequantize(), codes.astype(np.float32) * scales[0])
    pairs = ek.QuantizedTable.from_bytes(codes, "int8", codes.shape, scales=scales[:4], rows_per_scale=2)
    assert np.array_equal(pairs.dequantize(), codes.astype(np.float32) * np.repeat(scales[:4], 2)[:7, None])
    assert np.array_equal(pickle.loads(pickle.dumps(pairs)).dequantize(), pairs.dequantize())


def test_fp8(rng):
    codes = rng.standard_normal((5, 8)).astype(ml_dtypes.float8_e4m3fn)
    table = ek.QuantizedTable.from_bytes(codes, "fp8", codes.shape)
    assert np.array_equal(table.dequantize(), codes.astype(np.float32)) and table.scales is None
    assert ek.QuantizedTable.quantize(codes.astype(np.float32), "fp8").data.tobytes() == codes.tobytes()


def test_memory_lives_as_long_as_the_table(rng):
    def make():
        codes = rng.integers(-5, 6, (50, 64)).astype(np.int8)
        table = ek.QuantizedTable.from_bytes(codes, "int8", codes.shape, scales=np.ones(50, np.float32))
        return table, codes.astype(np.float32)

    table, expected = make()
    gc.collect()
    assert np.array_equal(table.dequantize(), expected)
    data = table.data
    del table
    gc.collect()
    assert np.array_equal(data.view(np.int8), expected)


def test_refusals(rng):
    floats = table_of("int8", rng)
    with pytest.raises(TypeError, match="quantize"):
        ek.QuantizedTable()
    with pytest.raises(ValueError, match="q9.*q8_0|q8_0"):
        ek.QuantizedTable.quantize(floats, "q9")
    with pytest.raises(TypeError, match="format"):
        ek.QuantizedTable.quantize(floats, 3)
    with pytest.raises(TypeError):
        ek.QuantizedTable.quantize(floats.astype(np.float64), "int8")
    with pytest.raises(ValueError, match="256"):
        ek.QuantizedTable.quantize(floats, "q4_k")
    bad = floats.copy()
    bad[3, 5] = np.nan
    with pytest.raises(ValueError, match="row 3, column 5"):
        ek.QuantizedTable.quantize(bad, "int8")
    codes = np.zeros((4, 8), np.int8)
    for data, shape, options in (
        (codes, (5, 8), {"scales": np.ones(5, np.float32)}),
        (codes, (4, 8), {}),
        (codes, (4, 8), {"scales": np.ones(3, np.float32)}),
        (codes, (4, 8), {"scales": np.ones(2, np.float32), "rows_per_scale": 3}),
        (codes, (-4, 8), {"scales": np.ones(4, np.float32)}),
        (codes, (4, 0), {"scales": np.ones(4, np.float32)}),
        (codes[:, ::2], (4, 4), {"scales": np.ones(4, np.float32)}),
        (b"", (2**62, 8), {"scales": b""}),
    ):
        with pytest.raises(ValueError):
            ek.QuantizedTable.from_bytes(data, "int8", shape, **options)
    with pytest.raises(TypeError, match="object"):
        ek.QuantizedTable.from_bytes(np.array([{}]), "int8", (1, 8))
    table = ek.QuantizedTable.quantize(floats, "int8")
    for start, stop in ((-1, 3), (0, 24), (24, 25), (5, 3)):
        with pytest.raises((IndexError, ValueError)):
            table.dequantize(start, stop)
    with pytest.raises(ek.OutOfRangeError) as caught:
        table.embed([[0, 23]])
    assert (caught.value.id, caught.value.row, caught.value.position) == (23, 0, 1)
    with pytest.raises(IndexError):
        ek.bag(table, [[23]])
    with pytest.raises(ValueError, match="positions"):
        table.embed([[1]], np.zeros((3, 7), np.float32))
    with pytest.raises(TypeError):
        ek.bag_backward(np.ones((1, 40), np.float32), [[1]], table)


def mapped_file(tmp_path, floats):
    path = tmp_path / "table.safetensors"
    ek.save(path, {"wte": floats})
    return path


@pytest.mark.parametrize("limit", [None, 1 << 20])
def test_a_mapped_table(tmp_path, rng, limit):
    floats = rng.standard_normal((3000, 256)).astype(np.float32)
    path = mapped_file(tmp_path, floats)
    table = ek.QuantizedTable.map(path, "wte", resident_limit=limit)
    assert table.format == "f32" and table.shape == floats.shape
    ids = rng.integers(0, 3000, (4, 50))
    # A limit stops where it has no more room.
    fitting = [table.prefetch(ids), table.prefetch(ids, wait=False)]
    assert fitting == [200, 200] if limit is None else all(0 < count <= 200 for count in fitting)
    assert np.array_equal(table.embed(ids), floats[ids])
    assert np.array_equal(ek.bag(table, ids, mode="max"), floats[ids].max(1))
    assert np.array_equal(table.dequantize(), floats)
    fitting = table.prefetch(np.arange(3000))
    assert fitting == 3000 if limit is None else 0 < fitting < 3000
    with pytest.raises(IndexError):
        table.prefetch([3000])
    assert table.prefetch([3000], unknown="clamp") == 1
    # In memory there is nothing to do.
    assert ek.QuantizedTable.quantize(floats, "f32").prefetch(ids) == 200


def test_a_file_that_is_cut_short(tmp_path, rng):
    floats = rng.standard_normal((3000, 256)).astype(np.float32)
    path = mapped_file(tmp_path, floats)
    mapped = ek.QuantizedTable.map(path, "wte")
    # Over an array of the file, which the library knows for a mapped file's memory.
    array = ek.load(path)["wte"]
    wrapped = ek.QuantizedTable.from_bytes(array, "f32", floats.shape)
    ids = np.arange(0, 3000, 7)
    for table in mapped, wrapped:
        assert np.array_equal(table.embed(ids), floats[ids])
    with open(path, "r+b") as file:
        file.truncate(1 << 20)
    for table in mapped, wrapped, mapped:
        for call in (lambda: table.embed(ids), lambda: ek.bag(table, ids[None]), lambda: table.dequantize(),
                     lambda: table.prefetch(ids)):
            with pytest.raises(OSError, match="cut short"):
                call()


def test_what_cannot_be_mapped(tmp_path, rng):
    path = mapped_file(tmp_path, rng.standard_normal((30, 256)).astype(np.float32))
    with pytest.raises(FileNotFoundError):
        ek.QuantizedTable.map(tmp_path / "none.safetensors", "wte")
    with pytest.raises(KeyError):
        ek.QuantizedTable.map(path, "wpe")
    with pytest.raises((TypeError, ValueError)):
        ek.QuantizedTable.map(path, "wte", format="q8_0")
    for limit in (0, -5, 1000):
        with pytest.raises(ValueError):
            ek.QuantizedTable.map(path, "wte", resident_limit=limit)
    with pytest.raises(TypeError):
        ek.QuantizedTable.map(path, 3)
