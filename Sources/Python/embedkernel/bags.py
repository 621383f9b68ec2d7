"""Bags: rows pooled, as in the embedding layers of recommenders and of bags of words."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from . import _core
from ._types import Array, Float32, IDs, Int32
from .gradients import RowGradient
from .quantized import QuantizedTable


def bag(
    table: Array | QuantizedTable,
    ids: IDs,
    *,
    offsets: IDs | None = None,
    lengths: IDs | None = None,
    include_last_offset: bool = False,
    weights: Array | None = None,
    mode: str = "sum",
    padding_id: int | None = None,
    unknown: str = "error",
    out: npt.NDArray[Any] | None = None,
    backend: str = "auto",
    threads: int = 0,
) -> npt.NDArray[Any]:
    """Pools the rows of each bag: `pool(weights[j] * table[ids[j]])` over the ids j of bag b.

    A sum starts from 0 and takes rows in the order of the ids, each product and sum rounded to float32; the result
    is rounded once. The same bits for any number of threads. An empty bag gives zeros.

    Args:
        table: (V, D) of float32, float16 or bfloat16, C-contiguous, read in place; or a `QuantizedTable`, whose
            rows are decoded on the way.
        ids: (B, N) integers, a bag a row; or (N) with `offsets` or `lengths`.
        offsets: (B), where bags start: from 0 on, never falling.
        lengths: (B), how many ids each bag has; together all.
        include_last_offset: `offsets` has one more, which is the number of ids.
        weights: float32, a weight for each id, for sums alone.
        mode: "sum", "mean" or "max".
        padding_id: an id that is left out of its bag, and of a mean's number.
        unknown: ids outside the table: "error", "clamp", or "zero" for a row of zeros, which counts in a mean.
        out: (B, D) of any of the three types; else a new array of the table's type, float32 of quantised rows.
        threads: at most; 0 for those that `set_threads` says.

    Raises:
        OutOfRangeError: an id outside the table, with `id`, `row` (the bag) and `position` (the place in it).
        ValueError, TypeError: shapes, offsets, types, strides and memory that overlaps.
    """
    pooled: npt.NDArray[Any] = _core.bag(
        table._rows if isinstance(table, QuantizedTable) else table, ids, offsets=offsets, lengths=lengths,
        include_last_offset=include_last_offset, weights=weights, mode=mode, padding_id=padding_id, unknown=unknown,
        out=out, backend=backend, threads=threads,
    )
    return pooled


def bag_max(
    table: Array | QuantizedTable,
    ids: IDs,
    *,
    offsets: IDs | None = None,
    lengths: IDs | None = None,
    include_last_offset: bool = False,
    padding_id: int | None = None,
    unknown: str = "error",
    out: npt.NDArray[Any] | None = None,
    backend: str = "auto",
    threads: int = 0,
) -> tuple[npt.NDArray[Any], Int32]:
    """`bag` with mode "max", and whose each number is, which its backward takes.

    Returns (rows, winners): winners are int32 (B, D), the place in `ids` of the id whose row has the number, the
    first of several, -1 in an empty bag. Arguments and errors are those of `bag`.
    """
    pooled: tuple[npt.NDArray[Any], Int32] = _core.bag(
        table._rows if isinstance(table, QuantizedTable) else table, ids, offsets=offsets, lengths=lengths,
        include_last_offset=include_last_offset, mode="max", padding_id=padding_id, unknown=unknown, out=out,
        with_winners=True, backend=backend, threads=threads,
    )
    return pooled


def bag_backward(
    output_gradient: Array,
    ids: IDs,
    vocabulary: int,
    *,
    offsets: IDs | None = None,
    lengths: IDs | None = None,
    include_last_offset: bool = False,
    weights: Array | None = None,
    mode: str = "sum",
    padding_id: int | None = None,
    unknown: str = "error",
    winners: Int32 | None = None,
    sparse: bool = True,
    token_out: Float32 | None = None,
    accumulate: bool = False,
    gradient_scale: float = 1.0,
    scale_by_frequency: bool = False,
    summation: str = "chunked",
    backend: str = "auto",
    threads: int = 0,
) -> RowGradient | Float32:
    """The gradient of `bag`'s table from that of its output.

    Args:
        output_gradient: (B, D): float32, or float16 or bfloat16, of which a copy in float32 is made.
        ids, offsets, lengths, include_last_offset, weights, mode, padding_id, unknown: as given to `bag`.
        vocabulary: V, the table's rows.
        winners: of a maximum, as `bag_max` gave them.
        sparse: as a `RowGradient`; False for a dense float32 (V, D).
        token_out: float32 (V, D) for the dense gradient, which is then what is returned.
        accumulate: add to `token_out` rather than overwrite it.
        gradient_scale: multiplies the gradient.
        scale_by_frequency: divide a row's gradient by how often its id is in the whole call; not of a maximum.
        summation: "chunked", "pairwise" or "compensated".

    Raises:
        OutOfRangeError, ValueError, TypeError: as `bag`.
    """
    shared: dict[str, Any] = {
        "offsets": offsets,
        "lengths": lengths,
        "include_last_offset": include_last_offset,
        "weights": weights,
        "mode": mode,
        "padding_id": padding_id,
        "unknown": unknown,
        "winners": winners,
        "gradient_scale": gradient_scale,
        "scale_by_frequency": scale_by_frequency,
        "summation": summation,
        "backend": backend,
        "threads": threads,
    }
    if sparse and token_out is None:
        rows, values = _core.bag_backward(output_gradient, ids, vocabulary, sparse=True, **shared)
        return RowGradient(rows, values, (vocabulary, values.shape[1]))
    dense: Float32 = _core.bag_backward(
        output_gradient, ids, vocabulary, token_out=token_out, accumulate=accumulate, **shared
    )
    return dense


def bag_weight_gradient(
    output_gradient: Array,
    table: Array | QuantizedTable,
    ids: IDs,
    *,
    offsets: IDs | None = None,
    lengths: IDs | None = None,
    include_last_offset: bool = False,
    padding_id: int | None = None,
    unknown: str = "error",
    backend: str = "auto",
    threads: int = 0,
) -> Float32:
    """The gradient of the weights of `bag`'s sum: the inner products of output gradients and rows.

    Args:
        output_gradient: (B, D), as for `bag_backward`.
        table, ids, offsets, lengths, include_last_offset, padding_id, unknown: as given to `bag`.

    Returns float32 of the shape of `ids`; 0 for padding and for ids that read zeros.
    """
    return _core.bag_weight_gradient(
        output_gradient, table._rows if isinstance(table, QuantizedTable) else table, ids, offsets=offsets,
        lengths=lengths, include_last_offset=include_last_offset, padding_id=padding_id, unknown=unknown,
        backend=backend, threads=threads,
    )


__all__ = ["bag", "bag_backward", "bag_max", "bag_weight_gradient"]
