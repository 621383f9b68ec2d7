#!/usr/bin/env python3
"""Writes small GPTs with loss, gradients and one training step, by PyTorch in float64.

    python -m venv .venv && .venv/bin/pip install -r scripts/requirements/fixtures.txt
    .venv/bin/python scripts/reference/make_gpt_fixture.py

Tests/EmbedTrainingTests/Fixtures/gpt/NAME.safetensors gets, for a case:

parameter.NAME    fp32, by GPT-2's names
gradient.NAME     of the mean loss, before clipping, rounded to fp32
after.NAME        after one step, rounded to fp32
tokens            [batch * context + 1] int32: `batch` windows side by side, and the last target
the text `case`   JSON: the sizes and choices, the step's settings, loss and norm of the gradient

PyTorch's linear, layer_norm, gelu, softmax and cross_entropy do the arithmetic, its autograd the
gradients, clip_grad_norm_ and AdamW the step, on float64 copies of the fp32 parameters. AdamW's epsilon
is large, so that a step depends on the sizes of gradients and not on their signs alone: with 1e-8 an
element whose gradient is 0 in exact arithmetic (the keys' biases) would move by the sign of its rounding.
"""

import json
import math
import platform
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

FIXTURES = Path(__file__).resolve().parents[2] / "Tests/EmbedTrainingTests/Fixtures/gpt"
SEED = 20_251_126
VOCABULARY, DIM, HEADS, LAYERS, BATCH = 17, 12, 3, 2, 2
STEP = {
    "learningRate": 0.01, "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-3, "weightDecay": 0.1,
    "clip": 0.5,
}
MADE_BY = {
    "python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__,
    "seed": SEED,
}

# name, context, positions, causal, tied
CASES = [
    ("learned", 7, "learned", True, True),
    ("none", 7, "none", True, False),
    ("sinusoidal", 7, "sinusoidal", False, True),
    ("rope", 30, "rope", True, False),
    ("alibi", 30, "alibi", True, True),
    ("t5", 150, "t5", True, True),
    ("t5-bidirectional", 150, "t5", False, False),
]


def shapes(context, positions, tied):
    """Name -> shape, in the order of GPT-2's checkpoints."""
    found = {"wte.weight": (VOCABULARY, DIM)}
    if positions == "learned":
        found["wpe.weight"] = (context, DIM)
    for layer in range(LAYERS):
        for part, rows, columns in [
            ("attn.c_attn", DIM, 3 * DIM), ("attn.c_proj", DIM, DIM),
            ("mlp.c_fc", DIM, 4 * DIM), ("mlp.c_proj", 4 * DIM, DIM),
        ]:
            found[f"h.{layer}.{part}.weight"] = (rows, columns)
            found[f"h.{layer}.{part}.bias"] = (columns,)
        for part in ("ln_1", "ln_2"):
            found[f"h.{layer}.{part}.weight"] = found[f"h.{layer}.{part}.bias"] = (DIM,)
    found["ln_f.weight"] = found["ln_f.bias"] = (DIM,)
    if positions == "t5":
        found["relative_attention_bias.weight"] = (32, HEADS)
    if not tied:
        found["lm_head.weight"] = (VOCABULARY, DIM)
    return found


def is_gain(name):
    return name.endswith(("ln_1.weight", "ln_2.weight", "ln_f.weight"))


def sinusoids(context):
    place = torch.arange(context, dtype=torch.float64)[:, None]
    angles = place * 10_000 ** (-torch.arange(0, DIM, 2, dtype=torch.float64) / DIM)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


def rotated(x):
    """RoPE of [batch, heads, context, dim of a head]: complex numbers of two halves, turned."""
    half = x.shape[-1] // 2
    frequencies = 10_000 ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(x.shape[-2], dtype=torch.float64)[:, None] * frequencies
    turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(
        torch.ones_like(angles), angles
    )
    return torch.cat((turned.real, turned.imag), dim=-1)


def alibi(distance):
    power = 2 ** int(math.log2(HEADS))
    slopes = [2 ** (-8 * (h + 1) / power) for h in range(power)]
    slopes += [2 ** (-4 * (2 * h + 1) / power) for h in range(HEADS - power)]
    return -torch.tensor(slopes, dtype=torch.float64)[:, None, None] * distance.abs()


def t5_buckets(distance, causal):
    """T5's buckets of `distance`, the query's place less the key's: 32 of them, to 128."""
    count = 32 if causal else 16
    exact = count // 2
    size = distance.clamp(min=0) if causal else distance.abs()
    # One digit less than float64 has, so that a border which is a whole number stays one.
    steps = torch.log(size.clamp(min=1) / exact) / math.log(128 / exact) * (count - exact)
    far = (exact + (steps + 1e-12).floor().long()).clamp(max=count - 1)
    return torch.where(size < exact, size, far) + (0 if causal else 16 * (distance < 0))


