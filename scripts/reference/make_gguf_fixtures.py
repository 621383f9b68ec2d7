#!/usr/bin/env python3
"""Writes the GGUF files that the tests read, by PyPI's gguf itself.

    python scripts/reference/make_gguf_fixtures.py

Element i of a tensor of floats or integers is i * 3 - 4, which wraps for bytes. Tensors of blocks are of
drawn bytes whose scales are finite, and beside each stands what gguf decodes it to, as `decoded.NAME` of
F32. `index.json` lists each file's keys and tensors as gguf's own reader tells them, and the versions that
made them. `version` and `big-endian` differ from what gguf writes by default in what their names say.
"""

import json
import platform
import warnings
from importlib.metadata import version
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFEndian, GGUFReader, GGUFValueType, GGUFWriter

FOLDER = Path(__file__).resolve().parents[2] / "Tests/EmbedFilesTests/Fixtures/gguf"
CORPUS = Path(__file__).resolve().parents[2] / "Tests/Support/FuzzProbe/Corpus/gguf"
PLAIN = {
    Type.F32: np.float32, Type.F16: np.float16, Type.F64: np.float64, Type.I8: np.int8,
    Type.I16: np.int16, Type.I32: np.int32, Type.I64: np.int64,
}
# Where the scales of a block stand, each of 16 bits.
SCALES = {Type.Q8_0: [0], Type.Q4_0: [0], Type.Q4_K: [0, 2], Type.Q6_K: [208], Type.Q5_K: [0, 2]}


def plain(kind, shape):
    count = int(np.prod(shape))
    return (np.arange(count, dtype=np.int64) * 3 - 4).astype(PLAIN[kind]).reshape(shape)


