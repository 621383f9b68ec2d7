#!/usr/bin/env python3
"""Writes the reference values of embedding bags, by PyTorch.

    python -m venv .venv && .venv/bin/pip install -r scripts/requirements/fixtures.txt
    .venv/bin/python scripts/reference/make_bag_fixtures.py

Tests/EmbedRowsTests/Fixtures/bags.json gets, beside the versions and the seed:

cases      `torch.nn.functional.embedding_bag` for each mode, layout and option: the table [vocabulary, dim],
           ids, offsets (with the last one where `includesLast`) or a rectangle [bags, bag], weights; the output
           [bags, dim], the gradient of it, and from that the gradients of table and weights
sparse     the rows and values of `sparse=True`, coalesced, of the cases that PyTorch has it for

Numbers are written so that reading them back gives the same fp32 bits.
"""

import json
import platform
from pathlib import Path

import torch
from torch.nn import functional

FIXTURE = Path(__file__).resolve().parents[2] / "Tests/EmbedRowsTests/Fixtures/bags.json"
SEED = 20_261_129
GENERATOR = torch.Generator().manual_seed(SEED)


def normal(*shape):
    return torch.randn(*shape, generator=GENERATOR)


def flat(tensor):
    """The shortest numbers that read back as the same fp32 ones."""
    values = tensor.detach().flatten()
    return [float(str(x)) for x in values.numpy()] if values.is_floating_point() else values.tolist()


def case(name, mode, lengths, *, vocabulary=11, dim=5, weighted=False, padding=None, last=False, rectangle=False,
         by_frequency=False, sparse=False):
    count = sum(lengths)
    ids = torch.randint(0, vocabulary, (count,), generator=GENERATOR)
    if padding is not None:
        ids[torch.rand(count, generator=GENERATOR) < 0.4] = padding
    starts = [sum(lengths[:bag]) for bag in range(len(lengths) + (1 if last else 0))]
    table = normal(vocabulary, dim).requires_grad_()
    weights = normal(count).requires_grad_() if weighted else None
    options = {
        "mode": mode, "padding_idx": padding, "include_last_offset": last, "scale_grad_by_freq": by_frequency,
    }
    shape = (len(lengths), lengths[0]) if rectangle else (count,)
    offsets = None if rectangle else torch.tensor(starts)
    given = None if weights is None else weights.reshape(shape)
    if by_frequency:
        # PyTorch 2.13's own bag on CPU divides by the number of another id: by that of the k-th of the sorted ids
        # for the k-th different one. Its embedding divides as documented.
        rows = functional.embedding(ids, table, scale_grad_by_freq=True)
        rows = rows if weights is None else rows * weights.unsqueeze(1)
        pooled = [part.sum(0) / (max(1, len(part)) if mode == "mean" else 1) for part in rows.split(lengths)]
        output = torch.stack(pooled)
    else:
        output = functional.embedding_bag(ids.reshape(shape), table, offsets, per_sample_weights=given, **options)
    upstream = normal(len(lengths), dim)
    output.backward(upstream)
    record = {
        "name": name, "mode": mode, "vocabulary": vocabulary, "dim": dim, "paddingID": padding,
        "byFrequency": by_frequency, "includesLast": last, "lengths": lengths,
        "offsets": None if rectangle else starts, "table": flat(table), "ids": flat(ids),
        "weights": None if weights is None else flat(weights), "output": flat(output), "outputGradient": flat(upstream),
        "tableGradient": flat(table.grad), "weightGradient": None if weights is None else flat(weights.grad),
        "sparseRows": None, "sparseValues": None,
    }
    if sparse:
        leaf = table.detach().clone().requires_grad_()
        factors = None if weights is None else weights.detach().reshape(shape)
        functional.embedding_bag(
            ids.reshape(shape), leaf, offsets, per_sample_weights=factors, sparse=True, **options).backward(upstream)
        gradient = leaf.grad.coalesce()
        record["sparseRows"] = flat(gradient.indices())
        record["sparseValues"] = flat(gradient.values())
    return record


def main():
    cases = []
    ragged, even = [3, 0, 1, 7, 0, 0, 2], [4, 4, 4]
    for mode in ("sum", "mean", "max"):
        cases += [
            case(f"{mode}, offsets", mode, ragged, sparse=mode != "max"),
            case(f"{mode}, offsets with the last", mode, ragged, last=True),
            case(f"{mode}, rectangle", mode, even, rectangle=True),
            case(f"{mode}, padding", mode, ragged, padding=3),
            case(f"{mode}, rectangle with padding", mode, [6] * 5, rectangle=True, padding=0),
            case(f"{mode}, all padding", mode, [2, 3], vocabulary=1, padding=0),
            case(f"{mode}, all empty", mode, [0, 0, 0]),
            case(f"{mode}, one id a bag", mode, [1] * 6, dim=33),
            case(f"{mode}, one long bag", mode, [300], dim=3, vocabulary=40),
        ]
        if mode != "max":
            cases.append(case(f"{mode}, by frequency", mode, ragged, by_frequency=True, vocabulary=4))
    cases += [
        case("sum, weights", "sum", ragged, weighted=True, sparse=True),
        case("sum, weights and padding", "sum", ragged, weighted=True, padding=2),
        case("sum, weights of a rectangle", "sum", even, weighted=True, rectangle=True, dim=32),
        case("sum, weights by frequency", "sum", ragged, weighted=True, by_frequency=True, vocabulary=3),
    ]
    text = json.dumps(
        {
            "torch": torch.__version__, "python": platform.python_version(), "seed": SEED, "cases": cases,
        })
    FIXTURE.write_text(text.replace('{"name"', '\n{"name"') + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
