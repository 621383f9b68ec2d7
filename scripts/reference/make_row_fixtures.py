#!/usr/bin/env python3
"""Writes rows in every format, and what they decode to, by the libraries that the formats come from.

    python -m venv .venv && .venv/bin/pip install -r scripts/requirements/fixtures.txt
    .venv/bin/pip install gguf==0.19.0 && .venv/bin/pip install --no-deps fbgemm-gpu-cpu==1.8.0
    .venv/bin/python scripts/reference/make_row_fixtures.py --ggml libggml-base.so

int8 by NumPy, fp8 by PyTorch's float8 types, FBGEMM's formats by fbgemm-gpu-cpu (on a CPU with AVX2 and FMA),
GGUF's by gguf, which does not quantise Q4_K and Q6_K: these by ggml's own library, which llama.cpp builds, for a
CPU without FMA or with -ffp-contract=off. Tests/EmbedRowsTests/Fixtures/rows.npz gets:

D.elements              [rows, D] fp32, for each D: normal ones, zeros, constants, outliers, subnormal ones, and
                        last the extreme ones that formats with a narrow range refuse
FORMAT.D.bytes          [rows that the format holds, bytes a row]
FORMAT.D.scales         [rows, bytes of scales a row], where they stand beside the rows
FORMAT.D.decoded        [rows, D] fp32
FORMAT.D.raw.bytes      rows of random bytes, with .scales and .decoded likewise: scales are infinite, NaN and
                        subnormal among them
"""

import argparse
import ctypes
import io
import zipfile
from pathlib import Path

import fbgemm_gpu  # noqa: F401  Registers torch.ops.fbgemm.
import gguf
import numpy as np
import torch

OUTPUT = Path(__file__).resolve().parents[2] / "Tests/EmbedRowsTests/Fixtures/rows.npz"
SEED = 20_260_715
RAW_ROWS = 5
EXTREME = 3
f32 = np.float32
e4m3 = torch.float8_e4m3fn
e8m0 = torch.float8_e8m0fnu

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--ggml", type=Path, required=True, help="ggml's library, libggml-base.so")
arguments = parser.parse_args()
random = np.random.default_rng(SEED)
np.seterr(all="ignore")