def blocks(kind, rows, dim, seed):
    """Rows of drawn blocks, as bytes."""
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    random = np.random.default_rng(seed)
    data = random.integers(0, 256, (rows, dim // elements, size), dtype=np.uint8)
    for place in SCALES[kind]:
        scales = random.uniform(-0.1, 0.1, (rows, dim // elements)).astype("<f2")
        data[:, :, place:place + 2] = scales[..., None].view(np.uint8).reshape(rows, -1, 2)
    return data.reshape(rows, -1)


def write(name, fill, folder=FOLDER, **options):
    path = folder / f"{name}.gguf"
    writer = GGUFWriter(path, "llama", **options)
    fill(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_values(writer):
    """A key of each type, and arrays of each."""
    writer.add_uint8("a.uint8", 200)
    writer.add_int8("a.int8", -100)
    writer.add_uint16("a.uint16", 60_000)
    writer.add_int16("a.int16", -30_000)
    writer.add_uint32("a.uint32", 4_000_000_000)
    writer.add_int32("a.int32", -2_000_000_000)
    writer.add_float32("a.float32", 0.1)
    writer.add_bool("a.bool", True)
    writer.add_string("a.string", 'a "text" \u2192 \U0001d518\t')
    writer.add_uint64("a.uint64", (1 << 64) - 1)
    writer.add_int64("a.int64", -(1 << 63))
    writer.add_float64("a.float64", 1e-300)
    writer.add_array("a.texts", ["<unk>", "", "\u00e9", "token"])
    writer.add_array("a.integers", [1, -2, 3])
    writer.add_array("a.numbers", [0.5, -1.5])
    writer.add_array("a.truths", [True, False, True])
    writer.add_array("a.nested", [[1, 2], [3]])
    writer.add_key_value("a.bytes", bytes([1, 2, 250]), GGUFValueType.ARRAY, GGUFValueType.UINT8)


def add_plain(writer):
    for kind in PLAIN:
        writer.add_tensor(kind.name.lower(), plain(kind, (3, 5)))
    # Two bytes an element, as they are.
    brain = (np.arange(8, dtype=np.float32) * 3 - 4).view(np.uint32) >> 16
    writer.add_tensor("bf16", brain.astype("<u2").view(np.uint8).reshape(2, 8), raw_dtype=Type.BF16)
    writer.add_tensor("cube", plain(Type.F32, (2, 3, 4)))
    writer.add_tensor("vector", plain(Type.F32, (7,)))
    writer.add_tensor("n\u00e4me \u2192", plain(Type.F32, (1,)))


def add_blocks(writer):
    for seed, kind in enumerate(SCALES):
        data = blocks(kind, 5, 256 if gguf.GGML_QUANT_SIZES[kind][0] == 256 else 64, seed)
        writer.add_tensor(kind.name.lower(), data, raw_dtype=kind)
        decoded = gguf.dequantize(data, kind).astype(np.float32)
        assert np.isfinite(decoded).all()
        writer.add_tensor(f"decoded.{kind.name.lower()}", decoded)


def add_model(writer):
    """What a small model has: its table by the usual name."""
    writer.add_name("small")
    writer.add_vocab_size(6)
    writer.add_embedding_length(64)
    writer.add_token_list([f"<{i}>" for i in range(6)])
    table = np.random.default_rng(9).standard_normal((6, 64)).astype(np.float32)
    data = gguf.quantize(table, Type.Q8_0)
    writer.add_tensor("token_embd.weight", data, raw_dtype=Type.Q8_0)
    writer.add_tensor("output_norm.weight", np.ones(64, np.float32))
    writer.add_tensor("decoded.token_embd.weight", gguf.dequantize(data, Type.Q8_0).astype(np.float32))


def told(path):
    """What gguf's reader says of a file."""
    reader = GGUFReader(path)

    def value(field):
        kinds = [kind.name.lower() for kind in field.types]
        parts = [field.parts[i] for i in field.data]
        if kinds[-1] == "string":
            texts = [bytes(part).decode() for part in parts]
            return {"type": kinds, "texts": texts}
        return {"type": kinds, "numbers": [repr(part[0].item()) for part in parts]}

    keys = {
        name: value(field) for name, field in reader.fields.items() if not name.startswith("GGUF.")
    }
    tensors = [
        {
            "name": tensor.name, "type": tensor.tensor_type.name,
            "shape": [int(size) for size in reversed(tensor.shape)], "bytes": int(tensor.n_bytes),
            "offset": int(tensor.data_offset),
        }
        for tensor in reader.tensors
    ]
    return {"name": path.name, "keys": keys, "tensors": tensors}


def main():
    warnings.simplefilter("error")
    for folder in (FOLDER, CORPUS):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*"):
            old.unlink()

    def aligned(writer):
        writer.add_custom_alignment(8)
        writer.add_tensor("odd", plain(Type.I8, (3,)))
        writer.add_tensor("after", plain(Type.F64, (2, 2)))

    paths = [
        write("values", add_values), write("plain", add_plain), write("blocks", add_blocks),
        write("model", add_model), write("aligned", aligned), write("empty", lambda writer: None),
    ]
    old = bytearray(paths[0].read_bytes())
    old[4] = 2
    paths.append(FOLDER / "version2.gguf")
    paths[-1].write_bytes(old)
    write("big-endian", add_plain, endianess=GGUFEndian.BIG)

    made_by = {
        "python": platform.python_version(), "gguf": version("gguf"), "numpy": np.__version__,
    }
    index = {"madeBy": made_by, "files": [told(path) for path in paths]}
    (FOLDER / "index.json").write_text(json.dumps(index, indent=1) + "\n")

    # Small ones to begin fuzzing with.
    for name in ("values", "aligned", "empty"):
        (CORPUS / f"{name}.gguf").write_bytes((FOLDER / f"{name}.gguf").read_bytes())

    def few(writer):
        data = blocks(Type.Q4_0, 2, 32, 3)
        writer.add_tensor("token_embd.weight", data, raw_dtype=Type.Q4_0)
        writer.add_tensor("f", plain(Type.F32, (2, 3)))

    write("few", few, CORPUS)


if __name__ == "__main__":
    main()
