"""The input layer in one pass, and norms of rows that are there already, with their gradients."""

from __future__ import annotations

from typing import Any, Callable, Optional

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import _errors, _fallback
from ._embed import table_gradients

_ops = torch.ops.embedkernel
_fused_forward: Callable[..., Tensor] = _ops.fused_forward.default
_fused_backward: Callable[..., tuple[Tensor, ...]] = _ops.fused_backward.default
_is_compiling = torch.compiler.is_compiling
_is_grad_enabled = torch.is_grad_enabled


def _fused_gradients(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    ids, tokens, positions, segments, segment_ids, places, gamma, beta, seed = ctx.saved_tensors
    offset, scale, norm, epsilon, dropout, padding_idx, by_frequency, sparse = ctx.facts
    needs = ctx.needs_input_grad
    rows, for_gamma, for_beta, for_segments = _fused_backward(
        gradient, ids, tokens, positions, segments, segment_ids, places, gamma, beta, seed, offset, scale, norm,
        epsilon, dropout,
    )
    for_tokens = for_positions = None
    if needs[1] or needs[2]:
        for_tokens, for_positions = table_gradients(
            rows, ids, places, tokens.shape[0], 0 if positions is None else positions.shape[0], offset, scale,
            padding_idx, by_frequency, sparse, needs[1], needs[2],
        )
    return (
        None, for_tokens, for_positions, for_segments if needs[3] else None, None, None,
        for_gamma if needs[6] else None, for_beta if needs[7] else None, None, None, None, None, None, None, None,
        None, None,
    )


_fused_gradients_once = once_differentiable(_fused_gradients)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        _fused_setup(ctx, inputs, None)
        return _fused_forward(*inputs[:14])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        (gradient,) = gradients
        # Refuses to be differentiated again, rather than to be wrong.
        return (_fused_gradients_once if _is_grad_enabled() else _fused_gradients)(ctx, gradient)


def _fused_setup(ctx: Any, inputs: tuple[Any, ...], output: Optional[Tensor]) -> None:
    ctx.save_for_backward(*inputs[:9])
    ctx.facts = inputs[9:]


torch.library.register_autograd("embedkernel::fused", _Fused.backward, setup_context=_fused_setup)
_fused_apply: Callable[..., Tensor] = _Fused.apply
_fused_in_graph: Callable[..., Tensor] = _ops.fused


def run_fused(
    ids: Tensor, tokens: Tensor, positions: Optional[Tensor], segments: Optional[Tensor],
    segment_ids: Optional[Tensor], places: Optional[Tensor], gamma: Optional[Tensor], beta: Optional[Tensor],
    offset: int, scale: float, norm: int, epsilon: float, dropout: float, padding_idx: int, by_frequency: bool,
    sparse: bool,
) -> Tensor:
    """The fused input layer; `norm` is 0 for none, 1 for layer norm, 2 for root mean square."""
    parts = (tokens, positions, segments, gamma, beta)
    left = not _is_compiling() and _fallback.is_left(ids, *parts)
    if left or not _fallback.is_plain(*parts) or tokens.dtype is not torch.float32:
        _fallback.check_devices(
            token_ids=ids, token_table=tokens, position_table=positions, segment_table=segments,
            segment_ids=segment_ids, position_ids=places, norm_weight=gamma, norm_bias=beta,
        )
        return _fallback.fused(
            ids, tokens, positions, segments, segment_ids, places, gamma, beta, offset, scale, norm, epsilon,
            dropout, padding_idx, by_frequency, sparse,
        )
    # From PyTorch's generator, so that manual_seed and activation checkpointing hold.
    seed = torch.randint(0, 2**62, (), dtype=torch.int64) if dropout > 0 else None
    numbers = (offset, scale, norm, epsilon, dropout, padding_idx, by_frequency, sparse)
    if _is_compiling():
        return _fused_in_graph(ids, tokens, positions, segments, segment_ids, places, gamma, beta, seed, *numbers)
    try:
        if _is_grad_enabled() and any(part is not None and part.requires_grad for part in parts):
            return _fused_apply(ids, tokens, positions, segments, segment_ids, places, gamma, beta, seed, *numbers)
        return _fused_forward(
            ids, tokens, positions, segments, segment_ids, places, gamma, beta, seed, *numbers[:5]
        )
    except RuntimeError as error:
        _fallback.check_devices(
            token_ids=ids, token_table=tokens, position_table=positions, segment_table=segments,
            segment_ids=segment_ids, position_ids=places, norm_weight=gamma, norm_bias=beta,
        )
        _errors.reraise(error)


# Norms of rows that are there already


class _NormGradients:
    @staticmethod
    def setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:3])
        ctx.facts = inputs[3:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        (gradient,) = gradients
        input, gamma, beta = ctx.saved_tensors
        for_input, for_gamma, for_beta = _ops.norm_backward(gradient, input, gamma, beta, *ctx.facts)
        needs = ctx.needs_input_grad
        return for_input, for_gamma if needs[1] else None, for_beta if needs[2] else None, None, None


torch.library.register_autograd(
    "embedkernel::norm", _NormGradients.backward, setup_context=_NormGradients.setup
)
