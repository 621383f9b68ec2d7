#!/usr/bin/env python3
"""Writes the safetensors and .npz files that the tests read, by the reference libraries themselves.

    python scripts/reference/make_safetensors_fixtures.py

Element i of every tensor is i * 3 - 4, which wraps for bytes and is true or not for truth values.
`index.json` in each folder lists the files with what they hold and the versions that made them. A
safetensors file that the tests' writer must equal to the byte is marked so.
"""

import json
import platform
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file, save_file

FIXTURES = Path(__file__).resolve().parents[2] / "Tests/EmbedFilesTests/Fixtures"
MADE_BY = {
    "python": platform.python_version(),
    "numpy": np.__version__,
    "safetensors": safetensors.__version__,
    "torch": torch.__version__,
}
TYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F64": torch.float64,
    "I32": torch.int32,
    "I64": torch.int64,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def tensor(type_name: str, shape: tuple[int, ...]) -> torch.Tensor:
    count = int(np.prod(shape, dtype=np.int64))
    return (torch.arange(count, dtype=torch.int64) * 3 - 4).to(TYPES[type_name]).reshape(shape)


def safetensors_files() -> list[dict]:
    folder = FIXTURES / "safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*"):
        old.unlink()
    contents = {name.lower(): ({"t": (name, (3, 5))}, {}) for name in TYPES}
    contents["mixed"] = (
        {
            "b.odd": ("U8", (3,)), "a": ("F32", (2, 3, 4)), "z": ("F32", (4,)),
            "half": ("F16", (7,)), "brain": ("BF16", (5,)), "mask": ("BOOL", (5,)),
            "ids": ("I64", (2, 2)), "scalar": ("F32", ()), "none": ("F32", (0, 4)),
            "n\u00e4me \"quoted\" \\ \u2192 \U0001d518\t": ("I32", (2,)),
        },
        {"format": "pt"},
    )
    contents["empty"] = ({}, {})
    files = []
    for name, (tensors, metadata) in contents.items():
        path = folder / f"{name}.safetensors"
        made = {key: tensor(kind, shape) for key, (kind, shape) in tensors.items()}
        save_file(made, path, metadata=metadata or None)
        files.append({"name": path.name, "sameBytes": True, "metadata": metadata, "tensors": tensors})

    # What the reference reads though it writes none such: spaces in the JSON, no padding (so that
    # the data are unaligned), tensors that are not sorted, escapes.
    data = {"a": tensor("U8", (3,)), "b\u00e9": tensor("F32", (2, 2))}
    header = (
        b'{ "b\\u00e9" : {"shape":[2, 2],\n"data_offsets" : [3,19], "dtype":"F32"} ,\t'
        b'"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]} , "__metadata__":{"k\\"":"v\\/"}}'
    )
    path = folder / "loose.safetensors"
    body = b"".join(bytes(data[key].numpy().tobytes()) for key in ["a", "b\u00e9"])
    path.write_bytes(len(header).to_bytes(8, "little") + header + body)
    read = load_file(path)
    assert all(torch.equal(read[key], value) for key, value in data.items())
    files.append({
        "name": path.name, "sameBytes": False, "metadata": {'k"': "v/"},
        "tensors": {"a": ("U8", (3,)), "b\u00e9": ("F32", (2, 2))},
    })
    return files


def values_of(dtype: str, count: int) -> np.ndarray:
    return (np.arange(count, dtype=np.int64) * 3 - 4).astype(dtype)


def npy_bytes(
    array: np.ndarray, fortran: bool = False, alignment: int = 64, order: str = ""
) -> bytes:
    """A .npy file's bytes, its header padded to `alignment`, with a sign of order other than NumPy's."""
    descr = order + array.dtype.str[1:] if order else array.dtype.str
    header = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {array.shape}, }}"
    header += " " * (-(len(header) + 11) % alignment) + "\n"
    data = array.tobytes(order="F" if fortran else "C")
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode() + data


def cnpy(arrays: dict[str, np.ndarray]) -> bytes:
    """The archive that cnpy's npz_save makes of arrays added one by one."""
    members, directory = b"", b""
    for name, array in arrays.items():
        file, title = npy_bytes(array, alignment=16, order="<"), f"{name}.npy".encode()
        shared = struct.pack(
            "<HHHHHIIIHH", 20, 0, 0, 0, 0x21, zlib.crc32(file), len(file), len(file), len(title), 0)
        directory += (
            b"PK\1\2" + struct.pack("<H", 20) + shared
            + struct.pack("<HHHII", 0, 0, 0, 0, len(members)) + title)
        members += b"PK\3\4" + shared + title + file
    end = struct.pack(
        "<HHHHIIH", 0, 0, len(arrays), len(arrays), len(directory), len(members), 0)
    return members + directory + b"PK\5\6" + end


