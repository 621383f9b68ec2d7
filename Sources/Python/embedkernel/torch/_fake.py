"""What `torch.compile`, `torch.export` and the meta device know of the operators: shapes and types, without
their elements."""

from __future__ import annotations

from typing import Any, Callable, Optional

import torch
from torch import Tensor

_FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def _check_ids(ids: Tensor) -> None:
    torch._check(
        ids.dtype in (torch.int32, torch.int64),
        lambda: f"embedkernel: token ids must be of int32 or int64, not {ids.dtype}",
    )


def _check_table(name: str, table: Tensor, dtypes: tuple[torch.dtype, ...] = _FLOATS) -> None:
    torch._check(table.dim() == 2, lambda: f"embedkernel: {name} must have 2 dimensions, not {table.dim()}")
    torch._check(
        table.dtype in dtypes,
        lambda: f"embedkernel: {name} must be of {' or '.join(map(str, dtypes))}, not {table.dtype}",
    )


def _rows(ids: Tensor, tokens: Tensor) -> Tensor:
    return tokens.new_empty((*ids.shape, tokens.shape[1]))


def _embed(
    ids: Tensor, tokens: Tensor, positions: Optional[Tensor] = None, places: Optional[Tensor] = None,
    offset: int = 0, scale: float = 1.0, *_: object,
) -> Tensor:
    _check_ids(ids)
    _check_table("the token table", tokens)
    if positions is not None:
        _check_table("the position table", positions, (tokens.dtype,))
        torch._check(
            positions.shape[1] == tokens.shape[1],
            lambda: "embedkernel: rows of the position table are not of the token table's length",
        )
    return _rows(ids, tokens)


def _embed_backward(
    gradient: Tensor, ids: Tensor, places: Optional[Tensor], vocabulary: int, maximum: int, offset: int,
    scale: float, padding_idx: int, scale_grad_by_freq: bool, for_tokens: bool, for_positions: bool,
) -> tuple[Tensor, Tensor]:
    dim = gradient.shape[-1]
    return (
        gradient.new_empty((vocabulary if for_tokens else 0, dim)),
        gradient.new_empty((maximum if for_positions else 0, dim)),
    )


