"""Optimisers of tables: a step costs what its batch touches.

Each steps one table in place: a NumPy array (float32, or bfloat16 or float16 with float32 masters inside)
or a `Table`. What happens to rows without gradient is `untouched`:

    "stepped"    they take the step with a gradient of 0, as with a dense gradient
    "left"       they stay as they are: the lazy variants
    "caught-up"  they take those steps later, before they are next read (AdamW alone): the bits of a dense
                 optimiser at the cost of a lazy one. Needs a `Table`, as an array cannot know that it is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from ._types import Array, IDs
from .gradients import RowGradient
from .tables import Table, as_table


class Optimizer:
    """What all optimisers of this module have. Make one of its subclasses.

    Attributes:
        table: the `Table` that is stepped.
        learning_rate: may be set between steps, as schedulers do.
    """

    _name = ""

    def __init__(self, table: npt.NDArray[Any] | Table, learning_rate: float, **numbers: Any):
        if type(self) is Optimizer:
            raise TypeError("Optimizer has no rule of its own: make one of its subclasses, such as AdamW")
        if numbers.get("untouched") == "caught-up" and not isinstance(table, Table):
            raise TypeError(
                "untouched is 'caught-up' and the table is an array, whose stale rows could be read: "
                "pass embedkernel.Table(array), and read through it"
            )
        self.table = as_table(table)
        self.learning_rate = learning_rate
        self._numbers = {name: number for name, number in numbers.items() if number is not None}
        self._handle = _core.optimizer_create(
            self.table._handle, self._name, learning_rate=learning_rate, **self._numbers
        )

    def step(
        self,
        gradient: RowGradient | Array,
        ids: IDs | None = None,
        *,
        scale: float = 1.0,
        threads: int = 0,
    ) -> None:
        """Takes a step.

        Args:
            gradient: a `RowGradient`; or with `ids` the gradient of the forward's output, float32
                (..., D), so that no gradient of the table is ever written; or a dense one, float32 (rows, D).
            ids: the ids as given to the forward.
            scale: multiplies the gradient first, such as a clipping factor.

        Raises:
            OutOfRangeError: an id outside the table.
            ValueError, TypeError: shapes, types, strides.
        """
        if isinstance(gradient, RowGradient):
            if ids is not None:
                raise TypeError("ids are given with a RowGradient, which has its own")
            if gradient.shape != self.table.shape:
                raise ValueError(f"gradient is of a table {gradient.shape}: expected {self.table.shape}")
            self._step("rows", gradient.values, gradient.rows, scale, threads)
        elif ids is not None:
            self._step("output", gradient, ids, scale, threads)
        else:
            self._step("dense", gradient, None, scale, threads)

    def step_rows(
        self, rows: IDs, values: Array, *, scale: float = 1.0, threads: int = 0
    ) -> None:
        """Takes a step by listed rows, float32 (K, D): in any order, repeats are summed."""
        self._step("rows", values, rows, scale, threads)

    def step_bags(
        self,
        output_gradient: Array,
        ids: IDs,
        *,
        offsets: IDs | None = None,
        lengths: IDs | None = None,
        include_last_offset: bool = False,
        weights: Array | None = None,
        mode: str = "sum",
        padding_id: int | None = None,
        unknown: str = "error",
        winners: Array | None = None,
        scale: float = 1.0,
        scale_by_frequency: bool = False,
        threads: int = 0,
    ) -> None:
        """Takes a step by the gradient of the output of bags, (B, D), in one pass: no gradient of the table is
        ever written. The other arguments are those of `embedkernel.bag` and `bag_backward`."""
        _core.optimizer_step_bags(
            self._handle,
            self.table._handle,
            output_gradient,
            ids,
            offsets=offsets,
            lengths=lengths,
            include_last_offset=include_last_offset,
            weights=weights,
            mode=mode,
            padding_id=padding_id,
            unknown=unknown,
            winners=winners,
            scale_by_frequency=scale_by_frequency,
            learning_rate=self.learning_rate,
            gradient_scale=scale,
            threads=threads,
        )

    def _step(self, kind: str, gradient: Any, ids: Any, scale: float, threads: int) -> None:
        _core.optimizer_step(
            self._handle,
            self.table._handle,
            kind,
            gradient,
            ids,
            learning_rate=self.learning_rate,
            gradient_scale=scale,
            threads=threads,
        )

    def catch_up(self, ids: IDs | None = None) -> None:
        """Brings the rows of `ids`, or all rows and their state, up to date. Does nothing where none is behind."""
        _core.optimizer_catch_up(self._handle, ids)

    @property
    def steps(self) -> int:
        """The number of steps taken."""
        return _core.optimizer_info(self._handle)[0]

    @property
    def memory_bytes(self) -> int:
        """The bytes of state and of room for steps."""
        return _core.optimizer_info(self._handle)[2]

    def state_dict(self) -> dict[str, Any]:
        """Copies of the state, up to date: `step_count`, `learning_rate`, and an array for each name."""
        self.catch_up()
        state: dict[str, Any] = {
            name: array.copy() for name, array in _core.optimizer_state(self._handle).items()
        }
        return {"step_count": self.steps, "learning_rate": self.learning_rate, **state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes what `state_dict` of an optimiser of the same kind gave. The table's own values are the
        caller's to load.

        Raises:
            ValueError: names or shapes that are not this optimiser's, before anything is written.
        """
        self.catch_up()
        own = _core.optimizer_state(self._handle)
        given = {name: np.asarray(array) for name, array in state.items()}
        steps, rate = given.pop("step_count", None), given.pop("learning_rate", None)
        if steps is None or set(given) != set(own):
            expected = sorted({"step_count", *own})
            raise ValueError(f"the state has {sorted(state)}: expected {expected}")
        for name, array in given.items():
            if array.shape != own[name].shape or array.dtype != own[name].dtype:
                raise ValueError(
                    f"{name} has shape {array.shape} of {array.dtype}: "
                    f"expected {own[name].shape} of {own[name].dtype}"
                )
        for name, array in given.items():
            own[name][...] = array
        _core.optimizer_set_step_count(self._handle, int(steps))
        if rate is not None:
            self.learning_rate = float(rate)

    def __getstate__(self) -> dict[str, Any]:
        state = self.state_dict()
        return {"table": self.table, "numbers": self._numbers, "state": state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Optimizer.__init__(
            self, state["table"], state["state"]["learning_rate"], **state["numbers"]
        )
        self.load_state_dict(state["state"])

    def __repr__(self) -> str:
        numbers = "".join(f", {name}={number!r}" for name, number in self._numbers.items())
        return f"{type(self).__name__}({self.table!r}, learning_rate={self.learning_rate!r}{numbers})"


class SGD(Optimizer):
    """Gradient descent: `row -= learning_rate * gradient`."""

    _name = "sgd"

    def __init__(
        self,
        table: npt.NDArray[Any] | Table,
        learning_rate: float = 1e-3,
        *,
        weight_decay: float | None = None,
        frozen_row: int | None = None,
        untouched: str | None = None,
    ):
        super().__init__(
            table, learning_rate, weight_decay=weight_decay, frozen_row=frozen_row, untouched=untouched
        )


class Momentum(Optimizer):
    """SGD with momentum `beta1`, Nesterov's on request."""

    _name = "momentum"

    def __init__(
        self,
        table: npt.NDArray[Any] | Table,
        learning_rate: float = 1e-3,
        *,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float | None = None,
        frozen_row: int | None = None,
        untouched: str | None = None,
    ):
        if nesterov:
            self._name = "nesterov"
        super().__init__(
            table,
            learning_rate,
            beta1=momentum,
            weight_decay=weight_decay,
            frozen_row=frozen_row,
            untouched=untouched,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self._name, **super().__getstate__()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._name = state["name"]
        super().__setstate__(state)


class Adagrad(Optimizer):
    """Adagrad, with PyTorch's names."""

    _name = "adagrad"

    def __init__(
        self,
        table: npt.NDArray[Any] | Table,
        learning_rate: float = 1e-2,
        *,
        weight_decay: float | None = None,
        epsilon: float | None = None,
        initial_sum: float | None = None,
        rate_decay: float | None = None,
        frozen_row: int | None = None,
        untouched: str | None = None,
    ):
        super().__init__(
            table,
            learning_rate,
            weight_decay=weight_decay,
            epsilon=epsilon,
            initial_sum=initial_sum,
            rate_decay=rate_decay,
            frozen_row=frozen_row,
            untouched=untouched,
        )


class RowWiseAdagrad(Optimizer):
    """Adagrad with one sum a row: 4 bytes of state a row."""

    _name = "row-wise-adagrad"

    def __init__(
        self,
        table: npt.NDArray[Any] | Table,
        learning_rate: float = 1e-2,
        *,
        weight_decay: float | None = None,
        epsilon: float | None = None,
        initial_sum: float | None = None,
        frozen_row: int | None = None,
        untouched: str | None = None,
    ):
        super().__init__(
            table,
            learning_rate,
            weight_decay=weight_decay,
            epsilon=epsilon,
            initial_sum=initial_sum,
            frozen_row=frozen_row,
            untouched=untouched,
        )


class _AdamLike(Optimizer):
    """With `moment_dtype="bfloat16"` the state takes half the memory, rounded so that its mean is kept: with
    a standard deviation of at most 2^-8 / sqrt(1 - beta^2) of a moment that changes slowly."""

    def __init__(
        self,
        table: npt.NDArray[Any] | Table,
        learning_rate: float = 1e-3,
        *,
        beta1: float | None = None,
        beta2: float | None = None,
        epsilon: float | None = None,
        weight_decay: float | None = None,
        frozen_row: int | None = None,
        untouched: str | None = None,
        moment_dtype: str | None = None,
    ):
        super().__init__(
            table,
            learning_rate,
            beta1=beta1,
            beta2=beta2,
            epsilon=epsilon,
            weight_decay=weight_decay,
            frozen_row=frozen_row,
            untouched=untouched,
            moment_dtype=moment_dtype,
        )


class Adam(_AdamLike):
    """Adam; `weight_decay` is L2's."""

    _name = "adam"


class SparseAdam(_AdamLike):
    """Adam of the touched rows alone, as `torch.optim.SparseAdam`."""

    _name = "sparse-adam"


class AdamW(_AdamLike):
    """Adam with decoupled weight decay. `untouched="caught-up"` gives dense AdamW's rows lazily."""

    _name = "adamw"


class LAMB(_AdamLike):
    """AdamW with each row's step scaled by the trust ratio. Its moments are float32."""

    _name = "lamb"


__all__ = [
    "Adagrad",
    "Adam",
    "AdamW",
    "LAMB",
    "Momentum",
    "Optimizer",
    "RowWiseAdagrad",
    "SGD",
    "SparseAdam",
]
