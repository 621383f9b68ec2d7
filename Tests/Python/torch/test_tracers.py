"""What records a call rather than runs it: torch.fx, torch.jit and torch.export; and ids and tables out of the
ordinary, which PyTorch's modules take too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import embedkernel.torch as ek

IDS = torch.tensor([[1, 2, 2], [0, 5, 9]])
OTHERS = torch.tensor([[3, 3], [7, 8], [9, 1], [4, 4]])
OFFSETS = torch.tensor([0, 2, 2])
quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*torch.jit.*")


def pair(ours: type[nn.Module], theirs: type[nn.Module], *arguments: object, **keywords: object) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(1)
    mine = ours(*arguments, **keywords)
    other = theirs(*arguments, **keywords)
    other.load_state_dict(mine.state_dict())
    return mine, other


def gradient(module: nn.Module, output: Tensor) -> Tensor:
    module.zero_grad()
    output.square().sum().backward()
    (weight,) = module.parameters()
    assert weight.grad is not None
    return weight.grad.clone()


RECORDERS = {
    "fx": lambda module, *inputs: torch.fx.symbolic_trace(module),
    "jit.trace": lambda module, *inputs: torch.jit.trace(module, inputs),
    "jit.script": lambda module, *inputs: torch.jit.script(module),
}


@quiet
@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("keywords", [{}, {"padding_idx": 2}, {"scale_grad_by_freq": True}, {"max_norm": 0.5}])
def test_recorded_embeddings_are_those_of_torch(recorder, keywords):
    if recorder == "jit.script" and "max_norm" in keywords:
        pytest.skip("torch.jit.script leaves the norms of torch.nn.Embedding itself as they are")
    mine, other = pair(ek.Embedding, nn.Embedding, 10, 4, **keywords)
    recorded = RECORDERS[recorder](mine, IDS)
    for ids in (IDS, OTHERS):
        output = recorded(ids)
        expected = other(ids)
        assert torch.equal(output, expected)
        torch.testing.assert_close(gradient(mine, output), gradient(other, expected))


@quiet
@pytest.mark.parametrize("recorder", ["jit.trace", "jit.script"])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_recorded_bags_are_those_of_torch(recorder, mode):
    mine, other = pair(ek.EmbeddingBag, nn.EmbeddingBag, 10, 4, mode=mode, padding_idx=3)
    recorded = RECORDERS[recorder](mine, IDS.flatten(), OFFSETS)
    output = recorded(IDS.flatten(), OFFSETS)
    expected = other(IDS.flatten(), OFFSETS)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(gradient(mine, output), gradient(other, expected))


def test_bags_within_a_model_are_recorded_by_fx():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bag = ek.EmbeddingBag(10, 4, mode="sum", max_norm=1.0)

        def forward(self, ids: Tensor, offsets: Tensor) -> Tensor:
            return self.bag(ids, offsets).relu()

    model = Model()
    expected = model(IDS.flatten(), OFFSETS)
    graph = torch.fx.symbolic_trace(model)
    torch.testing.assert_close(graph(IDS.flatten(), OFFSETS), expected)


@quiet
@pytest.mark.parametrize("recorder", ["fx", "jit.trace"])
@pytest.mark.parametrize("norm", [None, "layer", "rms"])
def test_recorded_input_layers_follow_the_length(recorder, norm):
    layer = ek.InputEmbedding(10, 4, max_positions=5, norm=norm)
    inputs = torch.tensor([[1, 2, 2]])
    expected = [layer(IDS), layer(OTHERS)]
    if recorder == "fx":
        recorded = torch.fx.symbolic_trace(
            layer, concrete_args={"segment_ids": None, "position_ids": None, "offset": 0}
        )
    else:
        recorded = torch.jit.trace(layer, (inputs,))
    torch.testing.assert_close(recorded(IDS), expected[0])
    torch.testing.assert_close(recorded(OTHERS), expected[1])


@quiet
def test_recorded_heads():
    embedding = ek.Embedding(10, 4)
    head = ek.TiedHead(embedding, scale=0.5)
    hidden = torch.randn(3, 4)
    expected = head(hidden)
    torch.testing.assert_close(torch.fx.symbolic_trace(head)(hidden), expected)
    torch.testing.assert_close(torch.jit.trace(head, (hidden,))(hidden), expected)


def test_nested_ids():
    mine, other = pair(ek.Embedding, nn.Embedding, 10, 4)
    ids = torch.nested.nested_tensor([torch.tensor([1, 2]), torch.tensor([3])], layout=torch.jagged)
    output, expected = mine(ids), other(ids)
    assert torch.equal(output.values(), expected.values())
    torch.testing.assert_close(gradient(mine, output.values()), gradient(other, expected.values()))


@pytest.mark.parametrize("size", [(0, 4), (10, 0), (0, 0)])
def test_tables_without_elements(size):
    none = torch.empty(0, 3, dtype=torch.long)
    mine, other = pair(ek.Embedding, nn.Embedding, *size)
    assert mine(none).shape == other(none).shape
    if size[0] == 0:
        with pytest.raises((IndexError, RuntimeError)):
            mine(IDS)
    else:
        assert mine(IDS).shape == (2, 3, 0)
    bag, other_bag = pair(ek.EmbeddingBag, nn.EmbeddingBag, *size, mode="sum")
    offsets = torch.tensor([0])
    if size[1] > 0:
        assert torch.equal(bag(none.flatten(), offsets), other_bag(none.flatten(), offsets))


@pytest.mark.parametrize("ids", [[1, 2], IDS.numpy(), 3, None])
def test_ids_that_are_no_tensors_are_refused(ids):
    with pytest.raises(TypeError):
        ek.Embedding(10, 4)(ids)
    with pytest.raises((TypeError, AttributeError)):
        ek.EmbeddingBag(10, 4)(ids)
