"""Clipping across sparse and dense gradients: torch's own has no norm for sparse ones."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def _parameters(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    if isinstance(parameters, Tensor):
        return [parameters]
    return [parameter for parameter in parameters if parameter.grad is not None]


def _summed(parameter: Tensor) -> Tensor:
    """The elements of a gradient, each row of a sparse one once."""
    gradient = parameter.grad
    assert gradient is not None
    if gradient.layout is torch.sparse_coo:
        if not gradient.is_coalesced():
            gradient = gradient.coalesce()
            parameter.grad = gradient
        return gradient.values()
    return gradient


@torch.no_grad()
def get_total_norm(
    parameters: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """The norm of all gradients of the parameters, dense and sparse, as of one vector.

    Sparse gradients are summed by rows (coalesced), and left so in ``grad``.

    Args:
        parameters: One parameter or several; those without gradient are passed over.
        norm_type: The order of the norm, 0 or more or infinity.
        error_if_nonfinite: Raises ``RuntimeError`` for a norm that is not finite.
    """
    given = _parameters(parameters)
    norm_type = float(norm_type)
    if norm_type < 0 and any(p.grad is not None and p.grad.is_sparse for p in given):
        raise ValueError(f"Invalid norm_type: {norm_type}: sparse gradients are 0 somewhere")
    norms = [
        torch.linalg.vector_norm(_summed(parameter), norm_type)
        if _summed(parameter).numel() > 0
        else torch.tensor(0.0)
        for parameter in given
        if parameter.grad is not None
    ]
    if not norms:
        return torch.tensor(0.0)
    total: Tensor = torch.linalg.vector_norm(torch.stack(norms), norm_type)
    if error_if_nonfinite and not torch.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so "
            "it cannot be clipped"
        )
    return total


@torch.no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """``torch.nn.utils.clip_grad_norm_`` for parameters of which some have sparse gradients.

    Scales all gradients so that the norm of all of them, as of one vector, is at most ``max_norm``.

    Args:
        parameters: One parameter or several; those without gradient are passed over.
        max_norm: The greatest norm.
        norm_type: The order of the norm, 0 or more or infinity.
        error_if_nonfinite: Raises ``RuntimeError`` for a norm that is not finite.
        foreach: Taken for torch's sake; there is one form.

    Returns:
        The norm before.
    """
    given = _parameters(parameters)
    total = get_total_norm(given, norm_type, error_if_nonfinite)
    factor = torch.clamp(float(max_norm) / (total + 1e-6), max=1.0)
    for parameter in given:
        gradient = parameter.grad
        if gradient is None:
            continue
        if gradient.layout is torch.sparse_coo:
            # A sparse gradient's memory may be that of the gradient of the model's output.
            parameter.grad = torch.sparse_coo_tensor(
                gradient.indices(),
                gradient.values() * factor,
                gradient.shape,
                is_coalesced=True,
                check_invariants=False,
            )
        else:
            gradient.mul_(factor)
    return total
