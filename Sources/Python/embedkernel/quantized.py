"""Tables of quantised rows: int8, fp8, FBGEMM's and GGUF's formats, byte for byte."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from ._types import Array, Float32, IDs

#: The names of the formats: plain elements; int8 with float32 or float16 scales beside the rows; fp8 e4m3 plain, with
#: a float32 scale a row, with powers of two (ue8m0) for each 32 or 128 columns, or float32 for each 128; FBGEMM's 8
#: and 4 bits; GGUF's.
ROW_FORMATS = (
    "f32", "f16", "bf16", "int8", "int8_f16", "fp8", "fp8_row", "fp8_block32", "fp8_block128", "fp8_block128_f32",
    "fbgemm8", "fbgemm4", "q8_0", "q4_0", "q4_k", "q6_k",
)


def _bytes_of(data: Any, name: str) -> npt.NDArray[np.uint8]:
    """Memory as one row of bytes, not copied where its elements follow each other."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        return np.frombuffer(data, np.uint8)
    array = np.asarray(data)
    if array.dtype == object:
        raise TypeError(f"{name} has elements of object: expected bytes, or an array of numbers")
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} is not C-contiguous: pass a copy")
    return array.reshape(-1).view(np.uint8)


class QuantizedTable:
    """A table of rows in a format, read only; any number of threads may read at once.

    `quantize` makes one of floats, by the rule of the format's inventors; `from_bytes` reads rows that are in a
    format already, where they lie. Rows are decoded while they are gathered or pooled, and never written out as
    floats first.

    Attributes:
        format: one of `ROW_FORMATS`.
        shape: (V, D).
        data: the rows' bytes, uint8 (V, bytes of a row), read-only.
        scales: the bytes of scales beside the rows, uint8 (rows of scales, bytes of one), or None; `.view` of them
            gives the numbers.
        rows_per_scale: how many neighbouring rows share a row of scales.
        nbytes: of both.
    """

    _rows: Any
    format: str
    shape: tuple[int, int]
    data: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.uint8] | None
    rows_per_scale: int

    def __init__(self) -> None:
        raise TypeError("a QuantizedTable is made by QuantizedTable.quantize or QuantizedTable.from_bytes")

    @classmethod
    def _over(cls, handle: Any, format: str) -> QuantizedTable:
        made = cls.__new__(cls)
        made._rows = handle
        made.format = format
        rows, dim, made.data, made.scales, made.rows_per_scale = _core.rows_info(handle)
        made.shape = (rows, dim)
        return made

    @classmethod
    def quantize(cls, table: Array, format: str, *, threads: int = 0) -> QuantizedTable:
        """Quantises float32 (V, D). The bytes are the inventors', and don't depend on threads.

        Raises:
            ValueError: a format that is not known, a D that it has no rows of, and a number that it can't hold,
                such as a NaN, with its place.
        """
        return cls._over(_core.rows_quantize(table, format, threads=threads), format)

    @classmethod
    def from_bytes(
        cls,
        data: bytes | Array,
        format: str,
        shape: tuple[int, int],
        *,
        scales: bytes | Array | None = None,
        rows_per_scale: int = 1,
    ) -> QuantizedTable:
        """A table over rows that are in a format already, which are read where they lie and must not change.

        Args:
            data: all rows one after another: bytes, or an array of any type whose elements follow each other, such
                as int8 or `ml_dtypes.float8_e4m3fn` (V, D).
            format: one of `ROW_FORMATS`.
            shape: (V, D).
            scales: where the format has scales beside the rows: theirs.
            rows_per_scale: how many neighbouring rows share a row of scales: a power of two, or V or more for one
                of all rows.

        Raises:
            ValueError: sizes that don't fit.
        """
        rows, dim = shape
        handle = _core.rows_wrap(
            _bytes_of(data, "data"), format, rows, dim,
            scales=None if scales is None else _bytes_of(scales, "scales"), rows_per_scale=rows_per_scale,
        )
        return cls._over(handle, format)

    @classmethod
    def map(
        cls,
        path: str | os.PathLike[str],
        tensor: str,
        *,
        format: str | None = None,
        scales: str | None = None,
        resident_limit: int | None = None,
    ) -> QuantizedTable:
        """A table over the pages of a file, which may be larger than memory: a tensor (V, D) of a safetensors file, of
        a sharded model by its index or folder, or of a GGUF file. Nothing is read before rows are.

        The file must not be written to while the table lives. Where it is, or a page cannot be read, calls on the
        table raise OSError, that one, whose output has no meaning, and all later ones. `data` and `scales` are the
        file's own memory, whose faults end the process.

        Args:
            format: one of `ROW_FORMATS`, where the tensor's type does not tell: of uint8, fp8 and int8.
            scales: the name of the tensor of scales beside the rows.
            resident_limit: how many bytes of the file may be in memory, 1 MiB or more.

        Raises:
            FileNotFoundError, FileFormatError, MissingTensorError: no file, a malformed one, or one without the tensor.
            TypeError, ValueError: rows whose format is not told, and sizes.
        """
        handle, number = _core.rows_map(path, tensor, format=format, scales=scales, resident_limit=resident_limit)
        return cls._over(handle, ROW_FORMATS[number])

    def prefetch(self, ids: IDs, *, unknown: str = "error", wait: bool = True) -> int:
        """Brings the rows of `ids` of a mapped table into memory, so that a later call finds them: equal ids once, and
        neighbours in one read. Of other tables there is nothing to do.

        Args:
            wait: False returns when the system was asked for the rows, which it reads in the background.

        Returns:
            How many of the ids, from the first on, have their rows in memory: fewer than all where a resident limit
            has no room for more.
        """
        return _core.rows_prefetch(self._rows, ids, unknown=unknown, wait=wait)

    @property
    def nbytes(self) -> int:
        return self.data.nbytes + (0 if self.scales is None else self.scales.nbytes)

    def dequantize(
        self, start: int = 0, stop: int | None = None, *, out: Float32 | None = None, threads: int = 0
    ) -> Float32:
        """Rows `start` up to `stop` (all by default) as float32 (rows, D): what the format's inventors decode them
        to, bit for bit. Raises IndexError for rows that there are not, ValueError for a `stop` before `start`."""
        end = self.shape[0] if stop is None else stop
        if end < start <= self.shape[0]:
            raise ValueError(f"stop is {end}: expected {start}, which start is, or more")
        return _core.rows_decode(self._rows, start, max(end - start, 0), out=out, threads=threads)

    def embed(
        self,
        ids: IDs,
        positions: Array | None = None,
        *,
        out: npt.NDArray[Any] | None = None,
        offset: int | Array | None = None,
        position_ids: IDs | None = None,
        cumulative_lengths: IDs | None = None,
        mask: Array | None = None,
        scale: float = 1.0,
        unknown: str = "error",
        overflow: str = "error",
        backend: str = "auto",
        threads: int = 0,
    ) -> npt.NDArray[Any]:
        """Gathers rows and adds position rows: `scale * decoded[ids] + positions[place]`.

        Args:
            ids: (..., T) integers.
            positions: (maximum, D) of float32, float16 or bfloat16, or None.
            out: (..., T, D) of any of the three types; else a new float32 array.

        The other arguments and the errors are those of `embedkernel.embed`.
        """
        return _core.rows_embed(
            self._rows, ids, positions, out=out, offset=offset, position_ids=position_ids,
            cumulative_lengths=cumulative_lengths, mask=mask, scale=scale, unknown=unknown, overflow=overflow,
            backend=backend, threads=threads,
        )

    def __len__(self) -> int:
        return self.shape[0]

    def __reduce__(self) -> tuple[Any, ...]:
        scales = None if self.scales is None else self.scales.tobytes()
        return _restore, (self.data.tobytes(), self.format, self.shape, scales, self.rows_per_scale)

    def __repr__(self) -> str:
        return f"QuantizedTable(format={self.format!r}, shape={self.shape}, nbytes={self.nbytes})"


def _restore(
    data: bytes, format: str, shape: tuple[int, int], scales: bytes | None, rows_per_scale: int
) -> QuantizedTable:
    return QuantizedTable.from_bytes(data, format, shape, scales=scales, rows_per_scale=max(rows_per_scale, 1))


__all__ = ["ROW_FORMATS", "QuantizedTable"]
