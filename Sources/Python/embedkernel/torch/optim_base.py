"""What the optimisers share: arguments checked, gradients read, and steps handed to the C library.

V rows of a parameter, D elements of a row, N rows of a sparse gradient.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._compile import _disable_dynamo

from ._errors import call

#: Rows without gradient stay as they are.
LEFT = 2
#: Rows without gradient take the step of a gradient of zero.
STEPPED = 1
#: They take it, but not before they are next read or touched.
CAUGHT_UP = 3

_IMPLEMENTATIONS = ("foreach", "fused", "capturable", "differentiable")
_MOST_STEPS = 1 << 24  # float32, in which torch counts steps, ends here.


class Numbers(NamedTuple):
    """The numbers of a step."""

    rate: float
    decay: float
    beta1: float
    beta2: float
    epsilon: float
    scale: float


class Gradient(NamedTuple):
    """A gradient as the C library takes it."""

    #: Shape ``[N]``, int64, in any order and with repeats; None for a dense gradient.
    rows: Tensor | None
    #: Shape ``[N, D]``, or the parameter's for a dense gradient.
    values: Tensor


class Stepper:
    """The C library's optimiser over one parameter and its state."""

    def __init__(
        self,
        rule: str,
        untouched: int,
        parameter: Tensor,
        state: Sequence[Tensor],
        numbers: Numbers,
        steps: int,
    ) -> None:
        rows, dim = row_shape(parameter)
        self.rule = rule
        self.untouched = untouched
        self.handle: int = call(
            torch.ops.embedkernel.optim_create,
            rule,
            untouched,
            parameter,
            list(state),
            rows,
            dim,
            steps,
            *numbers[:5],
        )
        last = weakref.finalize(self, torch.ops.embedkernel.optim_abandon, self.handle)
        # At its end the process gives all memory back, and torch may be gone before.
        last.atexit = False

    def step(
        self, parameter: Tensor, state: Sequence[Tensor], gradient: Gradient, numbers: Numbers
    ) -> None:
        """Takes a step, in the memory where the tensors are now."""
        call(
            torch.ops.embedkernel.optim_step.default,
            self.handle,
            parameter,
            list(state),
            gradient.rows,
            gradient.values,
            *numbers,
            torch.get_num_threads(),
        )


def row_shape(parameter: Tensor) -> tuple[int, int]:
    """Rows and elements of a row: the first dimension is that of rows."""
    if parameter.dim() == 0:
        return 1, 1
    rows = parameter.shape[0]
    return rows, parameter.numel() // rows if rows else 0


