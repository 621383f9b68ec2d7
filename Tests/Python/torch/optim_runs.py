"""Runs of an optimiser beside torch's: the same gradients, sparse here, dense in float64 there."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator

import numpy
import torch
from torch import Tensor

UNIT = 2.0**-24  # Half a unit in the last place of 1.


def sparse(ids: Tensor, values: Tensor, rows: int, coalesced: bool = False) -> Tensor:
    """A gradient of ``rows`` rows that names those of ``ids``, as nn.Embedding's."""
    gradient = torch.sparse_coo_tensor(
        ids.reshape(1, -1), values, (rows, *values.shape[1:]), check_invariants=True
    )
    return gradient.coalesce() if coalesced else gradient


def gradients(
    seed: int, rows: int, dim: int, steps: int, count: int, used: float = 0.5
) -> Iterator[tuple[Tensor, Tensor]]:
    """ids ``[count]`` and values ``[count, dim]`` for each step; later steps leave many rows alone."""
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        last = rows if step < 2 else max(1, int(rows * used))
        ids = torch.randint(0, last, (count,), generator=generator)
        yield ids, torch.randn(count, dim, generator=generator)


def dense(ids: Tensor, values: Tensor, rows: int) -> Tensor:
    """The same gradient with all rows, in float64."""
    return torch.zeros(rows, *values.shape[1:], dtype=torch.float64).index_add_(
        0, ids, values.double()
    )


def bound(reference: Tensor, rates: list[float], strays: bool = False) -> float:
    """How far a float32 run of AdamW may be from one in float64.

    Half a unit of the greatest parameter for its last rounding (for torch's float32, two roundings a
    step), and for each step the rate times the error of m / sqrt(v): both moments are rounded at each
    step, and forget at their own pace, which leaves some 1/(1 - beta1) = 10 units of the first,
    relative to the greatest gradient, whose part in sqrt(v) is at most 1/sqrt(1 - beta2) = 32.
    """
    size = max(1.0, reference.abs().max().item())
    roundings = 2 * len(rates) + 1 if strays else 2
    return UNIT * (roundings * size + 32 * 10 * sum(rates))


def raw(parameter: Tensor, address: int) -> Tensor:
    """What stands in memory, read past torch."""
    with torch._C.DisableTorchFunctionSubclass():
        count, shape = parameter.numel(), tuple(parameter.shape)
    memory = (ctypes.c_float * count).from_address(address)
    return torch.from_numpy(numpy.array(memory).reshape(shape)).double()


Maker = Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]