def npz_files() -> list[dict]:
    folder = FIXTURES / "npz"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*"):
        old.unlink()
    dtypes = {"float32": "<f4", "float64": "<f8", "int32": "<i4", "int64": "<i8", "uint8": "|u1"}

    def values(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        count = int(np.prod(shape, dtype=np.int64))
        return (np.arange(count, dtype=np.int64) * 3 - 4).astype(dtypes[dtype]).reshape(shape)

    members = {
        "rows": ("float32", (40, 12)), "ids": ("int64", (2, 3)), "bytes": ("uint8", (1000,)),
        "scalar": ("float64", ()), "none": ("int32", (0,)),
    }
    arrays = {name: values(*member) for name, member in members.items()}
    np.savez(folder / "stored.npz", **arrays)
    np.savez_compressed(folder / "deflated.npz", **arrays)
    # A comment at the end, which moves the directory's end record, and a member that is no array.
    with zipfile.ZipFile(folder / "commented.npz", "w") as archive:
        with archive.open(zipfile.ZipInfo("rows.npy"), "w") as file:
            np.lib.format.write_array(file, arrays["rows"])
        archive.writestr(zipfile.ZipInfo("notes.txt"), "no array")
        archive.comment = b"PK\5\6 is not here"
    # As cnpy writes: headers padded to 16 bytes alone, a sign of order for types of one byte, version
    # 2.0 of ZIP, no flags.
    others = {
        "tokens": np.arange(20, dtype="<f4").reshape(5, 4),
        "ids": np.array([[1, 2, 3], [4, 0, 1]], dtype="<i8"),
        "mask": np.array([[0, 1, 1], [1, 1, 1]], dtype="u1"),
        "flags": np.array([[False, True, True], [True, True, True]]),
    }
    (folder / "cnpy.npz").write_bytes(cnpy(others))
    read = np.load(folder / "cnpy.npz")
    assert all(np.array_equal(read[name], value) for name, value in others.items())
    # As Julia's NPZ.jl writes: Fortran order for all, deflated.
    with zipfile.ZipFile(folder / "julia.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in [("rows", arrays["rows"]), ("ids", values_of("<u2", 7))]:
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), npy_bytes(array, fortran=True))
    # Members that no reader takes, beside those that it does: a name given twice, another compression,
    # a flag of encryption, a name in no UTF-8; and an array without the usual ending.
    with warnings.catch_warnings(), zipfile.ZipFile(folder / "odd.npz", "w") as archive:
        warnings.simplefilter("ignore")
        rows = npy_bytes(arrays["rows"])
        for name in ["twice.npy", "twice.npy", "secret.npy", "rows.npy", "n\u00e4me.npy"]:
            archive.writestr(zipfile.ZipInfo(name), rows)
        archive.writestr(zipfile.ZipInfo("bzip2.npy"), rows, zipfile.ZIP_BZIP2)
        archive.writestr(zipfile.ZipInfo("bare"), npy_bytes(arrays["ids"]))
    data = bytearray((folder / "odd.npz").read_bytes())
    at = data.index(b"secret.npy", data.index(b"PK\1\2"))
    data[at - 38] |= 1
    data = data.replace("n\u00e4me.npy".encode(), b"n\xe4\xffme.npy")
    (folder / "odd.npz").write_bytes(data)
    names = [("stored", members), ("deflated", members), ("commented", {"rows": members["rows"]})]
    return [{"name": f"{name}.npz", "arrays": arrays} for name, arrays in names]


def main() -> None:
    for kind, files in [("safetensors", safetensors_files()), ("npz", npz_files())]:
        lines = ",\n".join("  " + json.dumps(file) for file in files)
        text = f'{{\n "madeBy": {json.dumps(MADE_BY)},\n "files": [\n{lines}\n ]\n}}\n'
        (FIXTURES / kind / "index.json").write_text(text)
        sizes = [path.stat().st_size for path in (FIXTURES / kind).iterdir()]
        print(f"{kind}: {len(sizes)} files, {sum(sizes)} bytes")


if __name__ == "__main__":
    main()
