"""Exact-lazy AdamW: ``torch.optim.AdamW`` on every row, at the cost of the rows that gradients name."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo

from .optim_adamw import AdamWState
from .optim_base import LEFT, Gradient, Numbers, Stepper, count_step
from .optim_guard import attach, detach
from .optim_lazy import LazyRows

# Missed steps are summed until their terms are 1e-12 of the first, for at most 2^14 steps.
_GREATEST_RATIO = math.exp(math.log(1e-12) / (1 << 14))


class ExactLazyAdamW(AdamWState):
    """AdamW whose steps cost the rows that a sparse gradient names, and give what dense steps give.

    A row without gradient still decays and moves by what is left of its first moment, as in
    ``torch.optim.AdamW``, but not before it is next read: then it takes all steps that it missed at
    once, with the rates, decays and betas of their time. The rounding of each step is kept too, in a
    byte for each element, so that every row follows AdamW in double precision: it is within half a
    unit in its last place of it, and within the rounding of the float32 moments, over any number of
    steps. ``torch.optim.AdamW`` in float32 strays by up to a unit at each step.

    From its first sparse gradient on, a weight is of a class whose reading brings rows up to date:
    ``weight[...]``, ``F.embedding``, ``F.linear`` in a tied head, ``weight.data``, ``.numpy()``, state
    dicts, copies and pickles, ``torch.compile`` (which breaks the graph there, but not at
    embedkernel's own operators) find the values of dense AdamW. While the memory is held under another
    name (an alias, shared memory, a scripted module), all rows are brought up to date at every step,
    with a warning. An address taken with ``data_ptr()`` is up to date until the next step. Parameters
    with dense gradients alone stay ordinary ones, stepped as AdamW does.

    Where a weight gets a sparse gradient of its lookup and a dense one of a tied head, torch adds them
    to one dense gradient, which steps all rows.

    Args:
        params: Parameters of ``torch.float32`` on the CPU, of any shape, or groups of them; sparse
            gradients (``torch.sparse_coo``, coalesced or not) name entries of the first dimension.
        lr: The learning rate, a number or a tensor of one element; schedulers change it.
        betas: How much the moments keep in a step; the first well below the root of the second. Where
            a scheduler changes them, all rows are brought up to date at each change.
        eps: Added to the root of the second moment, above 0.
        weight_decay: How much a step takes of the parameter, times the rate; the product below 1.
        maximize: Steps up the gradient.

    ``amsgrad``, ``foreach``, ``capturable``, ``differentiable`` and ``fused`` are refused where they
    are true. Groups and state dict are those of ``torch.optim.AdamW``, which loads them and whose
    state is loaded; ``residual``, which it does not know, it passes over.

        optimizer = ExactLazyAdamW(model.embedding.parameters(), lr=1e-3)
    """

    _state: defaultdict[Tensor, dict[str, Any]]

    def __init__(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self._lazy: dict[Tensor, LazyRows] = {}
        super().__init__(params, *args, **kwargs)

    def _numbers(self, group: dict[str, Any]) -> Numbers:
        numbers = super()._numbers(group)
        if numbers.rate * numbers.decay >= 1:
            raise ValueError(
                f"Invalid weight_decay value: {numbers.decay}, expected less than "
                f"1 / lr = {1 / numbers.rate}"
            )
        if numbers.beta1 > _GREATEST_RATIO * math.sqrt(numbers.beta2):
            raise ValueError(
                f"Invalid betas: {group['betas']}, expected the first well below the root of the "
                f"second, {math.sqrt(numbers.beta2)}: what a missed step adds must die away"
            )
        return numbers

    # State

    @property
    def state(  # pyright: ignore[reportIncompatibleVariableOverride]
        self,
    ) -> defaultdict[Tensor, dict[str, Any]]:
        """Each parameter's ``step``, ``exp_avg``, ``exp_avg_sq`` and, once a sparse gradient came,
        ``residual``: all rows are up to date when it is read. Keep none of it across steps."""
        self.synchronise()
        return self._state

    @state.setter
    def state(  # pyright: ignore[reportIncompatibleVariableOverride]
        self, value: defaultdict[Tensor, dict[str, Any]]
    ) -> None:
        self._state = value

    def synchronise(self) -> None:
        """Brings all rows and their moments up to date; costs a look where none is behind."""
        with torch._C.DisableTorchFunctionSubclass():
            for parameter, rows in self._lazy.items():
                rows.synchronise(parameter)

    def _held(self, parameter: Tensor) -> dict[str, Any]:
        return self._state[parameter]

    # Steps

    def _step(
        self, group: dict[str, Any], parameter: Tensor, gradient: Gradient, numbers: Numbers
    ) -> None:
        if not self._state[parameter]:
            self._start(parameter, numbers)
        state = self._state[parameter]
        steps = count_step(state)
        rows = self._lazy.get(parameter)
        if rows is None and gradient.rows is not None:
            rows = self._leave_behind(parameter, state, numbers, steps)
        if rows is not None:
            attach(parameter, rows)
            rows.step(parameter, gradient, numbers)
        else:
            self._step_all_rows(parameter, state, gradient, numbers, steps)
        state["step"] += 1
        if "residual" in state:
            state["residual"]["step"] = state["step"].clone()

    def _step_all_rows(
        self,
        parameter: Tensor,
        state: dict[str, Any],
        gradient: Gradient,
        numbers: Numbers,
        steps: int,
    ) -> None:
        """A dense step of a parameter none of whose rows was ever behind."""
        arrays = (state["exp_avg"], state["exp_avg_sq"])
        stepper = self._steppers.get(parameter)
        if stepper is None:
            stepper = Stepper("adamw", LEFT, parameter, arrays, numbers, steps)
            self._steppers[parameter] = stepper
        stepper.step(parameter, arrays, gradient, numbers)

    def _leave_behind(
        self, parameter: Tensor, state: dict[str, Any], numbers: Numbers, steps: int
    ) -> LazyRows:
        """From now on the parameter's rows may be behind."""
        if "residual" not in state:
            units = torch.zeros(parameter.shape, dtype=torch.int8)
            state["residual"] = {"step": state["step"].clone(), "units": units}
        self._steppers.pop(parameter, None)
        rows = LazyRows(parameter, state, numbers, steps)
        self._lazy[parameter] = rows
        return rows

    # State dict

    @_disable_dynamo
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes a state: this optimiser's, or that of ``torch.optim.AdamW``, whatever implementation
        wrote it. Rows that are behind first take the steps that they owe to the state before.

        Raises ``ValueError`` as ``LazyAdamW.load_state_dict`` does; the optimiser is then as before.
        """
        self.synchronise()
        super().load_state_dict(state_dict)

    def __setstate__(self, state: dict[str, Any]) -> None:
        with torch._C.DisableTorchFunctionSubclass():
            for parameter, rows in self.__dict__.get("_lazy", {}).items():
                detach(parameter, rows)
        self._lazy = {}
        rest = dict(state)
        if "state" in rest:
            self._state = rest.pop("state")
        super().__setstate__(rest)

    def _settle(self, parameter: Tensor) -> None:
        super()._settle(parameter)
        state = self._state.get(parameter)
        if not state or "residual" not in state:
            return
        residual = state["residual"]
        # Another optimiser's steps leave it behind.
        if (
            float(residual["step"]) != float(state["step"])
            or residual["units"].shape != parameter.shape
        ):
            del state["residual"]
        else:
            residual["units"] = residual["units"].to("cpu", torch.int8).contiguous()
