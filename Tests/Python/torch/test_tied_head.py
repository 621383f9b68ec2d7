"""`TiedHead` beside `torch.nn.Linear` with a shared weight."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from embedkernel.torch import Embedding, InputEmbedding, TiedHead


@given(
    st.integers(1, 40), st.integers(1, 40), st.lists(st.integers(0, 4), max_size=3).map(tuple),
    st.sampled_from([1.0, 0.125]),
)
def test_logits_and_gradients(vocabulary: int, dim: int, shape: tuple[int, ...], scale: float) -> None:
    embedding = Embedding(vocabulary, dim)
    head = TiedHead(embedding, scale=scale)
    hidden = torch.randn(*shape, dim, requires_grad=True)
    logits = head(hidden)
    doubles = hidden.detach().double().requires_grad_(), embedding.weight.detach().double().requires_grad_()
    expected = scale * (doubles[0] @ doubles[1].t())
    assert logits.shape == (*shape, vocabulary)
    assert torch.allclose(logits.double(), expected, rtol=1e-4, atol=1e-4)
    gradient = torch.randn(*shape, vocabulary)
    found = torch.autograd.grad(logits, (hidden, head.weight), gradient)
    right = torch.autograd.grad(expected, doubles, gradient.double())
    for one, other in zip(found, right):
        assert torch.allclose(one.double(), other, rtol=1e-4, atol=1e-4)


def test_the_weight_is_one() -> None:
    layer = InputEmbedding(9, 8, 6)
    head = TiedHead(layer)
    assert head.weight is layer.tokens.weight and TiedHead(layer.tokens.weight).weight is layer.tokens.weight
    model = nn.ModuleDict({"wte": layer, "head": head})
    assert len(list(model.parameters())) == 2
    twin = copy.deepcopy(model)
    assert twin["head"].weight is twin["wte"].tokens.weight
    ids = torch.randint(0, 9, (2, 5))
    head(layer(ids)).logsumexp(-1).sum().backward()
    plain = copy.deepcopy(model)
    plain.zero_grad()
    tokens, positions = plain["wte"].tokens.weight, plain["wte"].positions.weight
    nn.functional.linear(tokens[ids] + positions[:5], tokens).logsumexp(-1).sum().backward()
    assert torch.allclose(layer.tokens.weight.grad, tokens.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_types_go_through_linear(dtype: torch.dtype) -> None:
    head = TiedHead(nn.Embedding(9, 8, dtype=dtype), scale=0.5)
    hidden = torch.randn(2, 8, dtype=dtype)
    assert torch.equal(head(hidden), nn.functional.linear(hidden, head.weight) * 0.5)


def test_autocast_is_linears() -> None:
    head, hidden = TiedHead(nn.Embedding(9, 8)), torch.randn(2, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert head(hidden).dtype == nn.functional.linear(hidden, head.weight).dtype == torch.bfloat16


def test_errors_are_named() -> None:
    head = TiedHead(nn.Embedding(9, 8))
    with pytest.raises(ValueError, match="last dimension"):
        head(torch.randn(2, 7))
    for wrong in (nn.ReLU(), nn.Parameter(torch.zeros(3)), torch.randn(3, 4)):
        with pytest.raises(TypeError):
            TiedHead(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finite"):
        TiedHead(nn.Embedding(9, 8), scale=float("inf"))
