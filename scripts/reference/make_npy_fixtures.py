#!/usr/bin/env python3
"""Writes the .npy files that the tests read, by NumPy itself.

    python scripts/reference/make_npy_fixtures.py

A file that the reader must accept is named for its type and format version, and holds values whose
bits the tests know by rule (see `values`). A file it must refuse is named `refused-...`. `index.json`
lists all of them, with the versions of the software that made them. `descriptors.json` says what
NumPy makes of the strings by which a header may name a type.
"""

import json
import platform
from pathlib import Path

import ml_dtypes  # NumPy's bfloat16, as JAX has it.
import numpy as np
from numpy.lib import format as npy

FIXTURES = Path(__file__).resolve().parents[2] / "Tests/EmbedFilesTests/Fixtures/npy"
# What the command's tests embed and step, as other programs write it.
ARRAYS = FIXTURES.parent / "arrays"

# The type codes that the reader knows.
TYPES = {
    "float32": "<f4",
    "float64": "<f8",
    "int32": "<i4",
    "int64": "<i8",
    "uint8": "|u1",
    "bool": "|b1",
    "float16": "<f2",
    "bfloat16": ml_dtypes.bfloat16,
    "int8": "|i1",
    "int16": "<i2",
    "uint16": "<u2",
    "uint32": "<u4",
    "uint64": "<u8",
}
SHAPES = {"scalar": (), "vector": (7,), "matrix": (3, 5), "cube": (2, 3, 4), "empty": (0, 4)}