def attention(x, p, block, positions, causal):
    batch, context, _ = x.shape
    projected = x @ p[f"{block}.c_attn.weight"] + p[f"{block}.c_attn.bias"]
    query, key, value = projected.view(batch, context, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
    if positions == "rope":
        query, key = rotated(query), rotated(key)
    logits = query @ key.mT / math.sqrt(DIM // HEADS)
    places = torch.arange(context)
    distance = places[:, None] - places
    if positions == "alibi":
        logits = logits + alibi(distance)
    if positions == "t5":
        table = p["relative_attention_bias.weight"]
        logits = logits + F.embedding(t5_buckets(distance, causal), table).permute(2, 0, 1)
    if causal:
        logits = logits.masked_fill(distance < 0, -math.inf)
    mixed = (logits.softmax(-1) @ value).transpose(1, 2).reshape(x.shape)
    return mixed @ p[f"{block}.c_proj.weight"] + p[f"{block}.c_proj.bias"]


def mean_loss(p, ids, targets, positions, causal, tied):
    def norm(x, name):
        return F.layer_norm(x, (DIM,), p[f"{name}.weight"], p[f"{name}.bias"], 1e-5)

    x = F.embedding(ids, p["wte.weight"])
    if positions == "learned":
        x = x + p["wpe.weight"]
    if positions == "sinusoidal":
        x = x * math.sqrt(DIM) + sinusoids(ids.shape[1])
    for layer in range(LAYERS):
        block = f"h.{layer}"
        x = x + attention(norm(x, f"{block}.ln_1"), p, f"{block}.attn", positions, causal)
        inner = norm(x, f"{block}.ln_2") @ p[f"{block}.mlp.c_fc.weight"]
        inner = F.gelu(inner + p[f"{block}.mlp.c_fc.bias"], approximate="tanh")
        x = x + inner @ p[f"{block}.mlp.c_proj.weight"] + p[f"{block}.mlp.c_proj.bias"]
    logits = norm(x, "ln_f") @ p["wte.weight" if tied else "lm_head.weight"].T
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def step(p):
    """Clips and steps; returns the norm before."""
    norm = torch.nn.utils.clip_grad_norm_(list(p.values()), STEP["clip"])
    matrices = [x for name, x in p.items() if x.dim() == 2 and "relative" not in name]
    others = [x for name, x in p.items() if x.dim() == 1 or "relative" in name]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": STEP["weightDecay"]},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=STEP["learningRate"], betas=(STEP["beta1"], STEP["beta2"]), eps=STEP["epsilon"],
    )
    optimizer.step()
    return norm


def fp32(tensor):
    return tensor.detach().numpy().astype(np.float32)


def case(generator, name, context, positions, causal, tied):
    arrays, p = {}, {}
    for part, shape in shapes(context, positions, tied).items():
        values = generator.standard_normal(shape) * 0.3 + (1.0 if is_gain(part) else 0.0)
        arrays[f"parameter.{part}"] = values.astype(np.float32)
        p[part] = torch.tensor(
            arrays[f"parameter.{part}"], dtype=torch.float64, requires_grad=True
        )
    tokens = generator.integers(0, VOCABULARY, BATCH * context + 1).astype(np.int32)
    arrays["tokens"] = tokens
    ids = torch.tensor(tokens[:-1]).long().view(BATCH, context)
    targets = torch.tensor(tokens[1:]).long().view(BATCH, context)
    loss = mean_loss(p, ids, targets, positions, causal, tied)
    loss.backward()
    arrays |= {f"gradient.{part}": fp32(x.grad) for part, x in p.items()}
    norm = step(p)
    arrays |= {f"after.{part}": fp32(x) for part, x in p.items()}
    record = {
        "vocabulary": VOCABULARY, "context": context, "dim": DIM, "heads": HEADS, "layers": LAYERS,
        "positions": positions, "direction": "causal" if causal else "bidirectional",
        "head": "tied" if tied else "untied", "batch": BATCH, "loss": loss.item(),
        "gradientNorm": norm.item(), "step": STEP, "madeBy": MADE_BY,
    }
    # One text: the order of several is not the same from run to run.
    path = FIXTURES / f"{name}.safetensors"
    save_file(arrays, path, {"case": json.dumps(record)})
    path.chmod(0o644)
    print(f"{name}: loss {loss.item():.6f}, norm of the gradient {norm.item():.4f}")


def main():
    FIXTURES.mkdir(parents=True, exist_ok=True)
    for old in FIXTURES.glob("*.safetensors"):
        old.unlink()
    generator = np.random.default_rng(SEED)
    for fields in CASES:
        case(generator, *fields)


if __name__ == "__main__":
    main()
