#!/usr/bin/env python3
"""Writes the reference arrays of the optimisers, by PyTorch.

    python -m venv .venv && .venv/bin/pip install -r scripts/requirements/fixtures.txt
    .venv/bin/python scripts/reference/make_optimizer_fixtures.py

Tests/EmbedKernelTests/Fixtures/optimizers/ gets cases.json and, for all cases together, `ids.npy`
[steps, tokens], `output-gradients.npy` [steps, tokens, dim], `dense-gradients.npy` [steps, rows, dim]
and `table.npy` [rows, dim]. Each case trains an `nn.Embedding` on the first `steps` of them, and
records `expected` [rows, dim] beside these fields:

optimizer      the name of the rule
rate           the learning rate of each step
sparse         whether the gradient was sparse (`sparse=True`, coalesced by the optimiser) or dense
source         "ids": the gradient is that of the embedding of `ids`; "dense": it is dense-gradients
paddingID      the id without gradient, or left out
numbers        the optimiser's other arguments, by PyTorch's names

PyTorch steps in double precision here, from the fp32 arrays, so a test measures the engine's rounding.
"""

import json
import math
import platform
from pathlib import Path

import numpy as np
import torch
from torch import nn

FIXTURES = Path(__file__).resolve().parents[2] / "Tests/EmbedKernelTests/Fixtures/optimizers"
SEED = 20_240_611
ROWS, DIM, TOKENS, STEPS = 12, 9, 10, 12


def cosine(step: int) -> float:
    """A warm-up of 3 steps to 0.05, then half a cosine to 0.005 at step 12."""
    if step <= 3:
        return 0.05 * step / 3
    if step >= 12:
        return 0.005
    return 0.005 + 0.045 * 0.5 * (1 + math.cos(math.pi * (step - 3) / 9))


def cases():
    constant = [0.05] * STEPS
    warm = [cosine(step + 1) for step in range(STEPS)]
    for source in ("ids", "dense"):
        for rate, rates in (("constant", constant), ("cosine", warm)):
            yield f"sgd-{source}-{rate}", torch.optim.SGD, "sgd", rates, False, source, {
                "weight_decay": 0.01
            }
            yield f"momentum-{source}-{rate}", torch.optim.SGD, "momentum", rates, False, source, {
                "momentum": 0.8, "weight_decay": 0.01,
            }
            yield f"nesterov-{source}-{rate}", torch.optim.SGD, "momentum", rates, False, source, {
                "momentum": 0.8, "nesterov": True,
            }
            yield f"adagrad-{source}-{rate}", torch.optim.Adagrad, "adagrad", rates, False, source, {
                "lr_decay": 0.02, "initial_accumulator_value": 0.1, "eps": 1e-8,
            }
            yield f"adam-{source}-{rate}", torch.optim.Adam, "adam", rates, False, source, {
                "betas": [0.8, 0.95], "eps": 1e-6, "weight_decay": 0.02,
            }
            yield f"adamw-{source}-{rate}", torch.optim.AdamW, "adamw", rates, False, source, {
                "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.1,
            }
    for rate, rates in (("constant", constant), ("cosine", warm)):
        yield f"sgd-sparse-{rate}", torch.optim.SGD, "sgd", rates, True, "ids", {}
        yield f"adagrad-sparse-{rate}", torch.optim.Adagrad, "adagrad", rates, True, "ids", {
            "eps": 1e-10
        }
        yield f"sparse-adam-{rate}", torch.optim.SparseAdam, "sparse-adam", rates, True, "ids", {
            "betas": [0.9, 0.999], "eps": 1e-4,
        }


def train(table, ids, output_gradients, dense_gradients, make, rates, sparse, source, numbers, padding):
    layer = nn.Embedding.from_pretrained(
        table.double(), freeze=False, sparse=sparse, padding_idx=padding
    )
    arguments = dict(numbers)
    if "betas" in arguments:
        arguments["betas"] = tuple(arguments["betas"])
    optimizer = make(layer.parameters(), lr=rates[0], **arguments)
    for step, rate in enumerate(rates):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        if source == "ids":
            layer(ids[step]).backward(output_gradients[step].double())
        else:
            layer.weight.grad = dense_gradients[step].double()
        optimizer.step()
    return layer.weight.detach()


def main() -> None:
    FIXTURES.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(SEED)
    table = torch.randn(ROWS, DIM, generator=generator)
    ids = torch.randint(0, ROWS, (STEPS, TOKENS), generator=generator)
    # A row that no batch touches, and one that most do.
    ids[ids == 7] = 2
    output_gradients = torch.randn(STEPS, TOKENS, DIM, generator=generator)
    dense_gradients = torch.randn(STEPS, ROWS, DIM, generator=generator)
    np.save(FIXTURES / "table.npy", table.numpy())
    np.save(FIXTURES / "ids.npy", ids.numpy().astype(np.int32))
    np.save(FIXTURES / "output-gradients.npy", output_gradients.numpy())
    np.save(FIXTURES / "dense-gradients.npy", dense_gradients.numpy())

    records = []
    for name, make, rule, rates, sparse, source, numbers in cases():
        for padding in (None, 3) if source == "ids" and not numbers.get("weight_decay") else (None,):
            full_name = name if padding is None else f"{name}-padding"
            expected = train(
                table, ids, output_gradients, dense_gradients, make, rates, sparse, source, numbers,
                padding,
            )
            np.save(FIXTURES / f"{full_name}.npy", expected.numpy())
            record = {
                "name": full_name, "optimizer": rule, "rate": rates, "sparse": sparse,
                "source": source, "numbers": numbers, "expected": f"{full_name}.npy",
            }
            if padding is not None:
                record["paddingID"] = padding
            records.append(record)
    made_by = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "seed": SEED,
    }
    text = json.dumps({"madeBy": made_by, "cases": records}, indent=1)
    (FIXTURES / "cases.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