def values(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Element i is i * 3 - 4, which wraps for bytes and is true or not for truth values."""
    count = int(np.prod(shape, dtype=np.int64))
    return (np.arange(count, dtype=np.int64) * 3 - 4).astype(dtype).reshape(shape)


def command_arrays() -> None:
    """A table, ids, positions and masks in types and orders that mean the same."""
    ARRAYS.mkdir(parents=True, exist_ok=True)
    for old in ARRAYS.glob("*"):
        old.unlink()
    table = np.arange(20, dtype="<f4").reshape(5, 4)
    ids = np.array([[1, 2, 3], [4, 0, 1]])
    np.save(ARRAYS / "table.npy", table)
    np.save(ARRAYS / "table-fortran.npy", np.asfortranarray(table))
    np.save(ARRAYS / "table-float16.npy", table.astype("<f2"))
    np.save(ARRAYS / "table-bfloat16.npy", table.astype(ml_dtypes.bfloat16))
    np.save(ARRAYS / "table-big-endian.npy", table.astype(">f4"))
    np.save(ARRAYS / "table-fortran-3d.npy", np.asfortranarray(table.reshape(5, 2, 2)))
    np.savez(ARRAYS / "table.npz", table=table)
    for dtype in ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]:
        np.save(ARRAYS / f"ids-{dtype}.npy", ids.astype(dtype))
    np.save(ARRAYS / "ids-fortran.npy", np.asfortranarray(ids.astype("<i8")))
    np.save(ARRAYS / "ids-huge.npy", np.array([[1, 2, 3], [4, 2**63 + 5, 1]], dtype="<u8"))
    mask = np.array([[0, 1, 1], [1, 1, 1]], dtype="|u1")
    for name, descr in [("u1", "|u1"), ("lt-u1", "<u1"), ("lt-b1", "<b1"), ("b1", "|b1"), ("q", "?")]:
        by_hand(f"../arrays/mask-{name}.npy", descr, False, (2, 3), mask.tobytes())
    by_hand("../arrays/positions-fortran.npy", "<i4", True, (3,), np.arange(3, dtype="<i4").tobytes())
    np.save(ARRAYS / "step-rows.npy", np.array([[0, 1], [2, 3], [1, 9]]))
    np.save(ARRAYS / "step-gradients.npy", np.zeros((3, 2, 4), dtype="<f4"))


def by_hand(name: str, descr: str, fortran: bool, shape: tuple[int, ...], data: bytes) -> Path:
    """A file whose header is written here, for spellings that NumPy reads and does not write."""
    header = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    path = FIXTURES / name
    path.write_bytes(npy.MAGIC_PREFIX + b"\1\0" + len(header).to_bytes(2, "little") + header.encode() + data)
    return path


def spellings() -> list[str]:
    """Strings that may name a type: signs of order with C's characters, kinds with sizes, names."""
    codes = list("?bBhHiIlLqQpPnNefdgFDSUVOmMca")
    codes += [kind + size for kind in "iufcbV" for size in ["", "0", "1", "2", "4", "8", "16"]]
    names = (
        "bool bool_ bool8 byte ubyte short ushort int int_ intc int8 int16 int32 int64 intp uint uintc "
        "uint8 uint16 uint32 uint64 uintp long ulong longlong ulonglong half single double float float_ "
        "float16 float32 float64 float128 longdouble complex64 str object void Float32 f4,i4 <<f4 !f4"
    ).split()
    return [order + code for order in ["", "<", ">", "=", "|"] for code in codes] + names + ["", " f4", "f4 "]


def descriptors() -> dict[str, str | None]:
    """What NumPy makes of each spelling: the type as it writes it, or none where it refuses."""
    meanings: dict[str, str | None] = {}
    for text in spellings():
        try:
            meanings[text] = npy.descr_to_dtype(text).str
        except (TypeError, ValueError):
            meanings[text] = None
    return meanings


def save(name: str, array: np.ndarray, version: tuple[int, int]) -> None:
    with open(FIXTURES / name, "wb") as file:
        npy.write_array(file, array, version=version)


def main() -> None:
    FIXTURES.mkdir(parents=True, exist_ok=True)
    for old in FIXTURES.glob("*.npy"):
        old.unlink()
    accepted, refused = [], []

    for type_name, dtype in TYPES.items():
        for shape_name, shape in SHAPES.items():
            name = f"{type_name}-{shape_name}.npy"
            save(name, values(dtype, shape), version=(1, 0))
            accepted.append({"name": name, "type": type_name, "shape": shape})
    for version in [(2, 0), (3, 0)]:
        name = f"float32-matrix-v{version[0]}.npy"
        save(name, values("<f4", (3, 5)), version=version)
        accepted.append({"name": name, "type": "float32", "shape": (3, 5)})

    # Headers that NumPy's reader takes though its writer gives none such: no padding, so that the
    # data are unaligned; other quotes, order and spacing; Python 2's long integers.
    for name, header in [
        ("unpadded", b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 5), }\n"),
        ("reordered", b'{"shape" :(3 ,5) ,"fortran_order":False, "descr":"<f4"}'),
        ("long", b"{'descr': '<f4', 'fortran_order': False, 'shape': (3L, 5L)}     \n"),
    ]:
        path = FIXTURES / f"float32-matrix-{name}.npy"
        length = len(header).to_bytes(2, "little")
        data = values("<f4", (3, 5))
        path.write_bytes(npy.MAGIC_PREFIX + b"\1\0" + length + header + data.tobytes())
        assert np.array_equal(np.load(path), data), name
        accepted.append({"name": path.name, "type": "float32", "shape": (3, 5)})

    # Order of Fortran: without a meaning where one dimension is above 1, else transposed.
    for type_name, shape in [
        ("float32", (3, 5)), ("float64", (5, 3)), ("int64", (1, 4, 1, 2)), ("uint8", (7, 2)),
        ("bfloat16", (2, 3)), ("float32", (70, 33)),
    ]:
        name = f"{type_name}-fortran-{'x'.join(map(str, shape))}.npy"
        save(name, np.asfortranarray(values(TYPES[type_name], shape)), version=(1, 0))
        assert b"'fortran_order': True" in (FIXTURES / name).read_bytes(), name
        accepted.append({"name": name, "type": type_name, "shape": shape})
    # Julia's NPZ.jl says so of every array, and gives signs of order to types of one byte.
    for type_name, descr, shape in [
        ("float32", "<f4", ()), ("int32", "<i4", (6,)), ("uint8", "<u1", (1, 5)), ("bool", "<b1", (4,)),
        ("int8", "<i1", (3, 1)), ("float32", "<f4", (0, 3)), ("float64", "<f8", (2, 4)),
    ]:
        name = f"{type_name}-julia-{'x'.join(map(str, shape))}.npy"
        array = values(TYPES[type_name], shape)
        path = by_hand(name, descr, True, shape, array.tobytes(order="F"))
        assert np.array_equal(np.load(path), array), name
        accepted.append({"name": name, "type": type_name, "shape": shape})
    for number, (type_name, descr) in enumerate([
        ("bool", "?"), ("bool", ">b1"), ("uint8", "B"), ("uint8", "=u1"), ("float32", "=f4"),
        ("float32", "f"), ("float32", "float32"), ("int64", "<q"), ("int64", "l"), ("int32", "|i"),
        ("uint16", "H"), ("float16", "half"), ("int64", "int"),
    ]):
        name = f"{type_name}-spelling-{number}.npy"
        array = values(TYPES[type_name], (2, 3))
        path = by_hand(name, descr, False, (2, 3), array.tobytes())
        assert np.array_equal(np.load(path), array), name
        accepted.append({"name": name, "type": type_name, "shape": (2, 3)})
    for number, descr in enumerate(["|V2", "V2", "=V2", "bfloat16"]):
        name = f"bfloat16-spelling-{number}.npy"
        by_hand(name, descr, False, (2, 3), values(ml_dtypes.bfloat16, (2, 3)).tobytes())
        accepted.append({"name": name, "type": "bfloat16", "shape": (2, 3)})

    for reason, array in [
        ("fortranOrder", np.asfortranarray(values("<f4", (3, 5, 2)))),
        ("bigEndian", values(">f4", (3, 5))),
        ("bigEndian", values(">i8", (3, 5))),
        ("unsupportedElementType", np.zeros(3, dtype=ml_dtypes.float8_e4m3fn)),
        ("unsupportedElementType", np.zeros(3, dtype="V4")),
        ("unsupportedElementType", values("<c8", (3, 5))),
        ("unsupportedElementType", values("<U3", (3, 5))),
        ("unsupportedElementType", np.zeros(3, dtype=[("id", "<i4"), ("weight", "<f4")])),
    ]:
        name = f"refused-{len(refused)}-{reason}.npy"
        save(name, array, version=(1, 0))
        refused.append({"name": name, "reason": reason})

    versions = {
        "python": platform.python_version(), "numpy": np.__version__, "ml_dtypes": ml_dtypes.__version__,
    }
    text = json.dumps({"made_by": versions, "descriptors": descriptors()}, indent=0)
    (FIXTURES / "descriptors.json").write_text(text + "\n")
    index = {
        "made_by": versions,
        "accepted": accepted,
        "refused": refused,
    }
    (FIXTURES / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    command_arrays()
    size = sum(path.stat().st_size for path in FIXTURES.iterdir())
    print(f"{len(accepted) + len(refused)} files, {size} bytes in {FIXTURES}")


if __name__ == "__main__":
    main()
