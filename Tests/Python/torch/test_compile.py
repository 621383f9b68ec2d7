"""`torch.compile(fullgraph=True)` and `torch.export`: no graph breaks, the same numbers, dynamic shapes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch._dynamo.testing
from torch import nn

from embedkernel.torch import Embedding, InputEmbedding, RotaryEmbedding, TiedHead

# `aot_eager` runs the whole of the tracing, differentiation and functionalisation without a C++ compiler; one
# test goes through Inductor.
BACKEND = "aot_eager"


@pytest.fixture(autouse=True)
def forget() -> Any:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compare(layer: nn.Module, *inputs: Any, **options: Any) -> None:
    """Eager and compiled outputs and gradients are equal."""
    compiled = torch.compile(layer, fullgraph=True, backend=BACKEND)
    results = []
    for call in (layer, compiled):
        layer.zero_grad()
        out = call(*inputs, **options)
        out.square().sum().backward()
        results.append([out.detach()] + [p.grad.to_dense().clone() for p in layer.parameters() if p.grad is not None])
    assert len(results[0]) > 1
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("options", [{}, {"padding_idx": 2}, {"scale_grad_by_freq": True}, {"dtype": torch.float64}, {"dtype": torch.bfloat16}])
def test_embedding(options: dict[str, Any]) -> None:
    compare(Embedding(11, 8, **options), torch.randint(0, 11, (3, 4)))


def test_max_norm() -> None:
    plain = Embedding(11, 8, max_norm=1.0)
    other = Embedding(11, 8, max_norm=1.0)
    other.load_state_dict(plain.state_dict())
    ids = torch.randint(0, 11, (3, 4))
    compiled = torch.compile(other, fullgraph=True, backend=BACKEND)
    with torch.no_grad():
        assert torch.equal(compiled(ids), plain(ids))
    assert torch.equal(other.weight, plain.weight)


@pytest.mark.parametrize("norm", [None, "layer", "rms"])
@pytest.mark.parametrize("places", [False, True])
def test_input_embedding(norm: Any, places: bool) -> None:
    layer = InputEmbedding(11, 8, 9, num_segments=2 if norm else None, norm=norm, scale=2.0)
    options: dict[str, Any] = {"position_ids": torch.randint(0, 9, (3, 4))} if places else {"offset": 3}
    compare(layer, torch.randint(0, 11, (3, 4)), torch.randint(0, 2, (3, 4)) if norm else None, **options)


def test_dropout() -> None:
    layer = InputEmbedding(11, 64, 9, norm="layer", dropout=0.5)
    ids = torch.randint(0, 11, (8, 9))
    compiled = torch.compile(layer, fullgraph=True, backend=BACKEND)
    first, second = compiled(ids), compiled(ids)
    assert not torch.equal(first, second) and 0.4 < first.eq(0).float().mean() < 0.6
    (gradient,) = torch.autograd.grad(first.sum(), layer.norm.bias)
    assert torch.equal(gradient, first.ne(0).float().sum(dim=(0, 1)) * 2)


def test_rotation_and_head() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = InputEmbedding(11, 16, 9)
            self.rotary = RotaryEmbedding.plain(8)
            self.head = TiedHead(self.embedding)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            hidden = self.embedding(ids)
            heads = hidden.view(*ids.shape, 2, 8).transpose(1, 2)
            queries, keys = self.rotary(heads, heads)
            return self.head((queries + keys).transpose(1, 2).reshape(hidden.shape))

    compare(Block(), torch.randint(0, 11, (3, 4)))


def test_shapes_may_change() -> None:
    layer = Embedding(11, 8)
    compiled = torch.compile(layer, fullgraph=True, backend=BACKEND, dynamic=True)
    for shape in ((3, 4), (5, 6), (2, 9)):
        ids = torch.randint(0, 11, shape)
        (found,) = torch.autograd.grad(compiled(ids).sum(), layer.weight)
        assert torch.equal(found[:, 0], torch.bincount(ids.flatten(), minlength=11).float())


def test_generation_compiles_once() -> None:
    layer, rotary = InputEmbedding(11, 8, 64), RotaryEmbedding.plain(8)

    def step(ids: torch.Tensor, offset: int) -> torch.Tensor:
        return rotary(layer(ids, offset=offset)[:, None], offset=offset)

    counter = torch._dynamo.testing.CompileCounterWithBackend(BACKEND)
    compiled = torch.compile(step, fullgraph=True, backend=counter)
    with torch.no_grad():
        for offset in range(12):
            ids = torch.randint(0, 11, (2, 1))
            assert torch.equal(compiled(ids, offset), step(ids, offset))
    # Once for the first offset, once for any other (and 0 and 1 are numbers of their own to PyTorch).
    assert counter.frame_count <= 3


def test_inductor() -> None:
    layer = InputEmbedding(11, 8, 9)
    ids = torch.randint(0, 11, (3, 4))
    compiled = torch.compile(lambda x: layer(x).sin() * 2, fullgraph=True)
    assert torch.allclose(compiled(ids), layer(ids).sin() * 2, atol=1e-6)
    torch.autograd.backward(compiled(ids).sum())
    found = layer.tokens.weight.grad.clone()
    layer.zero_grad()
    (layer(ids).sin() * 2).sum().backward()
    assert torch.allclose(found, layer.tokens.weight.grad, atol=1e-6)


def test_an_unknown_id_is_an_index_error_in_a_graph() -> None:
    layer = Embedding(11, 8)
    compiled = torch.compile(layer, fullgraph=True, backend=BACKEND)
    ids = torch.zeros(3, 4, dtype=torch.int64)
    compiled(ids)
    ids[2, 1] = 11
    with pytest.raises(IndexError, match="row 2"):
        compiled(ids)


def test_export() -> None:
    layer = InputEmbedding(11, 8, 9, norm="layer").eval()
    ids = torch.randint(0, 11, (3, 4))
    program = torch.export.export(layer, (ids,))
    assert any("embedkernel.fused" in str(node.target) for node in program.graph.nodes)
    assert torch.equal(program.module()(ids), layer(ids))
