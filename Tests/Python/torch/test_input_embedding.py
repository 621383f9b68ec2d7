"""`InputEmbedding`: one pass beside PyTorch's modules one after another."""

from __future__ import annotations

import copy
import pickle
from typing import Any, Optional

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from embedkernel.torch import Embedding, InputEmbedding


def composed(layer: InputEmbedding, ids: torch.Tensor, segment_ids: Optional[torch.Tensor], offset: int) -> torch.Tensor:
    """What the layer stands for, by PyTorch's modules."""
    total = nn.functional.embedding(ids, layer.tokens.weight) * layer.scale
    if layer.positions is not None:
        total = total + layer.positions.weight[offset : offset + ids.shape[-1]]
    if layer.segments is not None:
        total = total + layer.segments.weight[torch.zeros_like(ids) if segment_ids is None else segment_ids]
    return total if layer.norm is None else layer.norm(total)


@given(
    st.integers(1, 30), st.integers(1, 80), st.integers(0, 3), st.integers(1, 9), st.integers(0, 3),
    st.one_of(st.none(), st.integers(1, 3)), st.sampled_from([None, "layer", "rms"]), st.booleans(),
    st.sampled_from([1.0, 8.0]), st.sampled_from([torch.int64, torch.int32]),
)
def test_one_pass_is_the_composition(
    vocabulary: int, dim: int, batch: int, context: int, offset: int, segments: Optional[int], norm: Optional[str],
    with_ids: bool, scale: float, kind: torch.dtype,
) -> None:
    layer = InputEmbedding(vocabulary, dim, 12, num_segments=segments, norm=norm, scale=scale)
    ids = torch.randint(0, vocabulary, (batch, context), dtype=kind)
    segment_ids = torch.randint(0, segments, (batch, context), dtype=kind) if segments and with_ids else None
    found, expected = layer(ids, segment_ids, offset=offset), composed(layer, ids, segment_ids, offset)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)
    if norm is None and segments is None:
        assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("norm", [None, "layer"])
def test_other_types(dtype: torch.dtype, norm: Optional[str]) -> None:
    layer = InputEmbedding(9, 16, 6, norm=norm, dtype=dtype)
    ids = torch.randint(0, 9, (2, 6))
    out = layer(ids)
    assert out.dtype == dtype
    assert torch.allclose(out.double(), composed(layer.double(), ids, None, 0), rtol=2e-2, atol=2e-2)


def test_dropout() -> None:
    layer = InputEmbedding(50, 64, 32, norm="layer", dropout=0.25)
    ids = torch.randint(0, 50, (8, 32))
    full = layer.eval()(ids)
    layer.train()
    torch.manual_seed(5)
    first = layer(ids)
    torch.manual_seed(5)
    assert torch.equal(layer(ids), first)
    second = layer(ids)
    assert not torch.equal(second, first)
    dropped = first == 0
    assert 0.2 < dropped.float().mean() < 0.3
    assert torch.allclose(first[~dropped], full[~dropped] / 0.75, rtol=1e-5, atol=1e-6)
    # The gradient is of the mask that was drawn.
    (gradient,) = torch.autograd.grad(first.sum(), layer.norm.bias)
    assert torch.allclose(gradient, (~dropped).float().sum(dim=(0, 1)) / 0.75, rtol=1e-5)


def test_dropout_under_checkpointing() -> None:
    layer = InputEmbedding(50, 16, 32, dropout=0.5)
    ids = torch.randint(0, 50, (4, 32))
    torch.manual_seed(1)
    (expected,) = torch.autograd.grad(layer(ids).square().sum(), layer.tokens.weight)
    torch.manual_seed(1)
    out = torch.utils.checkpoint.checkpoint(layer, ids, use_reentrant=False)
    (found,) = torch.autograd.grad(out.square().sum(), layer.tokens.weight)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("norm", [None, "layer"])
@pytest.mark.parametrize("options", [{}, {"padding_idx": 1}, {"scale_grad_by_freq": True}, {"max_norm": 1.0}])
def test_sparse_gradients_are_the_dense_ones(norm: Optional[str], options: dict[str, Any]) -> None:
    dense = InputEmbedding(9, 8, 6, norm=norm, scale=2.0, **options)
    sparse = copy.deepcopy(dense)
    sparse.tokens.sparse = True
    ids, weight = torch.randint(0, 9, (3, 6)), torch.randn(3, 6, 8)
    for layer in (dense, sparse):
        (layer(ids) * weight).sum().backward()
    assert sparse.tokens.weight.grad.is_sparse
    assert torch.allclose(sparse.tokens.weight.grad.to_dense(), dense.tokens.weight.grad, rtol=1e-5, atol=1e-5)
    assert torch.allclose(sparse.positions.weight.grad, dense.positions.weight.grad)


