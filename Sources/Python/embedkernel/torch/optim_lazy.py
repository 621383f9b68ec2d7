"""The rows that an exact-lazy optimiser has left behind, and who else could see them.

V rows of a parameter, D elements of a row.
"""

from __future__ import annotations

import functools
import sys
import warnings
from typing import Any

import torch
from torch import Tensor

from ._errors import call
from .optim_base import CAUGHT_UP, Gradient, Numbers, Stepper

_catch_up = torch.ops.embedkernel.optim_catch_up.default


class LazyRows:
    """What a weight knows of the optimiser that leaves its rows behind."""

    def __init__(
        self, parameter: Tensor, state: dict[str, Any], numbers: Numbers, steps: int
    ) -> None:
        count = parameter.shape[0]
        self._counts = (
            torch.full((count,), steps, dtype=torch.int32),
            torch.full((count,), steps, dtype=torch.int32),
        )
        self._stepper = Stepper(
            "adamw", CAUGHT_UP, parameter, self._arrays(state), numbers, steps
        )
        self._address = parameter.data_ptr()
        self._state = state
        self._has_warned = False

    def _arrays(self, state: dict[str, Any]) -> tuple[Tensor, ...]:
        return (state["exp_avg"], state["exp_avg_sq"], state["residual"]["units"], *self._counts)

    def step(self, parameter: Tensor, gradient: Gradient, numbers: Numbers) -> None:
        """Takes a step: the gradient's rows at once, the others when they are next read."""
        self._stepper.step(parameter, self._arrays(self._state), gradient, numbers)
        self._address = parameter.data_ptr()
        if is_held_elsewhere(parameter):
            if not self._has_warned and gradient.rows is not None:
                self._has_warned = True
                warnings.warn(
                    f"something else holds the memory of a weight of shape {tuple(parameter.shape)} "
                    "(an alias such as weight.data or a state dict, a view, a scripted module, "
                    "shared memory): all its rows are brought up to date at every step, which costs "
                    "what a dense step does",
                    stacklevel=6,
                )
            self.bring_up(parameter)

    def bring_up(self, parameter: Tensor, ids: Tensor | None = None) -> None:
        """Brings the rows of ``ids``, or all rows, up to date."""
        self._find(parameter)
        call(_catch_up, self._stepper.handle, ids)

    def synchronise(self, parameter: Tensor) -> None:
        """Brings all rows and their moments up to date."""
        self._find(parameter)
        call(torch.ops.embedkernel.optim_synchronise, self._stepper.handle)

    def _find(self, parameter: Tensor) -> None:
        """Notes that the memory is another, where that happened unseen: what stands there owes nothing."""
        if parameter.data_ptr() != self._address:
            self._counts[0].fill_(int(self._state["step"]))
            self.follow(parameter)

    def follow(self, parameter: Tensor) -> None:
        """Goes on in the parameter's memory of now.

        Where its type or shape is another, as while a module is of float64, nothing can step it, and
        no row is behind.
        """
        address = parameter.data_ptr()
        if (
            address not in (self._address, 0)
            and parameter.dtype is torch.float32
            and parameter.shape == self._state["exp_avg"].shape
            and parameter.is_contiguous()
        ):
            self.enter(parameter)

    def enter(self, parameter: Tensor) -> None:
        """Has embedkernel's operators know of the rows by the parameter's memory of now."""
        arrays = list(self._arrays(self._state))
        call(torch.ops.embedkernel.optim_follow, self._stepper.handle, parameter, arrays)
        self._address = parameter.data_ptr()


def _holders(parameter: Any) -> tuple[int, int, int]:
    """How many hold the parameter's memory, the object that stands for it, and, beside Python, the
    parameter."""
    storage = parameter.untyped_storage()
    memory, named = torch._C._storage_Use_Count(storage._cdata), sys.getrefcount(storage)
    held = parameter._use_count()
    if held == 1:
        return memory, named, 0
    if not parameter.requires_grad:
        return memory, named, held - 1
    # What accumulates its gradient holds it too where there is a graph: here there always is.
    with torch.enable_grad():
        edge = torch.autograd.graph.get_gradient_edge(parameter)
    held = parameter._use_count()
    del edge
    return memory, named, held - 2


@functools.cache
def _alone(requires_grad: bool) -> tuple[int, int, int]:
    """The same of a parameter that nothing else holds."""
    return _holders(torch.nn.Parameter(torch.zeros(1), requires_grad))


def is_held_elsewhere(parameter: Tensor) -> bool:
    """Whether anything but the parameter itself could read its memory unseen."""
    if _holders(parameter) != _alone(parameter.requires_grad):
        return True
    return parameter.untyped_storage().is_shared()
