"""How a loop of torch uses the optimisers: accumulation, clipping, scaling, groups, hooks, compiling."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from optim_runs import ALL, IDS, bound, dense, each, gradients, model, sparse

from embedkernel.torch import optim


@each
def test_accumulation(make: Any) -> None:
    """Gradients of several backward passes are one gradient."""
    one, two = model(), model()
    first, second = make(one.parameters()), make(two.parameters())
    a, b = torch.tensor([1, 2, 2]), torch.tensor([2, 7])
    for _ in range(3):
        first.zero_grad()
        (one(a).square().sum() + one(b).square().sum()).backward()
        first.step()
        second.zero_grad(set_to_none=True)
        two(a).square().sum().backward()
        two(b).square().sum().backward()
        second.step()
    assert torch.allclose(one.weight, two.weight, rtol=0, atol=1e-6)


@each
def test_zeroed_gradient(make: Any) -> None:
    embedding = model()
    optimizer = make(embedding.parameters())
    embedding(torch.tensor([1])).sum().backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    assert embedding.weight.grad is not None
    optimizer.step()
    optimizer.zero_grad()
    assert embedding.weight.grad is None
    before = embedding.weight.detach().clone()
    optimizer.step()
    assert torch.equal(embedding.weight.detach(), before)


@each
def test_tied_head(make: Any) -> None:
    """The sparse gradient of the input and the dense one of the logits are one dense gradient."""
    one, two = model(), model()
    two.sparse = False
    first, second = make(one.parameters()), make(two.parameters())
    ids = torch.tensor([1, 5, 5])
    for _ in range(3):
        for embedding, optimizer in ((one, first), (two, second)):
            hidden = embedding(ids)
            logits = torch.nn.functional.linear(hidden, embedding.weight)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits, ids).backward()
            assert embedding.weight.grad.layout is torch.strided
            optimizer.step()
    assert torch.allclose(one.weight, two.weight, rtol=0, atol=1e-6)


def test_sampled_head() -> None:
    """Rows of an input and of a sampled head are one sparse gradient, as dense AdamW's."""
    one, two = model(), model().double()
    two.sparse = False
    ours = optim.ExactLazyAdamW(one.parameters(), lr=0.01)
    theirs = torch.optim.AdamW(two.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        ids = torch.randint(0, 10, (4,), generator=generator)
        sampled = torch.randint(0, 20, (5,), generator=generator)
        for embedding, optimizer in ((one, ours), (two, theirs)):
            logits = embedding(ids) @ embedding(sampled).T
            optimizer.zero_grad()
            torch.logsumexp(logits, 1).sum().backward()
            optimizer.step()
        assert one.weight.grad.layout is torch.sparse_coo
    difference = (one.weight.detach().double() - two.weight.detach()).abs().max().item()
    assert difference <= bound(two.weight.detach(), [0.01] * 20)


@each
def test_gradients_that_cannot_be(make: Any) -> None:
    weight = torch.nn.Parameter(torch.zeros(6, 3))
    optimizer = make([weight])
    weight.grad = torch.ones(6, 3).to_sparse()
    with pytest.raises(ValueError, match="one sparse dimension, not 2"):
        optimizer.step()
    weight.grad = torch.sparse_coo_tensor(
        torch.tensor([[1, 6]]), torch.ones(2, 3), (6, 3), check_invariants=False
    )
    with pytest.raises(IndexError, match="6"):
        optimizer.step()
    weight.grad = torch.sparse_coo_tensor(
        torch.tensor([[1, -1]]), torch.ones(2, 3), (6, 3), check_invariants=False
    )
    with pytest.raises(IndexError, match="-1"):
        optimizer.step()
    assert torch.equal(weight.detach(), torch.zeros(6, 3))
    weight.grad = torch.ones(6, 3)
    optimizer.step()
    assert (weight.detach() < 0).all()


def test_all_is_checked_before_anything_moves() -> None:
    good, bad = torch.nn.Parameter(torch.zeros(3, 2)), torch.nn.Parameter(torch.zeros(3, 2))
    optimizer = optim.LazyAdamW([good, bad])
    good.grad = torch.ones(3, 2)
    bad.grad = torch.zeros(3, 2).to_sparse()
    with pytest.raises(ValueError, match="one sparse dimension, not 2"):
        optimizer.step()
    assert torch.equal(good.detach(), torch.zeros(3, 2)) and not optimizer.state[good]


@each
def test_shapes(make: Any) -> None:
    """Any shape with rows; empty ones too."""
    for shape in [(3, 2), (4, 2, 3), (0, 3), (3, 0), (5, 1)]:
        weight = torch.nn.Parameter(torch.zeros(shape))
        optimizer = make([weight])
        weight.grad = torch.ones(shape)
        optimizer.step()
        optimizer.step()
        assert (weight.detach() < 0).all()


@pytest.mark.parametrize("make", ALL[:3], ids=IDS[:3])
def test_parameters_without_rows(make: Any) -> None:
    for shape in [(), (7,), (0,)]:
        weight = torch.nn.Parameter(torch.zeros(shape))
        optimizer = make([weight])
        weight.grad = torch.ones(shape)
        optimizer.step()
        assert (weight.detach() < 0).all()
    weight = torch.nn.Parameter(torch.zeros(7))
    optimizer = make([weight])
    for _ in range(3):
        weight.grad = sparse(torch.tensor([2, 2]), torch.ones(2), 7)
        optimizer.step()
    assert weight[2] < 0 and weight[3] == 0
    with pytest.raises(ValueError, match="parameters with rows"):
        optim.RowWiseAdagrad([torch.nn.Parameter(torch.zeros(7))])


@each
def test_closure_and_hooks(make: Any) -> None:
    embedding = model()
    optimizer = make(embedding.parameters())
    called = []
    optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    optimizer.register_step_post_hook(lambda *_: called.append("after"))

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = embedding(torch.tensor([1, 2])).square().sum()
        loss.backward()
        return loss

    first = optimizer.step(closure)
    second = optimizer.step(closure)
    assert second < first
    assert called == ["before", "after"] * 2
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert "lr" in repr(optimizer)


def test_groups() -> None:
    """Each group by its own numbers, beside torch."""
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(10, 3)) for _ in range(3)]
    truths = [torch.nn.Parameter(w.detach().double()) for w in weights]

    def build(kind: Any, given: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        optimizer = kind(
            [{"params": given[:1], "lr": 0.1}, {"params": given[1:2], "weight_decay": 0.5}], lr=0.02
        )
        optimizer.add_param_group({"params": given[2:], "betas": (0.5, 0.9), "maximize": True})
        return optimizer

    ours, theirs = build(optim.ExactLazyAdamW, weights), build(torch.optim.AdamW, truths)
    for ids, values in gradients(1, 10, 3, 12, 4):
        for weight, truth in zip(weights, truths):
            weight.grad, truth.grad = sparse(ids, values, 10), dense(ids, values, 10)
        ours.step()
        theirs.step()
    for weight, truth, rate in zip(weights, truths, (0.1, 0.02, 0.02)):
        difference = (weight.detach().double() - truth.detach()).abs().max().item()
        assert difference <= bound(truth.detach(), [rate] * 12)
    with pytest.raises(ValueError, match="more than one parameter group"):
        ours.add_param_group({"params": weights[:1]})


def test_beside_another_optimiser() -> None:
    """Ours holds the embedding, torch's the rest: the run is that of one AdamW."""
    torch.manual_seed(0)
    ours = torch.nn.Sequential(torch.nn.Embedding(20, 4, sparse=True), torch.nn.Linear(4, 3))
    theirs = copy.deepcopy(ours).double()
    theirs[0].sparse = False
    both = [
        optim.ExactLazyAdamW(ours[0].parameters(), lr=0.01),
        torch.optim.AdamW(ours[1].parameters(), lr=0.01),
    ]
    one = [torch.optim.AdamW(theirs.parameters(), lr=0.01)]
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        ids = torch.randint(0, 20, (5,), generator=generator)
        for network, optimizers in ((ours, both), (theirs, one)):
            for optimizer in optimizers:
                optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(ids), ids % 3).backward()
            for optimizer in optimizers:
                optimizer.step()
    for mine, truth in zip(ours.parameters(), theirs.parameters()):
        assert torch.allclose(mine.double(), truth, rtol=0, atol=1e-5)