def test_from_modules_shares_weights() -> None:
    tokens, positions, norm = nn.Embedding(9, 8), nn.Embedding(6, 8), nn.LayerNorm(8, eps=1e-3)
    layer = InputEmbedding.from_modules(tokens, positions, norm=norm)
    ids = torch.randint(0, 9, (3, 6))
    expected = norm(tokens(ids) + positions.weight)
    assert torch.allclose(layer(ids), expected, rtol=1e-5, atol=1e-5)
    assert list(layer.state_dict()) == ["tokens.weight", "positions.weight", "norm.weight", "norm.bias"]
    assert layer.tokens.weight is tokens.weight
    for wrong in (nn.Embedding(6, 7), nn.Embedding(6, 8, max_norm=1), nn.Embedding(6, 8, sparse=True)):
        with pytest.raises(ValueError):
            InputEmbedding.from_modules(tokens, wrong)
    with pytest.raises(ValueError):
        InputEmbedding.from_modules(tokens, norm=nn.LayerNorm(7))
    with pytest.raises(ValueError):
        InputEmbedding.from_modules(tokens, dropout=1.0)


def test_norms_of_fewer_parts() -> None:
    tokens, ids = nn.Embedding(9, 8), torch.randint(0, 9, (3, 6))
    for norm in (
        nn.LayerNorm(8, bias=False), nn.LayerNorm(8, elementwise_affine=False), nn.RMSNorm(8),
        nn.RMSNorm(8, elementwise_affine=False), nn.RMSNorm(8, eps=1e-6),
    ):
        layer = InputEmbedding.from_modules(tokens, norm=norm)
        assert torch.allclose(layer(ids), norm(tokens(ids)), rtol=1e-5, atol=1e-5)


def test_positions_of_every_shape() -> None:
    layer = InputEmbedding(9, 8, 6, norm="layer")
    plain = InputEmbedding.from_modules(layer.tokens, layer.positions)
    ids = torch.randint(0, 9, (3, 4))
    for places in (torch.randint(0, 6, (3, 4)), torch.randint(0, 6, (4,)), torch.randint(0, 6, (1, 4)), torch.randint(0, 6, (3, 4), dtype=torch.int32)):
        total = layer.tokens.weight[ids] + layer.positions.weight[places.long()]
        assert torch.equal(plain(ids, position_ids=places), total)
        assert torch.allclose(layer(ids, position_ids=places), layer.norm(total), rtol=1e-5, atol=1e-5)


def test_errors_name_the_place() -> None:
    layer = InputEmbedding(9, 8, 6, num_segments=2, norm="layer")
    ids = torch.zeros(3, 4, dtype=torch.int64)
    bad = ids.clone()
    bad[1, 2] = 9
    with pytest.raises(IndexError, match="row 1.*position 2|position 2.*row 1"):
        layer(bad)
    with pytest.raises(IndexError, match="row 1.*position 2|position 2.*row 1"):
        layer(ids, bad.clamp(max=2))
    with pytest.raises(IndexError):
        layer(ids, offset=3)
    with pytest.raises(ValueError, match="segment ids"):
        InputEmbedding(9, 8)(ids, ids)
    with pytest.raises(ValueError, match="segment ids"):
        InputEmbedding(9, 8, norm="rms")(ids, ids)
    for wrong in ({"norm": "batch"}, {"dropout": 1.0}, {"dropout": -0.1}, {"scale": float("nan")}):
        with pytest.raises(ValueError):
            InputEmbedding(9, 8, **wrong)


def test_copies_and_pickles() -> None:
    layer = InputEmbedding(9, 8, 6, num_segments=2, norm="layer", dropout=0.1, scale=2.0).eval()
    ids = torch.randint(0, 9, (3, 4))
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(copied(ids), layer(ids))
    assert isinstance(layer.tokens, Embedding)


def test_functional_call_and_transforms() -> None:
    layer = InputEmbedding(9, 8, 6, norm="layer")
    ids = torch.randint(0, 9, (3, 4))
    parameters = {name: torch.randn_like(value) for name, value in layer.named_parameters()}
    out = torch.func.functional_call(layer, parameters, (ids,))
    gradients = torch.func.grad(lambda p: torch.func.functional_call(layer, p, (ids,)).square().sum())(parameters)
    layer.load_state_dict(parameters)
    assert torch.equal(layer(ids), out)
    layer(ids).square().sum().backward()
    for name, value in layer.named_parameters():
        assert torch.allclose(gradients[name], value.grad, rtol=1e-4, atol=1e-4), name
