"""Bags of rows pooled, with the gradients of the table and of the weights.

As with `embed`, the operator comes twice: `bag` is differentiated by `torch.library` and is what compiled graphs
hold; `bag_forward` is not, and is what eager code calls within a function of autograd.
"""

from __future__ import annotations

from typing import Any, Callable, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from . import _errors, _fallback
from ._embed import renormalize_

_ops = torch.ops.embedkernel
_bag_forward: Callable[..., tuple[Tensor, Tensor]] = getattr(
    _ops.bag_forward.default, "_op", _ops.bag_forward.default
)
_is_compiling = torch.compiler.is_compiling
_is_grad_enabled = torch.is_grad_enabled
_POOLS = {"sum": 0, "mean": 1, "max": 2}
_SUM, _MEAN, _MAX = 0, 1, 2


def _bag_of_ids(ids: Tensor, offsets: Optional[Tensor], include_last: bool) -> Tensor:
    """The number of the bag that each id is in; one past the last for an id that is in none."""
    if offsets is None:
        return torch.arange(ids.shape[0], device=ids.device).repeat_interleave(ids.shape[1])
    places = torch.arange(ids.shape[0], device=ids.device)
    return torch.searchsorted(offsets.long(), places, right=True) - 1


def _differentiable_gradients(
    ctx: Any, gradient: Tensor, for_table: bool, for_weights: bool
) -> tuple[Optional[Tensor], Optional[Tensor]]:
    """The gradients from PyTorch's operators, for a second derivative (`create_graph=True`)."""
    ids, offsets, weights, winners, table = ctx.saved_tensors
    vocabulary, pool, padding_idx, include_last, by_frequency, _ = ctx.facts
    flat = ids.reshape(-1).long()
    bags = _bag_of_ids(ids, offsets, include_last)
    count = gradient.shape[0]
    counted = ((flat != padding_idx) & (bags < count)).to(gradient.dtype)
    bags = bags.clamp(max=max(count - 1, 0))
    made = made_weights = None
    if for_table and pool == _MAX:
        won = winners.long()
        rows = flat[won.clamp(min=0)] if flat.numel() > 0 else won.clamp(min=0)
        columns = torch.arange(gradient.shape[1], device=ids.device).expand_as(won)
        made = gradient.new_zeros((vocabulary, gradient.shape[1])).index_put(
            (rows, columns), gradient * (won >= 0), accumulate=True
        )
    elif for_table:
        factors = counted
        if weights is not None:
            factors = factors * weights.reshape(-1)
        if pool == _MEAN:
            sizes = gradient.new_zeros(count).index_add(0, bags, counted)
            factors = factors / sizes.clamp(min=1)[bags]
        if by_frequency:
            factors = factors / torch.bincount(flat, counted, minlength=vocabulary).clamp(min=1)[flat]
        rows = gradient[bags] * factors[:, None]
        made = gradient.new_zeros((vocabulary, gradient.shape[1])).index_add(0, flat, rows)
    if for_weights:
        made_weights = ((gradient[bags] * table[flat]).sum(-1) * counted).reshape(ids.shape)
    return made, made_weights


def _gradients(
    ctx: Any, gradient: Tensor, for_table: bool, for_weights: bool
) -> tuple[Optional[Tensor], Optional[Tensor]]:
    if _is_grad_enabled():
        return _differentiable_gradients(ctx, gradient, for_table, for_weights)
    ids, offsets, weights, winners, table = ctx.saved_tensors
    vocabulary, pool, padding_idx, include_last, by_frequency, sparse = ctx.facts
    made = made_weights = None
    if for_table:
        call = (
            gradient, ids, offsets, weights, winners if pool == _MAX else None, vocabulary, pool, padding_idx,
            include_last, by_frequency,
        )
        if sparse:
            rows, values = _ops.bag_backward_sparse.default(*call)
            made = torch.sparse_coo_tensor(
                rows.unsqueeze(0), values, (vocabulary, gradient.shape[1]), is_coalesced=True,
                check_invariants=False,
            )
        else:
            made = _ops.bag_backward.default(*call)
    if for_weights:
        made_weights = _ops.bag_weight_gradient.default(gradient, ids, offsets, table, padding_idx, include_last)
    return made, made_weights


