"""Gradients of token and position tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from . import _core
from ._types import Array, Float32, IDs, Int64


@dataclass(frozen=True)
class RowGradient:
    """The gradient of a table by the rows that a batch touches; all others are 0.

    Attributes:
        rows: int64 (K), rising, each once.
        values: float32 (K, D).
        shape: the table's, (V, D).
    """

    rows: Int64
    values: Float32
    shape: tuple[int, int]

    def dense(self, out: Float32 | None = None) -> Float32:
        """The gradient as (V, D), overwritten where `out` is given."""
        if out is None:
            out = np.zeros(self.shape, np.float32)
        elif out.shape != self.shape or out.dtype != np.float32:
            raise ValueError(f"out has shape {out.shape} of {out.dtype}: expected {self.shape} of float32")
        else:
            out[...] = 0
        out[self.rows] = self.values
        return out

    def norm(self) -> float:
        """Its 2-norm, summed in float64."""
        return float(np.sqrt(np.einsum("kd,kd->", self.values, self.values, dtype=np.float64)))


class Gradients(NamedTuple):
    """What `backward` returns."""

    tokens: RowGradient | Float32 | None
    positions: Float32 | None


def backward(
    output_gradient: Array,
    ids: IDs,
    vocabulary: int,
    *,
    sparse: bool = True,
    token_out: Float32 | None = None,
    maximum: int | None = None,
    position_out: Float32 | None = None,
    accumulate: bool = False,
    offset: int | Array | None = None,
    position_ids: IDs | None = None,
    cumulative_lengths: IDs | None = None,
    mask: Array | None = None,
    scale: float = 1.0,
    gradient_scale: float = 1.0,
    padding_id: int | None = None,
    scale_by_frequency: bool = False,
    summation: str = "chunked",
    unknown: str = "error",
    overflow: str = "error",
    backend: str = "auto",
    threads: int = 0,
) -> Gradients:
    """The gradients of `embed`'s tables from that of its output.

    Args:
        output_gradient: (..., T, D), the ids' shape and D: float32, or float16 or bfloat16, of which a copy in
            float32 is made. Sums and gradients are float32.
        ids: (..., T), as given to `embed`.
        vocabulary: V, the token table's rows.
        sparse: the tokens' gradient as a `RowGradient`; False for a dense (V, D).
        token_out: float32 (V, D) for the dense gradient, which is then what `tokens` is.
        maximum: rows of the position table; its gradient is computed where this or `position_out` is given.
        position_out: float32 (maximum, D).
        accumulate: add to dense gradients rather than overwrite them.
        offset, position_ids, cumulative_lengths, mask, scale, unknown, overflow: as in `embed`.
        gradient_scale: multiplies all gradients.
        padding_id: an id without gradient.
        scale_by_frequency: divide a token's gradient by how often it is in the batch.
        summation: "chunked", "pairwise" or "compensated".
        threads: at most; 0 for those that `set_threads` says.

    Raises:
        OutOfRangeError: an id or position outside its table, with `id`, `row` and `position`.
        ValueError, TypeError: shapes, types, strides and memory that overlaps.
    """
    shared: dict[str, Any] = {
        "offset": offset,
        "position_ids": position_ids,
        "cumulative_lengths": cumulative_lengths,
        "mask": mask,
        "scale": scale,
        "gradient_scale": gradient_scale,
        "padding_id": padding_id,
        "scale_by_frequency": scale_by_frequency,
        "summation": summation,
        "unknown": unknown,
        "overflow": overflow,
        "backend": backend,
        "threads": threads,
        "position_out": True if position_out is None and maximum is not None else position_out,
        "maximum": maximum,
        "accumulate": accumulate,
    }
    if sparse and token_out is None:
        rows, values, positions = _core.backward_sparse(output_gradient, ids, vocabulary, **shared)
        return Gradients(RowGradient(rows, values, (vocabulary, values.shape[1])), positions)
    wanted: Any = True if token_out is None else token_out
    return Gradients(*_core.backward(output_gradient, ids, vocabulary, token_out=wanted, **shared))


__all__ = ["Gradients", "RowGradient", "backward"]
