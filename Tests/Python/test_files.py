"""Files, as this library and as NumPy and plain Python write and read them."""

import gc
import json
import struct

import embedkernel as ek
import hypothesis.strategies as st
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

TYPES = [
    np.float32, np.float16, ml_dtypes.bfloat16, np.float64, np.int8, np.int16, np.int32, np.int64,
    np.uint8, np.uint16, np.uint32, np.uint64, np.bool_, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2,
]


@given(st.lists(st.sampled_from(TYPES), max_size=4), hnp.array_shapes(min_dims=0, max_dims=4, max_side=4))
def test_safetensors(tmp_path_factory, types, shape):
    path = tmp_path_factory.mktemp("files") / "x.safetensors"
    rng = np.random.default_rng(len(types))
    tensors = {
        f"tensor {i} é": np.asarray(rng.integers(0, 2, shape)).astype(np.dtype(dtype))
        for i, dtype in enumerate(types)
    }
    ek.save(path, tensors, metadata={"format": "np", "key é": "value"})
    found = ek.load(path)
    assert set(found) == set(tensors)
    assert ek.load_metadata(path) == {"format": "np", "key é": "value"}
    for name, array in tensors.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes() and not found[name].flags.writeable
    copied = ek.load(path, copy=True)
    assert all(array.flags.writeable for array in copied.values())


def test_the_format(tmp_path):
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
    data = np.arange(4, dtype=np.float32)
    (tmp_path / "x").write_bytes(struct.pack("<Q", len(header)) + header + data.tobytes())
    assert np.array_equal(ek.load(tmp_path / "x")["w"], data.reshape(2, 2))
    assert list(ek.load(tmp_path / "x", names=["w"])) == ["w"]
    with pytest.raises(KeyError, match="wte"):
        ek.load(tmp_path / "x", names=["wte"])


def sharded(folder, shards, *, index=None, total=None):
    """Writes shards and their index; returns the index's path."""
    mapping = {}
    for name, tensors in shards.items():
        ek.save(folder / name, tensors, metadata={"format": "pt", "shard": name})
        mapping |= {tensor: name for tensor in tensors}
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": mapping | (index or {})}))
    return path


def test_shards(tmp_path, rng):
    first = {"b": rng.standard_normal((3, 2)).astype(np.float32), "a": np.arange(5)}
    second = {"c": np.ones(4, ml_dtypes.bfloat16)}
    path = sharded(tmp_path, {"model-00001-of-00002.safetensors": first, "model-00002-of-00002.safetensors": second})
    for place in (path, tmp_path):
        found = ek.load(place)
        assert list(found) == ["b", "a", "c"]
        for name, array in (first | second).items():
            assert found[name].dtype == array.dtype and np.array_equal(found[name], array)
    # What the shards agree on.
    assert ek.load_metadata(path) == {"format": "pt"}
    gc.collect()
    assert np.array_equal(ek.load(path, names=["c"])["c"], second["c"])
    with pytest.raises(KeyError, match="wte"):
        ek.load(path, names=["wte"])


def test_broken_shards(tmp_path):
    weights = {"a": np.zeros(3, np.float32)}
    with pytest.raises(KeyError, match="gone"):
        ek.load(sharded(tmp_path, {"x.safetensors": weights}, index={"gone": "x.safetensors"}))
    with pytest.raises(FileNotFoundError):
        ek.load(sharded(tmp_path, {"x.safetensors": weights}, index={"b": "none.safetensors"}))
    for outside in ("../x.safetensors", "/etc/passwd", "", "a/../../x", "x\0y", 3):
        with pytest.raises(ValueError, match="shard|weight_map|'b'"):
            ek.load(sharded(tmp_path, {"x.safetensors": weights}, index={"b": outside}))
    for text in ("", "{}", "[]", '{"weight_map": []}', '{"weight_map": {"a": '):
        (tmp_path / "model.safetensors.index.json").write_text(text)
        with pytest.raises(ValueError):
            ek.load(tmp_path / "model.safetensors.index.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="model.safetensors"):
        ek.load(tmp_path / "empty")


def test_arrays_outlive_the_call(tmp_path):
    ek.save(tmp_path / "x", {"w": np.arange(100000, dtype=np.float32)})
    array = ek.load(tmp_path / "x")["w"]
    gc.collect()
    assert np.array_equal(array, np.arange(100000))
    (tmp_path / "x").unlink()
    assert array[99999] == 99999


def test_what_lies_differently(tmp_path):
    array = np.arange(24, dtype=">f4").reshape(4, 6)
    ek.save(tmp_path / "x", {"swapped": array, "strided": array[::2, ::3], "turned": array.T, "list": [1.5, 2]})
    found = ek.load(tmp_path / "x")
    assert np.array_equal(found["swapped"], array) and np.array_equal(found["strided"], array[::2, ::3])
    assert np.array_equal(found["turned"], array.T) and found["list"].tolist() == [1.5, 2]
    for wrong in (np.array(["a"]), np.zeros(1, object), np.zeros(1, np.longdouble)):
        with pytest.raises(TypeError):
            ek.save(tmp_path / "y", {"x": wrong})
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize("dtype", TYPES[:13])
def test_npy(tmp_path, dtype):
    array = np.asarray([[1, 0, 1]]).astype(np.dtype(dtype))
    ek.save_npy(tmp_path / "x.npy", array)
    found = ek.load_npy(tmp_path / "x.npy")
    assert found.tobytes() == array.tobytes() and found.shape == array.shape
    assert np.load(tmp_path / "x.npy").tobytes() == array.tobytes()
    if np.dtype(dtype) != ml_dtypes.bfloat16:
        assert found.dtype == array.dtype
        np.save(tmp_path / "y.npy", array)
        assert np.array_equal(ek.load_npy(tmp_path / "y.npy", copy=True), array)


def test_npy_refusals(tmp_path):
    with pytest.raises(FileNotFoundError):
        ek.load_npy(tmp_path / "none.npy")
    (tmp_path / "x.npy").write_bytes(b"no array")
    with pytest.raises(ValueError):
        ek.load_npy(tmp_path / "x.npy")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises((ValueError, TypeError)):
        ek.load_npy(tmp_path / "objects.npy")