def elements(dim):
    """Rows of `dim` columns; the last EXTREME are extreme."""
    def normal(scale):
        return random.standard_normal(dim) * scale

    outlier = normal(0.01)
    outlier[dim // 2] = 37.5
    ties = random.integers(-254, 255, dim) / 2.0
    ties[0] = 127
    rows = [
        normal(0.02), normal(1), normal(100).clip(-400, 400), np.zeros(dim), np.full(dim, 5.25),
        np.full(dim, -0.3), outlier, ties, normal(1e-9), np.abs(normal(3)), -np.abs(normal(3)),
        np.where(np.arange(dim) % 2, 1.0, -1.0) * 448,
        normal(1e-41), normal(1e30), normal(1) * np.exp2(random.integers(-60, 60, dim)),
    ]
    return np.stack(rows).astype(f32)


def as_bytes(array):
    return np.ascontiguousarray(array).view(np.uint8).reshape(array.shape[0], -1)


# Each format: encode(x) -> bytes, scales or None; decode(bytes, scales, dim) -> fp32.

def int8(scale_type):
    def encode(x):
        scale = (np.abs(x).max(1, keepdims=True) / f32(127)).astype(scale_type)
        wide = scale.astype(f32)
        q = np.where(wide == 0, f32(0), np.rint(x / wide)).clip(-127, 127).astype(np.int8)
        return as_bytes(q), as_bytes(scale)

    def decode(data, scales, dim):
        return data.view(np.int8).astype(f32) * scales.view(scale_type).astype(f32)
    return encode, decode


def to_fp8(x):
    return torch.from_numpy(np.ascontiguousarray(x)).to(e4m3).view(torch.uint8).numpy()


def from_fp8(data):
    return torch.from_numpy(data.copy()).view(e4m3).float().numpy()


def fp8_row_encode(x):
    scale = np.abs(x).max(1, keepdims=True) / f32(448)
    return to_fp8(np.where(scale == 0, f32(0), x / scale).clip(-448, 448)), as_bytes(scale)


def blocks(x, size):
    """[rows, blocks, size], the last block filled with zeros."""
    padded = np.pad(x, ((0, 0), (0, -x.shape[1] % size)))
    return padded.reshape(x.shape[0], -1, size)


def fp8_blocks(size, code_of, from_code, as_scale):
    def encode(x):
        part = blocks(x, size)
        scale, inverse = code_of(np.abs(part).max(2, keepdims=True))
        q = to_fp8((part * inverse).clip(-448, 448)).reshape(x.shape[0], -1)[:, :x.shape[1]]
        return np.ascontiguousarray(q), as_bytes(as_scale(scale[..., 0]))

    def decode(data, scales, dim):
        factor = np.repeat(from_code(scales), size, axis=1)[:, :dim]
        return from_fp8(data) * factor
    return encode, decode


def ocp_scale(amax):
    """2^(floor(log2(amax)) - 8), exponents below -127 cut off, as OCP's MX formats 1.0 have it."""
    exponent = np.where(amax == 0, -127, np.floor(np.log2(np.where(amax == 0, 1, amax).astype(np.float64))) - 8)
    exponent = exponent.clip(-127, 127)
    return (exponent + 127).astype(np.uint8), np.exp2(-exponent).astype(f32)


def deepgemm_scale(amax):
    scale = np.maximum(amax, f32(1e-4)) / f32(448)
    exponent = np.ceil(np.log2(scale.astype(np.float64)))
    return (exponent + 127).astype(np.uint8), np.exp2(-exponent).astype(f32)


def deepgemm_float_scale(amax):
    scale = np.maximum(amax, f32(1e-4)) / f32(448)
    return scale, f32(1) / scale


def from_e8m0(scales):
    return torch.from_numpy(scales.copy()).view(e8m0).float().numpy()


def fbgemm(encode_op, decode_op):
    return (lambda x: (encode_op(torch.from_numpy(x)).numpy(), None),
            lambda data, scales, dim: decode_op(torch.from_numpy(data.copy())).numpy())


def ggml(kind, reference=None):
    def encode(x):
        if reference is None:
            return gguf.quants.quantize(x, kind), None
        block, size = gguf.GGML_QUANT_SIZES[kind]
        data = np.zeros((x.shape[0], x.shape[1] // block * size), np.uint8)
        quantise = getattr(ctypes.CDLL(str(arguments.ggml.resolve())), reference)
        quantise.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        for row, out in zip(x, data):
            quantise(row.ctypes.data, out.ctypes.data, x.shape[1])
        return data, None
    return encode, lambda data, scales, dim: gguf.quants.dequantize(data, kind)


ops = torch.ops.fbgemm
kinds = gguf.GGMLQuantizationType
PLAIN, FOURS, B32, B256 = [1, 33, 100, 130], [4, 36, 100], [32, 96], [256, 512]
# name: dims, whether extreme rows are held, bytes a row, bytes of scales, encode, decode
FORMATS = {
    "int8": (PLAIN, True, lambda d: d, lambda d: 4, *int8(f32)),
    "int8_f16": (PLAIN, False, lambda d: d, lambda d: 2, *int8(np.float16)),
    "fp8": (PLAIN, False, lambda d: d, None, lambda x: (to_fp8(x), None), lambda b, s, d: from_fp8(b)),
    "fp8_row": (PLAIN, True, lambda d: d, lambda d: 4, fp8_row_encode,
                lambda b, s, d: from_fp8(b) * s.view(f32)),
    "fp8_block32": (PLAIN, True, lambda d: d, lambda d: -(-d // 32),
                    *fp8_blocks(32, ocp_scale, from_e8m0, lambda s: s)),
    "fp8_block128": (PLAIN, True, lambda d: d, lambda d: -(-d // 128),
                     *fp8_blocks(128, deepgemm_scale, from_e8m0, lambda s: s)),
    "fp8_block128_f32": (PLAIN, True, lambda d: d, lambda d: -(-d // 128) * 4,
                         *fp8_blocks(128, deepgemm_float_scale, lambda s: s.view(f32), lambda s: s)),
    "fbgemm8": (PLAIN, True, lambda d: d + 8, None,
                *fbgemm(ops.FloatToFused8BitRowwiseQuantized, ops.Fused8BitRowwiseQuantizedToFloat)),
    "fbgemm4": (FOURS, False, lambda d: d // 2 + 4, None,
                *fbgemm(lambda x: ops.FloatToFusedNBitRowwiseQuantizedSBHalf(x, 4),
                        lambda q: ops.FusedNBitRowwiseQuantizedSBHalfToFloat(q, 4))),
    "q8_0": (B32, False, lambda d: d // 32 * 34, None, *ggml(kinds.Q8_0)),
    "q4_0": (B32, False, lambda d: d // 32 * 18, None, *ggml(kinds.Q4_0)),
    "q4_k": (B256, False, lambda d: d // 256 * 144, None, *ggml(kinds.Q4_K, "quantize_row_q4_K_ref")),
    "q6_k": (B256, False, lambda d: d // 256 * 210, None, *ggml(kinds.Q6_K, "quantize_row_q6_K_ref")),
}


def main():
    dims = sorted({dim for dims, *_ in FORMATS.values() for dim in dims})
    arrays = {f"{dim}.elements": elements(dim) for dim in dims}
    for name, (dims, wide, row_bytes, scale_bytes, encode, decode) in FORMATS.items():
        for dim in dims:
            x = arrays[f"{dim}.elements"]
            x = np.ascontiguousarray(x if wide else x[:-EXTREME])

            def put(key, data, scales):
                arrays[f"{key}.bytes"] = data
                if scales is not None:
                    arrays[f"{key}.scales"] = scales
                arrays[f"{key}.decoded"] = decode(data, scales, dim).astype(f32)

            data, scales = encode(x)
            assert data.shape == (x.shape[0], row_bytes(dim)), (name, dim, data.shape)
            put(f"{name}.{dim}", data, scales)
            raw = random.integers(0, 256, (RAW_ROWS, row_bytes(dim)), np.uint8)
            beside = scale_bytes and random.integers(0, 256, (RAW_ROWS, scale_bytes(dim)), np.uint8)
            put(f"{name}.{dim}.raw", raw, beside)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    # Without the times that numpy.savez writes: the same bytes each time.
    with zipfile.ZipFile(OUTPUT, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            data = io.BytesIO()
            np.save(data, array)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (2026, 1, 1, 0, 0, 0)), data.getvalue(),
                             zipfile.ZIP_DEFLATED)
    print(OUTPUT, OUTPUT.stat().st_size, "bytes,", len(arrays), "arrays")


if __name__ == "__main__":
    main()
