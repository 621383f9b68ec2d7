"""NumPy arrays for libraries that read DLPack, bfloat16 and read-only ones among them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core


class dlpack:  # noqa: N801, a function in all but its methods
    """An array that shows itself by DLPack: `torch.from_dlpack(embedkernel.dlpack(array))`.

    NumPy's own arrays do the same, but refuse bfloat16. The memory is shared, and the array lives as long as
    its reader.
    """

    def __init__(self, array: npt.NDArray[Any]):
        if not isinstance(array, np.ndarray):
            raise TypeError(f"array is a {type(array)}: expected a NumPy array")
        self._array = array

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        if stream is not None:
            raise BufferError(f"stream is {stream!r}: the CPU has none")
        if dl_device is not None and tuple(dl_device) != (1, 0):
            raise BufferError(f"dl_device is {dl_device}: expected the CPU, (1, 0)")
        array = self._array.copy() if copy else self._array
        return _core.dlpack_capsule(array, max_version is not None and max_version[0] >= 1)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)