def _keep(
    ctx: Any, ids: Tensor, table: Tensor, offsets: Optional[Tensor], weights: Optional[Tensor], winners: Tensor,
    needs_weights: bool, rest: tuple[Any, ...],
) -> None:
    """Saves what the backward reads; the table only where the weights are differentiated, or it may be moved by
    then."""
    ctx.save_for_backward(ids, offsets, weights, winners, table if needs_weights else None)
    ctx.facts = (table.shape[0], *rest)


class _Bag(torch.autograd.Function):
    """What eager code differentiates."""

    @staticmethod
    def forward(
        ctx: Any, table: Tensor, weights: Optional[Tensor], ids: Tensor, offsets: Optional[Tensor],
        rest: tuple[Any, ...],
    ) -> Tensor:
        output, winners = _bag_forward(ids, table, offsets, weights, *rest[:3])
        _keep(ctx, ids, table, offsets, weights, winners, ctx.needs_input_grad[1], rest)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        return *_gradients(ctx, gradients[0], *ctx.needs_input_grad[:2]), None, None, None


_bag_apply: Callable[..., Tensor] = super(torch.autograd.Function, _Bag).apply


def _graph_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ids, table, offsets, weights, *rest = (*inputs, *(None, None, 0, -1, False, False, False)[len(inputs) - 2 :])
    ctx.mark_non_differentiable(output[1])
    needs_weights = weights is not None and weights.requires_grad
    _keep(ctx, ids, table, offsets, weights, output[1], needs_weights, tuple(rest))


def _graph_backward(ctx: Any, gradient: Tensor, _: Any) -> tuple[Any, ...]:
    needs = (*ctx.needs_input_grad, False, False)
    table, weights = _gradients(ctx, gradient, needs[1], len(ctx.needs_input_grad) > 3 and needs[3])
    return None, table, None, weights, None, None, None, None, None


torch.library.register_autograd("embedkernel::bag", _graph_backward, setup_context=_graph_setup)
_bag_in_graph: Callable[..., tuple[Tensor, Tensor]] = _ops.bag


def _check(
    ids: Tensor, offsets: Optional[Tensor], mode: str, scale_grad_by_freq: bool, sparse: bool,
    per_sample_weights: Optional[Tensor],
) -> None:
    """What `torch.nn.functional.embedding_bag` refuses, with its kinds of error."""
    if mode not in _POOLS:
        raise ValueError(f'mode must be "sum", "mean" or "max", not {mode!r}')
    if ids.dim() not in (1, 2):
        raise ValueError(f"input must have 1 or 2 dimensions, not {ids.dim()}")
    if ids.dim() == 2 and offsets is not None:
        raise ValueError("offsets must be None where input has 2 dimensions, as its rows are the bags")
    if ids.dim() == 1:
        if offsets is None:
            raise ValueError("offsets must be given where input has 1 dimension")
        if offsets.dim() != 1:
            raise ValueError(f"offsets must have 1 dimension, not {offsets.dim()}")
    if per_sample_weights is not None:
        if per_sample_weights.shape != ids.shape:
            raise ValueError(
                f"per_sample_weights must have the shape of input, {tuple(ids.shape)}, not "
                f"{tuple(per_sample_weights.shape)}"
            )
        if mode != "sum":
            raise NotImplementedError(f'per_sample_weights are for mode "sum", not {mode!r}')
    if mode == "max" and scale_grad_by_freq:
        raise ValueError('scale_grad_by_freq is not for mode "max"')
    if mode == "max" and sparse:
        raise ValueError('sparse gradients are not for mode "max"')