@each
def test_a_compiled_loop(make: Any) -> None:
    """A step that torch.compile meets breaks the graph, and is taken."""
    one, two = model(), model()
    first, second = make(one.parameters()), make(two.parameters())

    def step(
        embedding: torch.nn.Embedding, optimizer: torch.optim.Optimizer, ids: torch.Tensor
    ) -> torch.Tensor:
        optimizer.zero_grad()
        loss = embedding(ids).square().sum()
        loss.backward()
        optimizer.step()
        return loss

    torch._dynamo.reset()
    compiled = torch.compile(step, backend="eager")
    for last in range(3):
        ids = torch.tensor([1, 2, last])
        assert compiled(one, first, ids).item() == step(two, second, ids).item()
    assert torch.equal(one.weight.detach(), two.weight.detach())


@pytest.mark.parametrize("norm", [0.1, 1e9])
@pytest.mark.parametrize("order", [2.0, 1.0, float("inf"), 3.0])
def test_clipping(norm: float, order: float) -> None:
    """The norm is that of the same gradients made dense."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Embedding(20, 4, sparse=True), torch.nn.Linear(4, 3))
    twin = copy.deepcopy(network)
    twin[0].sparse = False
    ids = torch.tensor([1, 1, 4, 9, 1])
    network(ids).square().sum().backward()
    twin(ids).square().sum().backward()
    expected = torch.nn.utils.clip_grad_norm_(twin.parameters(), norm, order)
    assert torch.allclose(optim.get_total_norm(network.parameters(), order), expected)
    found = optim.clip_grad_norm_(network.parameters(), norm, order)
    assert torch.allclose(found, expected)
    for mine, theirs in zip(network.parameters(), twin.parameters()):
        assert torch.allclose(mine.grad.to_dense(), theirs.grad, rtol=1e-5, atol=1e-8)
    assert optim.clip_grad_norm_([], 1.0) == 0
    network[0].weight.grad = sparse(torch.tensor([1]), torch.full((1, 4), float("nan")), 20)
    with pytest.raises(RuntimeError, match="non-finite"):
        optim.clip_grad_norm_(network.parameters(), 1.0, error_if_nonfinite=True)


@each
def test_grad_scaler(make: Any) -> None:
    """Scaled losses step as unscaled ones, and a gradient that is not finite is skipped."""
    one, two = model(), model()
    first, second = make(one.parameters()), make(two.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    ids = torch.tensor([1, 5])
    for step in range(4):
        first.zero_grad()
        second.zero_grad()
        scaler.scale(one(ids).square().sum()).backward()
        if step == 2:
            one.weight.grad = one.weight.grad * float("inf")
        else:
            two(ids).square().sum().backward()
            second.step()
        scaler.step(first)
        scaler.update()
    assert torch.allclose(one.weight, two.weight, rtol=0, atol=1e-6)


def test_a_graph_does_not_outlive_a_step() -> None:
    """A step writes the weight, which a graph that still needs it is told."""
    embedding = model()
    optimizer = optim.ExactLazyAdamW(embedding.parameters())
    hidden = torch.nn.functional.linear(torch.ones(2, 4, requires_grad=True), embedding.weight)
    embedding(torch.tensor([1])).sum().backward()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        hidden.sum().backward()