class RowOptimizer(torch.optim.Optimizer):
    """An optimiser whose steps touch only the rows that a sparse gradient names.

    Subclasses say how a parameter's state is made and which rule steps it.
    """

    #: Arguments of torch's optimiser of the same name that this one refuses unless they are false.
    refused: tuple[str, ...] = _IMPLEMENTATIONS

    def __init__(
        self, params: Iterable[Any], defaults: dict[str, Any]
    ) -> None:
        self._steppers: dict[Tensor, Stepper] = {}
        for name in self.refused:
            self._refuse(name, defaults.get(name))
        super().__init__(params, defaults)

    def _refuse(self, name: str, value: Any) -> None:
        if value:
            raise ValueError(
                f"{type(self).__name__} does not take {name}={value!r}: "
                + (
                    "its steps have one form"
                    if name in _IMPLEMENTATIONS
                    else "it keeps no state for that"
                )
            )

    # Groups and numbers

    def _numbers(self, group: dict[str, Any]) -> Numbers:
        """The numbers of a group's next step, checked."""
        raise NotImplementedError

    @_disable_dynamo
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group of parameters, as ``torch.optim.Optimizer`` does.

        Raises ``ValueError`` or ``TypeError`` for a parameter or a number that cannot be, and leaves
        the optimiser as it was.
        """
        super().add_param_group(param_group)
        try:
            group = self.param_groups[-1]
            for name in self.refused:
                self._refuse(name, group.get(name))
            self._numbers(group)
            for parameter in group["params"]:
                self._check_parameter(parameter)
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    def _check_parameter(self, parameter: Tensor) -> None:
        name, kind = type(self).__name__, parameter.dtype
        if parameter.layout is not torch.strided:
            raise ValueError(f"{name} steps dense parameters, not one of layout {parameter.layout}")
        if parameter.device.type != "cpu":
            raise ValueError(f"{name} steps parameters on the CPU, not on {parameter.device}")
        if kind is not torch.float32:
            raise ValueError(f"{name} steps parameters of torch.float32, not of {kind}")
        if not parameter.is_contiguous():
            raise ValueError(
                f"{name} steps contiguous parameters, not one of strides {parameter.stride()}"
            )

    def _gradient(self, parameter: Tensor, gradient: Tensor) -> Gradient:
        """A parameter's gradient, checked."""
        self._check_parameter(parameter)
        shape = tuple(parameter.shape)
        if tuple(gradient.shape) != shape:
            raise ValueError(f"a gradient of shape {tuple(gradient.shape)} for a parameter of {shape}")
        if gradient.dtype is not torch.float32 or gradient.device.type != "cpu":
            raise ValueError(
                f"{type(self).__name__} takes gradients of torch.float32 on the CPU, "
                f"not of {gradient.dtype} on {gradient.device}"
            )
        if gradient.layout is torch.strided:
            return Gradient(None, gradient.contiguous())
        if gradient.layout is not torch.sparse_coo:
            raise ValueError(
                f"{type(self).__name__} takes dense gradients and sparse ones of "
                f"torch.sparse_coo, not of {gradient.layout}"
            )
        if gradient.sparse_dim() != 1:
            if gradient.sparse_dim() == 0:
                return Gradient(None, gradient.to_dense().contiguous())
            raise ValueError(
                f"a sparse gradient names rows: one sparse dimension, not {gradient.sparse_dim()}"
            )
        return Gradient(
            gradient._indices().reshape(-1).contiguous(), gradient._values().contiguous()
        )

    # Steps

    def _start(self, parameter: Tensor, numbers: Numbers) -> None:
        """Makes the state of a parameter that has none."""
        raise NotImplementedError

    def _step(
        self, group: dict[str, Any], parameter: Tensor, gradient: Gradient, numbers: Numbers
    ) -> None:
        """Steps one parameter."""
        raise NotImplementedError

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Takes a step for each parameter that has a gradient.

        Args:
            closure: Evaluates the model again, and returns the loss.

        Returns:
            What ``closure`` returned, or None.

        Raises ``ValueError`` for a gradient or a number that cannot be, before any parameter moves;
        ``IndexError`` for a row outside a parameter, before that parameter moves.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if torch.compiler.is_compiling():
            _step_untraced(self)
        else:
            self._step_all()
        return loss

    def _step_all(self) -> None:
        with torch.no_grad(), torch._C.DisableTorchFunctionSubclass():
            steps = []
            for group in self.param_groups:
                numbers = self._numbers(group)
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        gradient = self._gradient(parameter, parameter.grad)
                        steps.append((group, parameter, gradient, numbers))
            for group, parameter, gradient, numbers in steps:
                if parameter.numel() == 0:
                    continue
                self._step(group, parameter, gradient, numbers)
                torch.autograd.graph.increment_version(parameter)

    # State

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._steppers = {}


@_disable_dynamo
def _step_untraced(optimizer: RowOptimizer) -> None:
    """A step where torch.compile traces: the graph breaks here."""
    optimizer._step_all()


def check_number(
    name: str, value: Any, least: float = 0.0, below: float = math.inf, *, above: bool = False
) -> float:
    """A number of a group as a float, ``least <= value < below``.

    Raises ``ValueError`` with torch's words.
    """
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError(f"Tensor {name} must be 1-element")
        value = value.item()
    number = float(value)
    if not (number > least if above else number >= least) or not number < below:
        raise ValueError(f"Invalid {name}: {value}")
    return number


def count_step(state: dict[str, Any]) -> int:
    """The steps that a parameter has taken."""
    steps = int(state["step"])
    if steps >= _MOST_STEPS:
        raise ValueError(f"step {steps} is past what torch's float32 counts, {_MOST_STEPS}")
    return steps
