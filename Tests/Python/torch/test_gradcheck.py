"""Gradients against finite differences.

The operators compute in float32, so `gradcheck` runs on float32 with steps and tolerances to match: where a
function is linear, a step of 1/4 on numbers of few bits makes differences exact; where it is not, the function is
compared with itself in float64, through PyTorch's operators, whose gradient is checked in float64 by `gradcheck`.
"""

from __future__ import annotations

import warnings
from typing import Optional

import pytest
import torch
from torch import nn

from embedkernel.torch import InputEmbedding, RotaryEmbedding, _fallback, embed, tied_logits


def quarters(*shape: int) -> torch.Tensor:
    """Multiples of 1/4 that sums of a few hundred keep exact."""
    return (torch.randint(-8, 9, shape) / 4).requires_grad_()


def check_linear(function: object, *inputs: Optional[torch.Tensor]) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*double precision.*")
        assert torch.autograd.gradcheck(function, inputs, eps=0.25, atol=0, rtol=0, fast_mode=False)


@pytest.mark.parametrize("padding_idx", [None, 3])
@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("places", [False, True])
def test_embed(padding_idx: Optional[int], scale: float, places: bool) -> None:
    ids = torch.randint(0, 7, (2, 3))
    position_ids = torch.randint(0, 5, (2, 3)) if places else None
    if padding_idx is not None:
        ids = torch.where(ids == padding_idx, 0, ids)  # Its gradient is left out on purpose.
    check_linear(
        lambda tokens, positions: embed(
            ids, tokens, positions, position_ids=position_ids, scale=scale, padding_idx=padding_idx
        ),
        quarters(7, 4), quarters(5, 4),
    )


def test_embed_twice() -> None:
    ids = torch.randint(0, 7, (2, 3))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*double precision.*")
        assert torch.autograd.gradgradcheck(
            lambda tokens, positions: embed(ids, tokens, positions), (quarters(7, 4), quarters(5, 4)),
            eps=0.25, atol=0, rtol=0,
        )


def test_embed_in_double_goes_through_torch() -> None:
    ids = torch.randint(0, 7, (2, 3))
    tokens, positions = torch.randn(7, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    inputs = (tokens.requires_grad_(), positions.requires_grad_())
    assert torch.autograd.gradcheck(lambda t, p: embed(ids, t, p, scale=0.5, offset=1), inputs)
    assert torch.autograd.gradgradcheck(lambda t, p: embed(ids, t, p, scale=0.5, offset=1), inputs)


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_rotation(layout: str) -> None:
    rotary = RotaryEmbedding.plain(6, layout=layout)
    queries = torch.randn(2, 2, 3, 6, requires_grad=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*double precision.*")
        for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
            assert check(lambda x: rotary(x, offset=2), (queries,), eps=1.0, atol=1e-5, rtol=1e-5)


def test_tied_logits() -> None:
    # Linear in each of the two.
    hidden, table = quarters(2, 3, 4), quarters(7, 4)
    check_linear(lambda h: tied_logits(h, table.detach(), scale=0.5), hidden)
    check_linear(lambda t: tied_logits(hidden.detach(), t, scale=0.5), table)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*double precision.*")
        assert torch.autograd.gradgradcheck(
            lambda h, t: tied_logits(h, t, scale=0.5), (hidden, table), eps=0.25, atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("norm", [None, "layer", "rms"])
@pytest.mark.parametrize("segments", [None, 3])
@pytest.mark.parametrize("padding_idx", [None, 2])
@pytest.mark.parametrize("dim", [5, 16, 96])
def test_input_embedding(norm: Optional[str], segments: Optional[int], padding_idx: Optional[int], dim: int) -> None:
    layer = InputEmbedding(
        11, dim, 9, num_segments=segments, norm=norm, scale=1.5, padding_idx=padding_idx
    )
    with torch.no_grad():
        if norm is not None:
            layer.norm.weight.normal_()
    double = InputEmbedding(
        11, dim, 9, num_segments=segments, norm=norm, scale=1.5, padding_idx=padding_idx, dtype=torch.float64
    )
    double.load_state_dict(layer.state_dict())
    ids, segment_ids = torch.randint(0, 11, (4, 6)), torch.randint(0, 3, (4, 6)) if segments else None
    gradient = torch.randn(4, 6, dim)
    out, expected = layer(ids, segment_ids, offset=2), double(ids, segment_ids, offset=2)
    assert out.dtype == torch.float32 and expected.dtype == torch.float64
    assert torch.allclose(out.double(), expected, rtol=1e-5, atol=1e-5)
    out.backward(gradient)
    expected.backward(gradient.double())
    for (name, found), (_, right) in zip(layer.named_parameters(), double.named_parameters()):
        error = (found.grad.double() - right.grad).abs().max()
        assert error <= 2e-5 * max(1.0, float(right.grad.abs().max())), (name, float(error))


@pytest.mark.parametrize("norm", [0, 1, 2])
def test_the_double_form_passes_gradcheck(norm: int) -> None:
    ids, segment_ids = torch.randint(0, 7, (2, 3)), torch.randint(0, 2, (2, 3))
    tables = [torch.randn(rows, 4, dtype=torch.float64, requires_grad=True) for rows in (7, 5, 2)]
    weights = [torch.randn(4, dtype=torch.float64, requires_grad=True) for _ in range(2)]

    def function(*inputs: torch.Tensor) -> torch.Tensor:
        tokens, positions, segments, gamma, beta = inputs
        return _fallback.fused(
            ids, tokens, positions, segments, segment_ids, None, gamma if norm else None, beta if norm else None, 1,
            1.5, norm, 1e-5, 0.0, -1, False, False,
        )

    inputs = (*tables, *(weights if norm else [None, None]))
    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize("norm", [1, 2])
def test_norms_of_rows(norm: int) -> None:
    rows = torch.randn(3, 5, 24, requires_grad=True)
    gamma, beta = torch.randn(24, requires_grad=True), torch.randn(24, requires_grad=True)
    out = torch.ops.embedkernel.norm(rows, gamma, beta, norm, 1e-5)
    doubles = [tensor.detach().double().requires_grad_() for tensor in (rows, gamma, beta)]
    if norm == 1:
        expected = nn.functional.layer_norm(doubles[0], (24,), doubles[1], doubles[2], 1e-5)
    else:
        expected = nn.functional.rms_norm(doubles[0], (24,), doubles[1], 1e-5) + doubles[2]
    assert torch.allclose(out.double(), expected, rtol=1e-5, atol=1e-5)
    gradient = torch.randn(3, 5, 24)
    found = torch.autograd.grad(out, (rows, gamma, beta), gradient)
    right = torch.autograd.grad(expected, doubles, gradient.double())
    for one, other in zip(found, right):
        assert torch.allclose(one.double(), other, rtol=1e-4, atol=2e-5)
