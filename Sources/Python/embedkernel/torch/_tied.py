"""Logits against a token table, with both gradients."""

from __future__ import annotations

from typing import Any, Callable, Optional

import torch
from torch import Tensor

from . import _errors, _fallback

_ops = torch.ops.embedkernel
_tied_forward: Callable[..., Tensor] = _ops.tied_logits_forward.default
_tied_backward: Callable[..., tuple[Tensor, ...]] = _ops.tied_backward.default
_is_compiling = torch.compiler.is_compiling
_is_grad_enabled = torch.is_grad_enabled


class _Tied(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, table: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(hidden, table)
        ctx.scale = scale
        return _tied_forward(hidden, table, scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        (gradient,) = gradients
        hidden, table = ctx.saved_tensors
        if _is_grad_enabled():
            # For a second derivative, from operators that have one.
            scaled = gradient * ctx.scale
            for_table = scaled.flatten(0, -2).t() @ hidden.flatten(0, -2) if gradient.dim() > 1 else torch.outer(
                scaled, hidden
            )
            return scaled @ table, for_table, None
        for_hidden, for_table = _tied_backward(gradient, hidden, table, ctx.scale)
        return for_hidden if ctx.needs_input_grad[0] else None, for_table if ctx.needs_input_grad[1] else None, None


_tied_apply: Callable[..., Tensor] = _Tied.apply
_tied_in_graph: Callable[..., Tensor] = _ops.tied_logits


def _tied_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    hidden, table, scale = inputs
    ctx.save_for_backward(hidden, table)
    ctx.scale = scale


torch.library.register_autograd("embedkernel::tied_logits", _Tied.backward, setup_context=_tied_setup)


def tied_logits(hidden: Tensor, table: Tensor, *, scale: float = 1.0) -> Tensor:
    """Logits against the rows of a token table, `scale * hidden @ table.T`.

    Arguments:
        hidden: (..., dim), float32.
        table: (vocabulary, dim), float32, contiguous.

    Returns (..., vocabulary), differentiable in both. Other element types, autocast, and tables that are not
    contiguous go through `torch.nn.functional.linear`. Raises ValueError, RuntimeError.
    """
    left = torch.is_autocast_enabled("cpu") or (not _is_compiling() and _fallback.is_left(hidden, table))
    if left or not (_fallback.is_plain(table) and hidden.dtype is table.dtype is torch.float32):
        _fallback.check_devices(hidden_state=hidden, token_table=table)
        logits = torch.nn.functional.linear(hidden, table)
        return logits if scale == 1 else logits * scale
    if _is_compiling():
        return _tied_in_graph(hidden, table, scale)
    try:
        if _is_grad_enabled() and (hidden.requires_grad or table.requires_grad):
            return _tied_apply(hidden, table, scale)
        return _tied_forward(hidden, table, scale)
    except RuntimeError as error:
        _fallback.check_devices(hidden_state=hidden, token_table=table)
        _errors.reraise(error)
