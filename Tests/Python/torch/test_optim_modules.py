"""embedkernel's own layers under an exact-lazy optimiser: they bring up the rows that they read."""

from __future__ import annotations

import warnings

import pytest
import torch
from optim_runs import bound
from test_optim_reading import D, NUMBERS, STEPS, V, Behind, is_behind

import embedkernel.torch as ek
from embedkernel.torch import optim


def layer(behind: Behind) -> torch.nn.Embedding:
    embedding = ek.Embedding(V, D, sparse=True)
    embedding.weight = behind.weight
    return embedding


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_embedding(dtype: torch.dtype) -> None:
    behind = Behind()
    ids = torch.tensor([[39, 30], [30, 2]], dtype=dtype)
    behind.check(layer(behind)(ids), behind.expected[ids.long()])
    assert is_behind(behind.weight), "a lookup brings up the rows of its ids alone"
    behind.check(layer(behind)(torch.arange(V)))
    assert not is_behind(behind.weight)


def test_without_gradients() -> None:
    behind = Behind()
    with torch.no_grad():
        behind.check(layer(behind)(torch.arange(V)))
    behind = Behind()
    with torch.inference_mode():
        behind.check(layer(behind)(torch.arange(V)))


def test_ids_outside() -> None:
    behind = Behind()
    with pytest.raises(IndexError):
        layer(behind)(torch.tensor([0, V]))
    behind.check(layer(behind)(torch.arange(V)))


def test_compiled_without_a_break() -> None:
    behind = Behind()
    torch._dynamo.reset()
    compiled = torch.compile(layer(behind), backend="aot_eager", fullgraph=True)
    ids = torch.tensor([39, 30, 2])
    behind.check(compiled(ids), behind.expected[ids])
    # The graph as it stands reads what later steps owe.
    behind.weight.grad = torch.sparse_coo_tensor(
        torch.tensor([[1]]), torch.ones(1, D), (V, D), check_invariants=False
    )
    for _ in range(5):
        behind.optimizer.step()
    found = compiled(ids).detach()
    assert torch.equal(found, behind.weight.detach()[ids])


def test_compiled_training() -> None:
    """A compiled step trains as an eager one."""
    losses = []
    for compiles in (False, True):
        torch._dynamo.reset()
        torch.manual_seed(0)
        model = torch.nn.Sequential(ek.Embedding(V, D), torch.nn.Linear(D, 3))
        optimizer = optim.ExactLazyAdamW(model.parameters(), **NUMBERS)
        run = torch.compile(model, backend="aot_eager") if compiles else model
        found = []
        for step in range(4):
            ids = torch.tensor([step, 3, 3])
            loss = torch.nn.functional.cross_entropy(run(ids), ids % 3)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        losses.append(found)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_row_slice() -> None:
    """A view of some rows reaches an operator under an address of its own."""
    behind = Behind()
    behind.check(ek.embed(torch.tensor([0, 4]), behind.weight[30:]), behind.expected[[30, 34]])
    del behind


def test_tied_head() -> None:
    behind = Behind()
    head = ek.TiedHead(layer(behind))
    behind.check(head(torch.eye(D)).T)
    # And its own gradient, dense, is a dense step.
    head(torch.ones(2, D)).sum().backward()
    assert behind.weight.grad is not None and behind.weight.grad.layout is torch.strided
    behind.optimizer.step()
    assert not is_behind(behind.weight)


def test_input_embedding() -> None:
    """Token rows of a layer with positions, trained lazily beside dense AdamW in float64."""
    torch.manual_seed(0)
    ours = ek.InputEmbedding(V, D, 4, sparse=True)
    truth = torch.nn.Embedding(V, D).double()
    places = torch.nn.Parameter(ours.positions.weight.detach().double())
    with torch.no_grad():
        truth.weight.copy_(ours.tokens.weight)
    optimizers = [
        optim.ExactLazyAdamW(ours.parameters(), **NUMBERS),
        torch.optim.AdamW([truth.weight, places], **NUMBERS),
    ]
    generator = torch.Generator().manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(STEPS):
            ids = torch.randint(0, V // 2, (2, 4), generator=generator)
            for optimizer, output in zip(optimizers, (ours(ids), truth(ids) + places)):
                optimizer.zero_grad()
                output.square().sum().backward()
                optimizer.step()
    for mine, theirs in ((ours.tokens.weight, truth.weight), (ours.positions.weight, places)):
        difference = (mine.detach().double() - theirs.detach()).abs().max().item()
        assert difference <= bound(theirs.detach(), [NUMBERS["lr"]] * STEPS) * 4


def test_max_norm() -> None:
    """Rows are renormalised as they are, not as they were."""
    behind = Behind()
    embedding = ek.Embedding(V, D, max_norm=0.5)
    embedding.weight = behind.weight
    ids = torch.tensor([39, 30])
    norms = behind.expected[ids].norm(dim=1, keepdim=True)
    expected = behind.expected[ids] * torch.clamp(0.5 / (norms + 1e-7), max=1.0)
    behind.check(embedding(ids), expected)
    behind.expected[ids] = expected
    behind.check(behind.weight.detach())