def _embed_backward_sparse(
    gradient: Tensor, ids: Tensor, places: Optional[Tensor], vocabulary: int, maximum: int, offset: int,
    scale: float, padding_idx: int, scale_grad_by_freq: bool, for_positions: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    dim = gradient.shape[-1]
    rows = torch.library.get_ctx().new_dynamic_size()
    return (
        ids.new_empty((rows,), dtype=torch.int64),
        gradient.new_empty((rows, dim)),
        gradient.new_empty((maximum if for_positions else 0, dim)),
    )


def _renormalize(tokens: Tensor, ids: Tensor, max_norm: float, norm_type: float) -> None:
    _check_ids(ids)
    _check_table("the token table", tokens)


def _fused(ids: Tensor, tokens: Tensor, *_: object) -> Tensor:
    _check_ids(ids)
    _check_table("the token table", tokens, (torch.float32,))
    return _rows(ids, tokens)


def _fused_backward(
    gradient: Tensor, ids: Tensor, tokens: Tensor, positions: Optional[Tensor], segments: Optional[Tensor],
    segment_ids: Optional[Tensor], places: Optional[Tensor], gamma: Optional[Tensor], beta: Optional[Tensor],
    *_: object,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dim = tokens.shape[1]
    return (
        _rows(ids, tokens),
        tokens.new_empty((0 if gamma is None else dim,)),
        tokens.new_empty((0 if beta is None else dim,)),
        tokens.new_empty((0 if segments is None else segments.shape[0], dim)),
    )


def _norm(input: Tensor, gamma: Optional[Tensor], beta: Optional[Tensor], norm: int, epsilon: float) -> Tensor:
    return input.new_empty(input.shape)


def _norm_backward(
    gradient: Tensor, input: Tensor, gamma: Optional[Tensor], beta: Optional[Tensor], norm: int, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    dim = input.shape[-1]
    return (
        input.new_empty(input.shape),
        input.new_empty((0 if gamma is None else dim,)),
        input.new_empty((0 if beta is None else dim,)),
    )


def _rotate(input: Tensor, *_: object) -> Tensor:
    torch._check(
        input.dim() == 4, lambda: f"embedkernel: queries and keys have 4 dimensions, not {input.dim()}"
    )
    turned = input.transpose(1, 2)
    if not input.is_contiguous() and turned.is_contiguous():
        return torch.empty(turned.shape, dtype=input.dtype, device=input.device).transpose(1, 2)
    return input.new_empty(input.shape)


def _tied_logits(hidden: Tensor, table: Tensor, scale: float = 1.0) -> Tensor:
    _check_table("the token table", table, (torch.float32,))
    return hidden.new_empty((*hidden.shape[:-1], table.shape[0]))


def _tied_backward(gradient: Tensor, hidden: Tensor, table: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    return hidden.new_empty(hidden.shape), table.new_empty(table.shape)


def _bag(
    ids: Tensor, table: Tensor, offsets: Optional[Tensor] = None, weights: Optional[Tensor] = None, pool: int = 0,
    padding_idx: int = -1, include_last_offset: bool = False, *_: object,
) -> tuple[Tensor, Tensor]:
    _check_ids(ids)
    _check_table("the table", table)
    if offsets is None:
        torch._check(ids.dim() == 2, lambda: f"embedkernel: ids of bags have {ids.dim()} dimensions, not 2")
        bags = ids.shape[0]
    else:
        bags = offsets.shape[0] - (1 if include_last_offset else 0)
    shape = (bags, table.shape[1])
    return table.new_empty(shape), ids.new_empty(shape if pool == 2 else (0,), dtype=torch.int32)


def _bag_backward(
    gradient: Tensor, ids: Tensor, offsets: Optional[Tensor], weights: Optional[Tensor], winners: Optional[Tensor],
    vocabulary: int, pool: int, padding_idx: int, include_last_offset: bool, scale_grad_by_freq: bool,
) -> Tensor:
    return gradient.new_empty((vocabulary, gradient.shape[1]))


def _bag_backward_sparse(
    gradient: Tensor, ids: Tensor, *_: object,
) -> tuple[Tensor, Tensor]:
    rows = torch.library.get_ctx().new_dynamic_size()
    return ids.new_empty((rows,), dtype=torch.int64), gradient.new_empty((rows, gradient.shape[1]))


def _bag_weight_gradient(
    gradient: Tensor, ids: Tensor, offsets: Optional[Tensor], table: Tensor, padding_idx: int,
    include_last_offset: bool,
) -> Tensor:
    return table.new_empty(ids.shape)


_KERNELS: dict[str, Callable[..., Any]] = {
    "embed": _embed,
    "embed_forward": _embed,
    "embed_backward": _embed_backward,
    "embed_backward_sparse": _embed_backward_sparse,
    "renormalize_": _renormalize,
    "bag": _bag,
    "bag_forward": _bag,
    "bag_backward": _bag_backward,
    "bag_backward_sparse": _bag_backward_sparse,
    "bag_weight_gradient": _bag_weight_gradient,
    "fused": _fused,
    "fused_forward": _fused,
    "fused_backward": _fused_backward,
    "norm": _norm,
    "norm_forward": _norm,
    "norm_backward": _norm_backward,
    "rotate": _rotate,
    "rotate_forward": _rotate,
    "tied_logits": _tied_logits,
    "tied_logits_forward": _tied_logits,
    "tied_backward": _tied_backward,
}

for _name, _kernel in _KERNELS.items():
    torch.library.register_fake(f"embedkernel::{_name}", _kernel)
