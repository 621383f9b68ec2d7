"""Row-wise Adagrad: one sum of squares for each row, as recommendation models use it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo

from .optim_base import LEFT, Gradient, Numbers, RowOptimizer, Stepper, check_number, row_shape


class RowWiseAdagrad(RowOptimizer):
    """Adagrad with one sum for each row, as FBGEMM's ``EXACT_ROWWISE_ADAGRAD``.

        d = gradient + weight_decay * row
        sum += mean of d * d over the row
        row -= lr / (sqrt(sum) + eps) * d

    for the rows that a sparse gradient names; a dense gradient steps all rows. The state is a number
    for each row, ``sum``, shape ``[V]``.

    Args:
        params: Parameters of ``torch.float32`` on the CPU with at least two dimensions, the first of
            them that of rows, or groups of such.
        lr: The learning rate, a number or a tensor of one element.
        weight_decay: How much of a row is added to its gradient.
        initial_accumulator_value: What the sums start from.
        eps: Added to the root of a sum, above 0.
        maximize: Steps up the gradient.

    ``foreach``, ``differentiable`` and ``fused`` are refused where they are true.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def _numbers(self, group: dict[str, Any]) -> Numbers:
        check_number("initial_accumulator_value value", group["initial_accumulator_value"])
        return Numbers(
            rate=check_number("learning rate", group["lr"]),
            decay=check_number("weight_decay value", group["weight_decay"]),
            beta1=float("nan"),
            beta2=float("nan"),
            epsilon=check_number("epsilon value", group["eps"], above=True),
            scale=-1.0 if group["maximize"] else 1.0,
        )

    def _check_parameter(self, parameter: Tensor) -> None:
        super()._check_parameter(parameter)
        if parameter.dim() < 2:
            raise ValueError(
                f"RowWiseAdagrad steps parameters with rows, not one of shape {tuple(parameter.shape)}"
            )

    def _step(
        self, group: dict[str, Any], parameter: Tensor, gradient: Gradient, numbers: Numbers
    ) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["sum"] = torch.full(
                (row_shape(parameter)[0],), float(group["initial_accumulator_value"])
            )
        arrays = (state["sum"],)
        stepper = self._steppers.get(parameter)
        if stepper is None:
            stepper = Stepper("row-wise-adagrad", LEFT, parameter, arrays, numbers, 0)
            self._steppers[parameter] = stepper
        stepper.step(parameter, arrays, gradient, numbers)
        state["step"] += 1

    @_disable_dynamo
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes a state of this optimiser.

        Raises ``ValueError`` for another's: a sum for each element, as ``torch.optim.Adagrad`` keeps,
        says nothing of a row's.
        """
        rows = {}
        places = (p for group in self.param_groups for p in group["params"])
        keys = (key for group in state_dict["param_groups"] for key in group["params"])
        for key, parameter in zip(keys, places):
            rows[key] = row_shape(parameter)[0]
        for key, state in state_dict["state"].items():
            if not state:
                continue
            if set(state) != {"step", "sum"}:
                raise ValueError(
                    f"the state of parameter {key} has {sorted(state)}, not ['step', 'sum']"
                )
            if key in rows and tuple(state["sum"].shape) != (rows[key],):
                raise ValueError(
                    f"sum of shape {tuple(state['sum'].shape)} for a parameter of {rows[key]} rows"
                )
        super().load_state_dict(state_dict)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.update(foreach=None, fused=None, differentiable=False)
            for parameter in group["params"]:
                held = self.state.get(parameter)
                if held:
                    held["sum"] = held["sum"].to("cpu", torch.float32).contiguous()