def embedding_bag(
    input: Tensor, weight: Tensor, offsets: Optional[Tensor] = None, max_norm: Optional[float] = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False,
    per_sample_weights: Optional[Tensor] = None, include_last_offset: bool = False,
    padding_idx: Optional[int] = None,
) -> Tensor:
    """Pools rows of `weight` in bags: `torch.nn.functional.embedding_bag`, with its arguments.

    Arguments:
        input: Ids (N) with `offsets`, or (B, N): a bag a row. int32 or int64.
        weight: Shape (vocabulary, dim), float32, float16 or bfloat16.
        offsets: Where bags start (B), from 0 on and never falling; with `include_last_offset` one more, where the
            last bag ends.
        max_norm, norm_type: Rows whose p-norm is above are scaled down to it first, in place.
        scale_grad_by_freq: Divides a row's gradient by how often its id is in `input`, padding included. (PyTorch's
            own on the CPU takes the number of another id where ids repeat.)
        mode: "sum", "mean" or "max"; an empty bag gives zeros.
        sparse: Makes the gradient of `weight` a sparse tensor, coalesced.
        per_sample_weights: Of the shape of `input`, for "sum"; differentiable.
        padding_idx: An id that is left out of its bag, and gets no gradient.

    Returns a tensor (B, dim) of the type of `weight`. Sums take rows in the order of the ids, in float32, and are
    rounded once; so do gradients. Other element types, tables that are not contiguous, and the transforms of
    `torch.func` go through PyTorch's own operator.

    Raises IndexError, which names bag, position and id, for an id outside the table; ValueError for shapes and
    offsets that don't fit; NotImplementedError for weights of another mode; RuntimeError for other types.
    """
    if not isinstance(input, Tensor):  # A proxy of torch.fx; else refused by name.
        return F.embedding_bag(
            input, weight, offsets, max_norm, norm_type, scale_grad_by_freq, mode, sparse, per_sample_weights,
            include_last_offset, padding_idx,
        )
    _check(input, offsets, mode, scale_grad_by_freq, sparse, per_sample_weights)
    if padding_idx is None:
        padding = -1
    else:
        rows = weight.shape[0]
        if not -rows <= padding_idx < rows:
            raise ValueError(f"padding_idx must be within the {rows} rows, not {padding_idx}")
        padding = padding_idx % rows
    if max_norm is not None:
        renormalize_(weight, input, max_norm, norm_type)
    if per_sample_weights is not None and per_sample_weights.dtype is not weight.dtype:
        raise RuntimeError(
            f"per_sample_weights must be of the type of weight, {weight.dtype}, not {per_sample_weights.dtype}"
        )
    left = not _is_compiling() and _fallback.is_left(input, weight)
    if left or not _fallback.is_plain(weight):
        _fallback.check_devices(
            input=input, weight=weight, offsets=offsets, per_sample_weights=per_sample_weights
        )
        return F.embedding_bag(
            input, weight, offsets, None, norm_type, scale_grad_by_freq, mode, sparse, per_sample_weights,
            include_last_offset, padding_idx,
        )
    rest = (_POOLS[mode], padding, include_last_offset, scale_grad_by_freq, sparse)
    if _is_compiling():
        return _bag_in_graph(input, weight, offsets, per_sample_weights, *rest)[0]
    try:
        if _is_grad_enabled() and (
            weight.requires_grad or (per_sample_weights is not None and per_sample_weights.requires_grad)
        ):
            return _bag_apply(weight, per_sample_weights, input, offsets, rest)
        return _bag_forward(input, weight, offsets, per_sample_weights, *rest[:3])[0]
    except RuntimeError as error:
        _fallback.check_devices(
            input=input, weight=weight, offsets=offsets, per_sample_weights=per_sample_weights
        )
        _errors.reraise(error)


__all__ = ["embedding_bag"]
