"""Names of types that signatures use."""

from __future__ import annotations

import os
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt


class SupportsDLPack(Protocol):
    """Anything that shows its memory by DLPack, such as a PyTorch tensor."""

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any: ...


Path: TypeAlias = str | os.PathLike[str]
"""A file's path."""
Array: TypeAlias = npt.NDArray[Any] | SupportsDLPack
"""An array that is read where it lies: NumPy's, or one that shows itself by DLPack."""
Float32: TypeAlias = npt.NDArray[np.float32]
Int32: TypeAlias = npt.NDArray[np.int32]
Int64: TypeAlias = npt.NDArray[np.int64]
IDs: TypeAlias = npt.ArrayLike | SupportsDLPack
"""Integers of any kind that NumPy reads."""
