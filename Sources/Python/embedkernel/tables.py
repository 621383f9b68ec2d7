"""Tables that optimisers and layers share."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from ._types import IDs


class Table:
    """A table of rows, (rows, dim), whose readers always get rows that are up to date.

    An optimiser with `untouched="caught-up"` leaves rows behind and brings them up to date when they are next
    read. A NumPy array cannot know that it is read; a `Table` does, in `embed`, `rows`, `numpy` and every
    layer that it is part of.

    Args:
        array: a C-contiguous float32, float16 or bfloat16 array, (rows, dim), which the table reads and writes
            in place and keeps alive.
    """

    def __init__(self, array: npt.NDArray[Any]):
        self._handle = _core.table_over(array)
        self._memory = _core.table_array(self._handle)

    @classmethod
    def _of_handle(cls, handle: Any) -> Table:
        table = cls.__new__(cls)
        table._handle = handle
        table._memory = _core.table_array(handle)
        return table

    @classmethod
    def zeros(cls, rows: int, dim: int, dtype: str = "float32") -> Table:
        """A table of zeros on huge pages: "float32", "float16" or "bfloat16"."""
        return cls._of_handle(_core.table_create(rows, dim, dtype))

    @classmethod
    def normal(cls, rows: int, dim: int, *, deviation: float = 0.02, seed: int = 0) -> Table:
        """A float32 table drawn from a normal distribution; a seed gives the same bits on every machine."""
        table = cls.zeros(rows, dim)
        _core.table_draw(table._handle, "normal", deviation, seed)
        return table

    @classmethod
    def uniform(cls, rows: int, dim: int, *, bound: float, seed: int = 0) -> Table:
        """A float32 table drawn uniformly from -bound to bound."""
        table = cls.zeros(rows, dim)
        _core.table_draw(table._handle, "uniform", bound, seed)
        return table

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, dim)."""
        rows, dim = self._memory.shape
        return rows, dim

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._memory.dtype

    def __len__(self) -> int:
        return len(self._memory)

    def __repr__(self) -> str:
        return f"Table(shape={self.shape}, dtype={self.dtype})"

    def embed(self, ids: IDs, positions: npt.NDArray[Any] | Table | None = None, **options: Any) -> npt.NDArray[Any]:
        """`embedkernel.embed` of this table, its rows of `ids` brought up to date first."""
        if isinstance(positions, Table):
            positions = positions.numpy()
        if options.get("unknown", "error") == "error":
            # An id outside is told below, by its row and position.
            with contextlib.suppress(IndexError):
                _core.table_synchronise(self._handle, ids)
        else:
            _core.table_synchronise(self._handle)
        return _core.embed(self._memory, ids, positions, **options)

    def rows(self, ids: IDs) -> npt.NDArray[Any]:
        """Copies of the rows of `ids`, (..., dim), up to date."""
        return self.embed(ids)

    def numpy(self, *, copy: bool = False) -> npt.NDArray[Any]:
        """All rows, up to date as of this call.

        Without `copy` the array is the table's own memory, where later steps of an optimiser show; one with
        `untouched="caught-up"` leaves rows behind in it again.
        """
        _core.table_synchronise(self._handle)
        return self._memory.copy() if copy else self._memory

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        array = self.numpy(copy=copy is not False)
        return array if dtype is None else array.astype(dtype, copy=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Table, (self.numpy(copy=True),))


def as_table(table: npt.NDArray[Any] | Table) -> Table:
    """A table over an array; a `Table` as it is."""
    return table if isinstance(table, Table) else Table(table)
