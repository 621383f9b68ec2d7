#!/usr/bin/env python3
"""Writes the reference gradients of the embedding, by PyTorch.

    python -m venv .venv && .venv/bin/pip install -r scripts/requirements/fixtures.txt
    .venv/bin/python scripts/reference/make_backward_fixtures.py

Tests/EmbedKernelTests/Fixtures/backward.json gets, beside the versions and the seed:

cases      `torch.nn.functional.embedding`, dense and with `sparse=True` (coalesced), for each option:
           ids [batch, context], outputGradient [batch * context, dim], the token gradient
           [vocabulary, dim], and of the sparse one its rows and their values; where a case adds
           positions, the position gradient [context, dim] of `tokens(ids) * scale + positions`
renorms    `max_norm` and `norm_type`: a table before and after a forward call
clips      `torch.nn.utils.clip_grad_norm_` over several gradients: the norm and what is left of them

Numbers are written so that reading them back gives the same fp32 bits.
"""

import json
import platform
from pathlib import Path

import torch
from torch.nn import functional

FIXTURE = Path(__file__).resolve().parents[2] / "Tests/EmbedKernelTests/Fixtures/backward.json"
SEED = 20_251_125
GENERATOR = torch.Generator().manual_seed(SEED)


def normal(*shape):
    return torch.randn(*shape, generator=GENERATOR)


def flat(tensor):
    return tensor.detach().flatten().tolist()


def gradient_case(
    name, vocabulary, batch, context, dim, *, hot=0.0, padding=None, by_frequency=False, scale=None
):
    ids = torch.randint(0, vocabulary, (batch, context), generator=GENERATOR)
    hot_ones = torch.rand(batch, context, generator=GENERATOR) < hot
    ids[hot_ones] = vocabulary // 2
    if padding is not None:
        ids[:, 0] = padding
    output_gradient = normal(batch, context, dim)
    options = {"padding_idx": padding, "scale_grad_by_freq": by_frequency}
    record = {
        "name": name,
        "vocabulary": vocabulary,
        "batch": batch,
        "context": context,
        "dim": dim,
        "paddingID": padding,
        "byFrequency": by_frequency,
        "scale": scale,
        "ids": flat(ids),
        "outputGradient": flat(output_gradient),
    }
    table = normal(vocabulary, dim).requires_grad_()
    positions = normal(context, dim).requires_grad_()
    output = functional.embedding(ids, table, **options)
    if scale is not None:
        output = output * scale + positions
    output.backward(output_gradient)
    record["tokens"] = flat(table.grad)
    if scale is not None:
        record["positions"] = flat(positions.grad)
    # PyTorch's sparse gradient knows no division by frequency.
    if not by_frequency and scale is None:
        table = table.detach().requires_grad_()
        functional.embedding(ids, table, sparse=True, **options).backward(output_gradient)
        sparse = table.grad.coalesce()
        rows, values = sparse.indices()[0], sparse.values()
        # It lists the padding row with zeros at times; no gradient is what zeros say.
        listed = rows != padding if padding is not None else torch.ones_like(rows, dtype=bool)
        record["sparseRows"] = flat(rows[listed])
        record["sparseValues"] = flat(values[listed])
    return record


def renorm_case(name, vocabulary, dim, maximum, order):
    table = normal(vocabulary, dim)
    ids = torch.randint(0, vocabulary, (2, 5), generator=GENERATOR)
    after = table.clone()
    functional.embedding(ids, after, max_norm=maximum, norm_type=order)
    return {
        "name": name,
        "vocabulary": vocabulary,
        "dim": dim,
        "maximum": maximum,
        "order": "inf" if order == float("inf") else str(order),
        "ids": flat(ids),
        "before": flat(table),
        "after": flat(after),
    }


def clip_case(name, sizes, maximum, order):
    parameters = [torch.zeros(size).requires_grad_() for size in sizes]
    for parameter in parameters:
        parameter.grad = normal(*parameter.shape)
    before = [flat(parameter.grad) for parameter in parameters]
    norm = torch.nn.utils.clip_grad_norm_(parameters, maximum, norm_type=order)
    return {
        "name": name,
        "maximum": maximum,
        "order": "inf" if order == float("inf") else str(order),
        "before": before,
        "norm": norm.item(),
        "after": [flat(parameter.grad) for parameter in parameters],
    }


def main():
    infinity = float("inf")
    record = {
        "madeBy": {"python": platform.python_version(), "torch": torch.__version__, "seed": SEED},
        "cases": [
            gradient_case("plain", 11, 2, 5, 8),
            gradient_case("hot", 7, 3, 70, 5, hot=0.9),
            gradient_case("padding", 9, 3, 4, 17, padding=2),
            gradient_case("by frequency", 6, 4, 6, 9, hot=0.5, by_frequency=True),
            gradient_case("padding by frequency", 6, 4, 6, 9, padding=0, by_frequency=True),
            gradient_case("scaled with positions", 10, 4, 5, 16, scale=4.0),
            gradient_case("padding with positions", 10, 3, 5, 12, padding=7, scale=12**0.5),
        ],
        "renorms": [
            renorm_case("two", 6, 9, 1.5, 2.0),
            renorm_case("one", 6, 9, 4.0, 1.0),
            renorm_case("three", 6, 20, 1.0, 3.0),
            renorm_case("infinity", 6, 9, 0.75, infinity),
        ],
        "clips": [
            clip_case("two", [(3, 4), (5,), (2, 7)], 1.0, 2.0),
            clip_case("not reached", [(3, 4), (5,)], 100.0, 2.0),
            clip_case("one", [(3, 4), (5,)], 2.0, 1.0),
            clip_case("infinity", [(3, 4), (5,)], 0.5, infinity),
        ],
    }
    FIXTURE.write_text(json.dumps(record, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
