#!/usr/bin/env python3
"""Writes the reference arrays of the fused layer, by PyTorch in float64.

    python -m venv .venv && .venv/bin/pip install -r scripts/requirements/fixtures.txt
    .venv/bin/python scripts/reference/make_layer_fixtures.py

Tests/EmbedKernelTests/Fixtures/layers/ gets cases.json and .npy files named in it:

ids, segmentIDs    [batch, context] int32; segmentIDs is left out where a case has none
tokens, positions, segments, gamma, beta    the parameters, fp32
weights            [batch, context, dim] fp32, the gradient of the output
expected           [batch, context, dim], the output, rounded to fp32
tokenGradient, positionGradient, segmentGradient, gammaGradient, betaGradient    rounded to fp32

PyTorch's embedding, layer_norm and rms_norm do the arithmetic, and its autograd the gradients, on
float64 copies of the fp32 parameters, so that what differs is the library's rounding.
"""

import json
import platform
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

FIXTURES = Path(__file__).resolve().parents[2] / "Tests/EmbedKernelTests/Fixtures/layers"
SEED = 20_251_125

# name, vocabulary, batch, context, dim, segments, norm, epsilon, scale
CASES = [
    ("bert", 30, 2, 5, 48, 2, "layer", 1e-12, 1.0),
    ("gpt2", 30, 2, 4, 33, 0, "none", 0.0, 1.0),
    ("scaled", 20, 3, 3, 16, 0, "layer", 1e-5, 4.0),
    ("gain-only", 20, 1, 6, 70, 3, "layer-without-beta", 1e-5, 1.0),
    ("rms", 20, 2, 4, 64, 0, "rms", 1e-6, 1.0),
    ("rms-segments", 20, 2, 4, 7, 2, "rms", 1e-5, 0.5),
]


def save(name, array):
    np.save(FIXTURES / f"{name}.npy", np.ascontiguousarray(array))
    return f"{name}.npy"


def parameter(generator, *shape, offset=0.0):
    """An fp32 parameter, and the float64 copy that autograd sees."""
    values = (offset + generator.standard_normal(shape) * 0.5).astype(np.float32)
    return values, torch.tensor(values, dtype=torch.float64, requires_grad=True)


def case(generator, name, vocabulary, batch, context, dim, segments, norm, epsilon, scale):
    record = {
        "name": name, "vocabulary": vocabulary, "batch": batch, "context": context, "dim": dim,
        "norm": "layer" if norm.startswith("layer") else norm, "epsilon": epsilon, "scale": scale,
    }
    ids = generator.integers(0, vocabulary, (batch, context)).astype(np.int32)
    record["ids"] = save(f"{name}-ids", ids)
    arrays = {
        "token": parameter(generator, vocabulary, dim),
        "position": parameter(generator, context, dim),
    }
    x = F.embedding(torch.tensor(ids).long(), arrays["token"][1]) * scale
    x = x + arrays["position"][1]
    if segments:
        segment_ids = generator.integers(0, segments, (batch, context)).astype(np.int32)
        record["segmentIDs"] = save(f"{name}-segment-ids", segment_ids)
        arrays["segment"] = parameter(generator, segments, dim)
        x = x + F.embedding(torch.tensor(segment_ids).long(), arrays["segment"][1])
    if norm != "none":
        arrays["gamma"] = parameter(generator, dim, offset=1.0)
    if norm == "layer":
        arrays["beta"] = parameter(generator, dim)
    if record["norm"] == "layer":
        beta = arrays["beta"][1] if "beta" in arrays else None
        x = F.layer_norm(x, (dim,), arrays["gamma"][1], beta, epsilon)
    elif norm == "rms":
        x = F.rms_norm(x, (dim,), arrays["gamma"][1], epsilon)
    weights = generator.standard_normal((batch, context, dim)).astype(np.float32)
    (x * torch.tensor(weights, dtype=torch.float64)).sum().backward()
    record["weights"] = save(f"{name}-weights", weights)
    record["expected"] = save(f"{name}-expected", x.detach().numpy().astype(np.float32))
    for part, (values, tensor) in arrays.items():
        plural = part + "s" if part in ("token", "position", "segment") else part
        record[plural] = save(f"{name}-{plural}", values)
        record[f"{part}Gradient"] = save(
            f"{name}-{part}-gradient", tensor.grad.numpy().astype(np.float32)
        )
    return record


def main():
    FIXTURES.mkdir(parents=True, exist_ok=True)
    for old in FIXTURES.glob("*.npy"):
        old.unlink()
    generator = np.random.default_rng(SEED)
    made_by = {
        "python": platform.python_version(), "numpy": np.__version__,
        "torch": torch.__version__, "seed": SEED,
    }
    cases = [case(generator, *fields) for fields in CASES]
    text = json.dumps({"madeBy": made_by, "cases": cases}, indent=1)
    (FIXTURES / "cases.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
