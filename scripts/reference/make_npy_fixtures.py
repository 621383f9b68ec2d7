#!/usr/bin/env python3
"""Writes the .npy files that the tests read, by NumPy itself.

    python scripts/reference/make_npy_fixtures.py

A file that the reader must accept is named for its type and format version, and holds values whose
bits the tests know by rule (see `values`). A file it must refuse is named `refused-...`. `index.json`
lists all of them, with the versions of the software that made them.
"""

import json
import platform
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

FIXTURES = Path(__file__).resolve().parents[2] / "Tests/EmbedKernelTests/Fixtures/npy"

# The type codes that the reader knows.
TYPES = {
    "float32": "<f4",
    "float64": "<f8",
    "int32": "<i4",
    "int64": "<i8",
    "uint8": "|u1",
    "bool": "|b1",
}
SHAPES = {"scalar": (), "vector": (7,), "matrix": (3, 5), "cube": (2, 3, 4), "empty": (0, 4)}


def values(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Element i is i * 3 - 4, which wraps for bytes and is true or not for truth values."""
    count = int(np.prod(shape, dtype=np.int64))
    return (np.arange(count, dtype=np.int64) * 3 - 4).astype(dtype).reshape(shape)


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

    for reason, array in [
        ("fortranOrder", np.asfortranarray(values("<f4", (3, 5)))),
        ("bigEndian", values(">f4", (3, 5))),
        ("unsupportedElementType", values("<f2", (3, 5))),
        ("unsupportedElementType", values("<c8", (3, 5))),
        ("unsupportedElementType", values("<U3", (3, 5))),
        ("unsupportedElementType", np.zeros(3, dtype=[("id", "<i4"), ("weight", "<f4")])),
    ]:
        name = f"refused-{len(refused)}-{reason}.npy"
        save(name, array, version=(1, 0))
        refused.append({"name": name, "reason": reason})

    index = {
        "made_by": {"python": platform.python_version(), "numpy": np.__version__},
        "accepted": accepted,
        "refused": refused,
    }
    (FIXTURES / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    size = sum(path.stat().st_size for path in FIXTURES.iterdir())
    print(f"{len(accepted) + len(refused)} files, {size} bytes in {FIXTURES}")


if __name__ == "__main__":
    main()
