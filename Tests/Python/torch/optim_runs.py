"""Runs of an optimiser beside torch's: the same gradients, sparse here, dense in float64 there."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor

from embedkernel.torch import optim

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


SCHEDULERS = {
    "none": None,
    "cosine": lambda o, n: torch.optim.lr_scheduler.CosineAnnealingLR(o, n),
    "step": lambda o, n: torch.optim.lr_scheduler.StepLR(o, 3, 0.5),
    "exponential": lambda o, n: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
    "lambda": lambda o, n: torch.optim.lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t)),
    "warm restarts": lambda o, n: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 4),
    "one cycle": lambda o, n: torch.optim.lr_scheduler.OneCycleLR(
        o, 0.05, total_steps=n + 1, cycle_momentum=False
    ),
    "one cycle of betas": lambda o, n: torch.optim.lr_scheduler.OneCycleLR(
        o, 0.05, total_steps=n + 1
    ),
    "cyclic to zero": lambda o, n: torch.optim.lr_scheduler.CyclicLR(
        o, 0.0, 0.05, step_size_up=3, cycle_momentum=False
    ),
    "warmup": lambda o, n: torch.optim.lr_scheduler.SequentialLR(
        o,
        [
            torch.optim.lr_scheduler.LinearLR(o, 0.1, total_iters=4),
            torch.optim.lr_scheduler.CosineAnnealingLR(o, n),
        ],
        [4],
    ),
}


class Pair:
    """One weight under an optimiser of ours, one in float64 under torch's."""

    def __init__(
        self,
        ours: Any,
        theirs: Any,
        numbers: dict[str, Any],
        scheduler: str,
        steps: int,
        rows: int = 30,
        dim: int = 5,
        seed: int = 0,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        start = torch.randn(rows, dim, generator=generator)
        self.rows = rows
        self.weight = torch.nn.Parameter(start.clone())
        self.truth = torch.nn.Parameter(start.double())
        self.ours = ours([self.weight], **numbers)
        self.theirs = theirs([self.truth], **numbers)
        make = SCHEDULERS[scheduler]
        self.schedules = [] if make is None else [make(o, steps) for o in (self.ours, self.theirs)]
        self.rates: list[float] = []

    def step(self, ids: torch.Tensor, values: torch.Tensor, form: str = "sparse") -> None:
        if form == "dense":
            self.weight.grad = dense(ids, values, self.rows).float()
        else:
            self.weight.grad = sparse(ids, values, self.rows, form == "coalesced")
        self.truth.grad = dense(ids, values, self.rows)
        self.rates.append(float(self.ours.param_groups[0]["lr"]))
        assert self.rates[-1] == float(self.theirs.param_groups[0]["lr"])
        self.ours.step()
        self.theirs.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for schedule in self.schedules:
                schedule.step()

    def difference(self) -> float:
        return (self.weight.detach().double() - self.truth.detach()).abs().max().item()

    def check(self) -> None:
        assert self.difference() <= bound(self.truth.detach(), self.rates)


ALL = [
    lambda p: optim.ExactLazyAdamW(p, lr=0.01),
    lambda p: optim.LazyAdamW(p, lr=0.01),
    lambda p: optim.SGD(p, lr=0.01, momentum=0.9),
    lambda p: optim.RowWiseAdagrad(p, lr=0.01),
]
IDS = ["exact", "lazy", "sgd", "adagrad"]
each = pytest.mark.parametrize("make", ALL, ids=IDS)


def model(seed: int = 0) -> torch.nn.Embedding:
    torch.manual_seed(seed)
    return torch.nn.Embedding(20, 4, sparse=True)
