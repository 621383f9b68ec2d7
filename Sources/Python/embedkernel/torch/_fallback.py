"""The same results from PyTorch's own operators, for what EmbedKernel does not compute.

That is: float64 and other element types, tables that are not contiguous, tensors of subclasses without storage
of their own such as DTensor, nested ids, tables without elements, PyTorch's function transforms (`torch.func`,
forward-mode differentiation), and the tracers of `torch.fx` and `torch.jit`, whose graphs are to run anywhere.
Tensors on another device are refused: EmbedKernel is for the CPU, and a model that was moved should have moved
its layers on purpose.
"""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def check_devices(**tensors: Optional[Tensor]) -> None:
    """Raises RuntimeError that names the first tensor outside the CPU (and the meta device)."""
    for name, tensor in tensors.items():
        # None has no device, and a proxy of torch.fx only another proxy.
        device = getattr(tensor, "device", None)
        if isinstance(device, torch.device) and device.type not in ("cpu", "meta"):
            raise RuntimeError(
                f"embedkernel.torch computes on the CPU; {name.replace('_', ' ')} is on {device}. "
                "Use torch.nn's modules there"
            )


def is_plain(*tensors: Optional[Tensor]) -> bool:
    """Whether the operators take `tensors`: dense, contiguous, of float32, float16 or bfloat16, and of no subclass
    that wraps other tensors."""
    return all(
        tensor is None
        or (
            tensor.dtype in FLOATS
            and tensor.layout is torch.strided
            and tensor.is_contiguous()
            and not hasattr(tensor, "__tensor_flatten__")
        )
        for tensor in tensors
    )


def is_transformed() -> bool:
    """Whether a transform of `torch.func`, or forward-mode differentiation, is at work."""
    return torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0


def is_left(ids: Tensor, *tables: Optional[Tensor]) -> bool:
    """Whether a call of eager code is left to PyTorch's operators for what surrounds it or what `ids` are."""
    # What is no tensor is a proxy of torch.fx, or refused there by name.
    if not isinstance(ids, Tensor) or is_transformed() or torch._C._is_tracing() or ids.is_nested:
        return True
    return any(table is not None and (not isinstance(table, Tensor) or table.numel() == 0) for table in tables)


def sequential(ids: Tensor, places: Optional[Tensor], offset: int) -> Tensor:
    """The places of tokens, for a table to be indexed by."""
    if places is not None:
        return places
    # A proxy of torch.fx knows no dimensions.
    if isinstance(ids, Tensor) and ids.dim() == 0:
        return torch.tensor(offset, device=ids.device)
    return torch.arange(offset, offset + ids.shape[-1], device=ids.device)


def embed(
    ids: Tensor, tokens: Tensor, positions: Optional[Tensor], places: Optional[Tensor], offset: int, scale: float,
    padding_idx: int, by_frequency: bool, sparse: bool,
) -> Tensor:
    """`embedkernel.torch.embed` by PyTorch."""
    padding = padding_idx if padding_idx >= 0 else None
    result = F.embedding(ids, tokens, padding, None, 2.0, by_frequency, sparse)
    if scale != 1:
        result = result * scale
    if positions is not None:
        result = result + F.embedding(sequential(ids, places, offset), positions)
    return result


def fused(
    ids: Tensor, tokens: Tensor, positions: Optional[Tensor], segments: Optional[Tensor],
    segment_ids: Optional[Tensor], places: Optional[Tensor], gamma: Optional[Tensor], beta: Optional[Tensor],
    offset: int, scale: float, norm: int, epsilon: float, dropout: float, padding_idx: int, by_frequency: bool,
    sparse: bool,
) -> Tensor:
    """The fused input layer by PyTorch; its dropout draws from PyTorch's generator."""
    result = embed(ids, tokens, positions, places, offset, scale, padding_idx, by_frequency, sparse)
    if segments is not None:
        result = result + (segments[0] if segment_ids is None else F.embedding(segment_ids, segments))
    dim = (tokens.shape[1],)
    if norm == 1:
        result = F.layer_norm(result, dim, gamma, beta, epsilon)
    elif norm == 2:
        result = F.rms_norm(result, dim, gamma, epsilon)
        if beta is not None:
            result = result + beta
    return F.dropout(result, dropout) if dropout > 0 else result
