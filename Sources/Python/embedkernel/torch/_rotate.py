"""The rotation of queries and keys, and its inverse: each is the other's gradient."""

from __future__ import annotations

from typing import Any, Callable, Optional

import torch
from torch import Tensor

from . import _errors, _fallback

_ops = torch.ops.embedkernel
_rotate_forward: Callable[..., Tensor] = _ops.rotate_forward.default
_is_compiling = torch.compiler.is_compiling
_is_grad_enabled = torch.is_grad_enabled


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, input: Tensor, rotation: int, places: Optional[Tensor], coordinates: Optional[Tensor],
        offset: int, heads_first: bool, length: int,
    ) -> Tensor:
        ctx.save_for_backward(places, coordinates)
        ctx.facts = (rotation, offset, heads_first, length)
        return _rotate_forward(input, rotation, places, coordinates, offset, heads_first, length, False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        (gradient,) = gradients
        places, coordinates = ctx.saved_tensors
        rotation, offset, heads_first, length = ctx.facts
        if _is_grad_enabled():
            result = _unrotate_apply(gradient, rotation, places, coordinates, offset, heads_first, length)
        else:
            result = _rotate_forward(gradient, rotation, places, coordinates, offset, heads_first, length, True)
        return result, None, None, None, None, None, None


class _Unrotate(torch.autograd.Function):
    """The inverse turn, whose gradient is the turn: rotations may be differentiated any number of times."""

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, rotation: int, places: Optional[Tensor], coordinates: Optional[Tensor],
        offset: int, heads_first: bool, length: int,
    ) -> Tensor:
        ctx.save_for_backward(places, coordinates)
        ctx.facts = (rotation, offset, heads_first, length)
        return _rotate_forward(input, rotation, places, coordinates, offset, heads_first, length, True)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        (gradient,) = gradients
        places, coordinates = ctx.saved_tensors
        rotation, offset, heads_first, length = ctx.facts
        result = _rotate_apply(gradient, rotation, places, coordinates, offset, heads_first, length)
        return result, None, None, None, None, None, None


_rotate_apply: Callable[..., Tensor] = _Rotate.apply
_unrotate_apply: Callable[..., Tensor] = _Unrotate.apply
_rotate_in_graph: Callable[..., Tensor] = _ops.rotate


def _rotate_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, rotation, places, coordinates, offset, heads_first, length = inputs
    ctx.save_for_backward(places, coordinates)
    ctx.facts = (rotation, offset, heads_first, length)


torch.library.register_autograd("embedkernel::rotate", _Rotate.backward, setup_context=_rotate_setup)


def rotate(
    input: Tensor, rotation: int, *, position_ids: Optional[Tensor] = None, coordinates: Optional[Tensor] = None,
    offset: int = 0, heads_first: bool = True, length: int = 0,
) -> Tensor:
    """Turns each head's vector by its token's position; `RotaryEmbedding` is what to call.

    Arguments:
        input: Queries or keys, (B, H, T, head dim), or (B, T, H, head dim) with `heads_first=False`;
            float32, float16 or bfloat16. After `.view(B, T, H, D).transpose(1, 2)` nothing is copied.
        rotation: The number of a rotation, `RotaryEmbedding.rotation`.
        position_ids: (B, T) or (T), int32 or int64.
        coordinates: (axes, B, T), int32, for rotations of several axes.
        offset: The position of the first token.
        length: The tokens of the whole sequence, for scalings that depend on it; 0 for as long as the highest
            position needs.

    Returns a tensor of the input's shape and layout. Raises ValueError, IndexError, RuntimeError.
    """
    if _is_compiling():
        return _rotate_in_graph(input, rotation, position_ids, coordinates, offset, heads_first, length)
    try:
        if _fallback.is_transformed():
            raise RuntimeError("embedkernel: rotations have no rule for torch.func and forward-mode differentiation")
        if _is_grad_enabled() and input.requires_grad:
            return _rotate_apply(input, rotation, position_ids, coordinates, offset, heads_first, length)
        return _rotate_forward(input, rotation, position_ids, coordinates, offset, heads_first, length, False)
    except RuntimeError as error:
        _fallback.check_devices(queries_or_keys=input, position_ids=position_ids, coordinates=coordinates)
        _errors.reraise(error)
