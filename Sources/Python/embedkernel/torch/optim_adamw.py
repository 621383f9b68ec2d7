"""AdamW for rows: the state, numbers and files of ``torch.optim.AdamW``, and its lazy variant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo

from .optim_base import LEFT, Gradient, Numbers, RowOptimizer, Stepper, check_number, count_step


class AdamWState(RowOptimizer):
    """What both AdamWs share: groups and state dict are those of ``torch.optim.AdamW``."""

    refused = ("amsgrad", *RowOptimizer.refused)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
                "decoupled_weight_decay": True,
            },
        )

    def _numbers(self, group: dict[str, Any]) -> Numbers:
        beta1, beta2 = group["betas"]
        return Numbers(
            rate=check_number("learning rate", group["lr"]),
            decay=check_number("weight_decay value", group["weight_decay"]),
            beta1=check_number("beta parameter at index 0", beta1, below=1),
            beta2=check_number("beta parameter at index 1", beta2, below=1),
            epsilon=check_number("epsilon value", group["eps"], above=True),
            scale=-1.0 if group["maximize"] else 1.0,
        )

    def _start(self, parameter: Tensor, numbers: Numbers) -> None:
        state = self._held(parameter)
        state["step"] = torch.tensor(0.0)
        state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
        state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.contiguous_format)

    def _held(self, parameter: Tensor) -> dict[str, Any]:
        """A parameter's state as it is held."""
        held: dict[str, Any] = self.state[parameter]
        return held

    # State dict

    @_disable_dynamo
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes a state: this optimiser's, or that of ``torch.optim.AdamW`` or ``torch.optim.Adam``
        without weight decay, whatever implementation wrote it.

        Raises ``ValueError`` for a state of AMSGrad or of coupled weight decay, or a state that is
        not Adam's; the optimiser is then as before.
        """
        for number, group in enumerate(state_dict["param_groups"]):
            if group.get("amsgrad"):
                raise ValueError(f"group {number} of the state has amsgrad=True: its maxima would be lost")
            if not group.get("decoupled_weight_decay", True) and group.get("weight_decay", 0) != 0:
                raise ValueError(
                    f"group {number} of the state is Adam's, with the weight decay "
                    f"{group['weight_decay']} in the gradient"
                )
            missing = {"lr", "betas", "eps", "weight_decay"} - group.keys()
            if missing:
                raise ValueError(f"group {number} of the state has no {min(missing)}")
        for key, state in state_dict["state"].items():
            missing = {"step", "exp_avg", "exp_avg_sq"} - state.keys()
            if state and missing:
                raise ValueError(f"the state of parameter {key} has no {min(missing)}")
        super().load_state_dict(state_dict)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            # How another optimiser computed is no part of what it computed.
            group.update(
                amsgrad=False,
                foreach=None,
                fused=None,
                capturable=False,
                differentiable=False,
                decoupled_weight_decay=True,
            )
            group.setdefault("maximize", False)
            for parameter in group["params"]:
                self._settle(parameter)

    def _settle(self, parameter: Tensor) -> None:
        """Makes a loaded state the optimiser's own."""
        state = self._held(parameter) if parameter in self.state else {}
        if not state:
            return
        with torch._C.DisableTorchFunctionSubclass():
            if not isinstance(state["step"], Tensor):
                state["step"] = torch.tensor(float(state["step"]))
            state["step"] = state["step"].to("cpu", torch.float32)
            for name in ("exp_avg", "exp_avg_sq"):
                if state[name].shape != parameter.shape:
                    raise ValueError(
                        f"{name} of shape {tuple(state[name].shape)} for a parameter of "
                        f"{tuple(parameter.shape)}"
                    )
                state[name] = state[name].to("cpu", torch.float32).contiguous()


class LazyAdamW(AdamWState):
    """AdamW that steps only the rows that a sparse gradient names, as ``SparseAdam`` does for Adam.

    Rows without gradient stay as they are, with their moments: no weight decay, and no step by what
    is left of the first moment. Named rows take the step of ``torch.optim.AdamW``, with the bias
    correction of the step's number. A dense gradient steps all rows.

    Args:
        params: Parameters of ``torch.float32`` on the CPU, of any shape, or groups of them. A sparse
            gradient (``torch.sparse_coo``, coalesced or not) names entries of the first dimension.
        lr: The learning rate, a number or a tensor of one element; schedulers of
            ``torch.optim.lr_scheduler`` change it.
        betas: How much the moments keep in a step.
        eps: Added to the root of the second moment, above 0.
        weight_decay: How much a step takes of the parameter, times the rate.
        maximize: Steps up the gradient.

    ``amsgrad``, ``foreach``, ``capturable``, ``differentiable`` and ``fused`` are refused where they
    are true. Groups and state dict are those of ``torch.optim.AdamW``, which loads them and whose
    state is loaded.

        optimizer = LazyAdamW(model.embedding.parameters(), lr=1e-3)
    """

    def _step(
        self, group: dict[str, Any], parameter: Tensor, gradient: Gradient, numbers: Numbers
    ) -> None:
        if not self.state[parameter]:
            self._start(parameter, numbers)
        state = self.state[parameter]
        arrays = (state["exp_avg"], state["exp_avg_sq"])
        steps = count_step(state)
        stepper = self._steppers.get(parameter)
        if stepper is None:
            stepper = Stepper("adamw", LEFT, parameter, arrays, numbers, steps)
            self._steppers[parameter] = stepper
        stepper.step(parameter, arrays, gradient, numbers)
        state["step"] += 1
