"""Arguments and parameters that no optimiser can have are refused, by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from optim_runs import each

from embedkernel.torch import optim


@pytest.mark.parametrize("kind", [optim.ExactLazyAdamW, optim.LazyAdamW, optim.SGD])
@pytest.mark.parametrize("name", ["foreach", "fused", "differentiable", "capturable", "amsgrad"])
def test_refused_arguments(kind: Any, name: str) -> None:
    weight = torch.nn.Parameter(torch.zeros(3, 2))
    if kind is optim.SGD and name in ("capturable", "amsgrad"):
        return
    with pytest.raises(ValueError, match=f"{kind.__name__} does not take {name}=True"):
        kind([weight], **{name: True})
    kind([weight], **{name: False})
    optimizer = kind([weight])
    with pytest.raises(ValueError, match=name):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1, 1))], name: True})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("kind", "numbers", "message"),
    [
        (optim.LazyAdamW, {"lr": -1.0}, "Invalid learning rate: -1.0"),
        (optim.LazyAdamW, {"lr": float("nan")}, "Invalid learning rate: nan"),
        (optim.LazyAdamW, {"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
        (optim.LazyAdamW, {"betas": (0.9, -0.1)}, "Invalid beta parameter at index 1: -0.1"),
        (optim.LazyAdamW, {"eps": -1e-8}, "Invalid epsilon value: -1e-08"),
        (optim.LazyAdamW, {"weight_decay": -1.0}, "Invalid weight_decay value: -1.0"),
        (optim.ExactLazyAdamW, {"lr": 1.0, "weight_decay": 2.0}, "Invalid weight_decay value"),
        (optim.ExactLazyAdamW, {"betas": (0.99, 0.9)}, "Invalid betas"),
        (optim.SGD, {"momentum": 1.0}, "Invalid momentum value: 1.0"),
        (optim.SGD, {"dampening": 0.1}, "does not take dampening=0.1"),
        (optim.SGD, {"nesterov": True}, "Nesterov momentum requires a momentum"),
        (optim.SGD, {"untouched": "gone"}, "Invalid untouched rows: 'gone'"),
        (optim.RowWiseAdagrad, {"initial_accumulator_value": -1.0}, "initial_accumulator_value"),
    ],
)
def test_numbers_that_cannot_be(kind: Any, numbers: dict[str, Any], message: str) -> None:
    weight = torch.nn.Parameter(torch.zeros(3, 2))
    with pytest.raises(ValueError, match=message):
        kind([weight], **numbers)


def test_a_rate_that_becomes_impossible() -> None:
    weight = torch.nn.Parameter(torch.zeros(3, 2))
    optimizer = optim.ExactLazyAdamW([weight])
    weight.grad = torch.ones(3, 2)
    optimizer.param_groups[0]["lr"] = float("nan")
    with pytest.raises(ValueError, match="Invalid learning rate: nan"):
        optimizer.step()
    optimizer.param_groups[0]["lr"] = torch.tensor(0.5)
    optimizer.step()
    assert weight[0, 0].item() == pytest.approx(-0.5)


@each
def test_parameters_that_cannot_be(make: Any) -> None:
    for data, message in [
        (torch.zeros(3, 2, dtype=torch.float64), "torch.float32, not of torch.float64"),
        (torch.zeros(3, 2, dtype=torch.bfloat16), "not of torch.bfloat16"),
        (torch.zeros(2, 3).T, "contiguous"),
        (torch.zeros(3, 2, device="meta"), "on the CPU, not on meta"),
    ]:
        with pytest.raises(ValueError, match=message):
            make([torch.nn.Parameter(data)])
    with pytest.raises(ValueError, match="empty parameter list"):
        make([])
    with pytest.raises(TypeError):
        make([1])
