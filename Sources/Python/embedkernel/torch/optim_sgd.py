"""Stochastic gradient descent for rows, with and without momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo

from .optim_base import LEFT, STEPPED, Gradient, Numbers, RowOptimizer, Stepper, check_number


class SGD(RowOptimizer):
    """``torch.optim.SGD`` for parameters with sparse gradients.

    A dense gradient steps all rows as ``torch.optim.SGD`` does. Of a sparse one, with
    ``untouched="left"`` only the rows that it names move: the momentum of the others waits as it is.
    With ``untouched="stepped"`` all rows take the step, those without gradient by their momentum and
    weight decay, as with the same gradient made dense, at the cost of all rows.

    Args:
        params: Parameters of ``torch.float32`` on the CPU, or groups of them.
        lr: The learning rate, a number or a tensor of one element.
        momentum: How much of the momentum a step keeps, below 1; 0 keeps none and no state.
        dampening: Must be 0.
        weight_decay: How much of the parameter is added to its gradient.
        nesterov: Steps by the momentum as the next step would see it.
        maximize: Steps up the gradient.
        untouched: ``"left"`` or ``"stepped"``.

    ``foreach``, ``differentiable`` and ``fused`` are refused where they are true. Groups and state
    dict are those of ``torch.optim.SGD``.
    """

    refused = ("dampening", *RowOptimizer.refused)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        untouched: str = "left",
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
                "untouched": untouched,
            },
        )

    def _numbers(self, group: dict[str, Any]) -> Numbers:
        momentum = check_number("momentum value", group["momentum"], below=1)
        if group["nesterov"] and momentum == 0:
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        if group["untouched"] not in ("left", "stepped"):
            raise ValueError(
                f"Invalid untouched rows: {group['untouched']!r}, expected 'left' or 'stepped'"
            )
        return Numbers(
            rate=check_number("learning rate", group["lr"]),
            decay=check_number("weight_decay value", group["weight_decay"]),
            beta1=momentum,
            beta2=float("nan"),
            epsilon=float("nan"),
            scale=-1.0 if group["maximize"] else 1.0,
        )

    def _step(
        self, group: dict[str, Any], parameter: Tensor, gradient: Gradient, numbers: Numbers
    ) -> None:
        arrays: tuple[Tensor, ...] = ()
        rule = "sgd"
        if numbers.beta1 != 0:
            rule = "nesterov" if group["nesterov"] else "momentum"
            state = self.state[parameter]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(
                    parameter, memory_format=torch.contiguous_format
                )
            arrays = (state["momentum_buffer"],)
        untouched = STEPPED if group["untouched"] == "stepped" else LEFT
        stepper = self._steppers.get(parameter)
        if stepper is None or stepper.rule != rule or stepper.untouched != untouched:
            if rule == "sgd":
                numbers = numbers._replace(beta1=float("nan"))
            stepper = Stepper(rule, untouched, parameter, arrays, numbers, 0)
            self._steppers[parameter] = stepper
        if rule == "sgd":
            numbers = numbers._replace(beta1=float("nan"))
        stepper.step(parameter, arrays, gradient, numbers)

    @_disable_dynamo
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes a state: this optimiser's, or that of ``torch.optim.SGD``.

        Raises ``ValueError`` for one with dampening, or one that is not SGD's.
        """
        for number, group in enumerate(state_dict["param_groups"]):
            if "momentum" not in group:
                raise ValueError(f"group {number} of the state has no momentum")
            if group.get("dampening"):
                raise ValueError(f"group {number} of the state has dampening={group['dampening']}")
        for key, state in state_dict["state"].items():
            unknown = state.keys() - {"momentum_buffer"}
            if unknown:
                raise ValueError(f"the state of parameter {key} has {min(unknown)}")
        super().load_state_dict(state_dict)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.update(foreach=None, fused=None, differentiable=False)
            group.setdefault("nesterov", False)
            group.setdefault("maximize", False)
            group.setdefault("untouched", "left")
            for parameter in group["params"]:
                held: dict[str, Any] = self.state.get(parameter) or {}
                buffer = held.get("momentum_buffer")
                if buffer is None:
                    continue
                if buffer.is_sparse:  # torch's SGD keeps what it was given.
                    buffer = buffer.to_dense()
                if buffer.shape != parameter.shape:
                    raise ValueError(
                        f"momentum_buffer of shape {tuple(buffer.shape)} for a parameter of "
                        f"{tuple(parameter.shape)}"
                    )
                held["momentum_buffer"] = buffer.to("cpu", torch.float32).contiguous()
