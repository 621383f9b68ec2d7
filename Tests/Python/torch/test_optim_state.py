"""The optimisers' state: resumed, exchanged with torch's, copied, refused."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from optim_runs import UNIT, Pair, bound, each, gradients, model, sparse

from embedkernel.torch import optim


def run(pair: Pair, seed: int, steps: int, form: str = "sparse") -> None:
    for ids, values in gradients(seed, pair.rows, pair.weight.shape[1], steps, 6):
        pair.step(ids, values, form)


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file)


@pytest.mark.parametrize("kind", [optim.ExactLazyAdamW, optim.LazyAdamW])
def test_resuming(kind: Any) -> None:
    """A run that is saved and goes on in a new process follows the one that was never saved."""
    numbers = {"lr": 0.02, "weight_decay": 0.1}
    whole = Pair(kind, torch.optim.AdamW, numbers, "none", 20)
    parts = Pair(kind, torch.optim.AdamW, numbers, "none", 20)
    run(whole, 1, 10)
    run(parts, 1, 10)
    saved = through_a_file({"weight": parts.weight.detach(), "state": parts.ours.state_dict()})
    new = Pair(kind, torch.optim.AdamW, numbers, "none", 20, seed=9)
    with torch.no_grad():
        new.weight.copy_(saved["weight"])
    new.ours.load_state_dict(saved["state"])
    for ids, values in gradients(2, 30, 5, 10, 6):
        for one in (whole, new):
            one.weight.grad = sparse(ids, values, 30)
            one.ours.step()
    difference = (whole.weight.detach() - new.weight.detach()).abs().max().item()
    if kind is optim.LazyAdamW:
        assert difference == 0
    else:
        # Rows are caught up in other parts, each rounded to 1/64 of a unit.
        assert difference <= 2 * UNIT * whole.weight.detach().abs().max().item()
    for name in ("step", "exp_avg", "exp_avg_sq"):
        assert torch.allclose(
            whole.ours.state[whole.weight][name], new.ours.state[new.weight][name], rtol=1e-6
        )


@pytest.mark.parametrize("kind", [optim.ExactLazyAdamW, optim.LazyAdamW])
@pytest.mark.parametrize("fused", [False, True])
def test_state_of_torch_and_back(kind: Any, fused: bool) -> None:
    """Ours, then torch's, then ours again, beside torch in float64 throughout."""
    form = "sparse" if kind is optim.ExactLazyAdamW else "dense"
    numbers = {"lr": 0.02, "weight_decay": 0.1}
    pair = Pair(kind, torch.optim.AdamW, numbers, "none", 30)
    run(pair, 1, 8, form)
    ours = pair.ours
    pair.ours = torch.optim.AdamW([pair.weight], lr=1.0, fused=fused)
    pair.ours.load_state_dict(through_a_file(ours.state_dict()))
    assert pair.ours.param_groups[0]["lr"] == 0.02
    run(pair, 2, 8, "dense")
    theirs = pair.ours
    pair.ours = kind([pair.weight], lr=1.0)
    pair.ours.load_state_dict(through_a_file(theirs.state_dict()))
    assert pair.ours.param_groups[0]["fused"] is None
    run(pair, 3, 8, form)
    assert pair.difference() <= bound(pair.truth.detach(), pair.rates, strays=True)
    assert pair.ours.state[pair.weight]["step"] == 24


def test_state_of_torch_sgd_and_back() -> None:
    numbers = {"lr": 0.02, "momentum": 0.9}
    pair = Pair(optim.SGD, torch.optim.SGD, numbers, "none", 30)
    run(pair, 1, 4, "dense")
    ours = pair.ours
    pair.ours = torch.optim.SGD([pair.weight], lr=1.0)
    pair.ours.load_state_dict(ours.state_dict())
    run(pair, 2, 4, "dense")
    theirs = pair.ours
    pair.ours = optim.SGD([pair.weight], lr=1.0)
    pair.ours.load_state_dict(theirs.state_dict())
    run(pair, 3, 4, "dense")
    assert pair.difference() <= UNIT * 12 * 16


def test_states_that_cannot_be() -> None:
    weight = torch.nn.Parameter(torch.zeros(3, 2))
    weight.grad = torch.ones(3, 2)
    ours = optim.ExactLazyAdamW([weight])
    for other, message in [
        (torch.optim.AdamW([weight], amsgrad=True), "amsgrad=True"),
        (torch.optim.Adam([weight], weight_decay=0.1), "Adam's, with the weight decay 0.1"),
        (torch.optim.SGD([weight]), "has no betas"),
        (torch.optim.Adagrad([weight]), "has no betas"),
    ]:
        other.step()
        before = copy.deepcopy(ours.state_dict())
        with pytest.raises(ValueError, match=message):
            ours.load_state_dict(other.state_dict())
        assert ours.state_dict() == before
    other = torch.optim.Adam([weight])
    other.step()
    ours.load_state_dict(other.state_dict())
    assert ours.state[weight]["step"] == 1
    with pytest.raises(ValueError, match="shape"):
        wide = torch.nn.Parameter(torch.zeros(3, 4))
        wide.grad = torch.ones(3, 4)
        other = torch.optim.AdamW([wide])
        other.step()
        ours.load_state_dict(other.state_dict())
    adagrad = torch.optim.Adagrad([weight])
    adagrad.step()
    with pytest.raises(ValueError, match="not \\['step', 'sum'\\]|sum of shape"):
        optim.RowWiseAdagrad([weight]).load_state_dict(adagrad.state_dict())


@each
def test_copies(make: Any) -> None:
    """A copy of model and optimiser is a run of its own, that goes the same way."""
    embedding = model()
    optimizer = make(embedding.parameters())

    def step(network: torch.nn.Embedding, one: torch.optim.Optimizer, ids: list[int]) -> None:
        one.zero_grad()
        network(torch.tensor(ids)).square().sum().backward()
        one.step()

    for ids in ([1, 2], [3], [4, 4]):
        step(embedding, optimizer, ids)
    for copied, other in (
        copy.deepcopy((embedding, optimizer)),
        pickle.loads(pickle.dumps((embedding, optimizer))),
    ):
        assert other.param_groups[0]["params"][0] is copied.weight
        kept = copied.weight.detach().clone()
        for ids in ([1, 9], [5], [6, 3]):
            step(copied, other, ids)
        assert not torch.equal(kept, copied.weight.detach())
        results = copied.weight.detach().clone()
        assert torch.allclose(embedding.weight.detach(), kept, rtol=0, atol=1e-7)
    for ids in ([1, 9], [5], [6, 3]):
        step(embedding, optimizer, ids)
    assert torch.allclose(embedding.weight.detach(), results, rtol=0, atol=1e-6)


def test_state_is_up_to_date_when_it_is_read() -> None:
    pair = Pair(optim.ExactLazyAdamW, torch.optim.AdamW, {"lr": 0.02}, "none", 12)
    run(pair, 1, 12)
    ours, theirs = pair.ours.state[pair.weight], pair.theirs.state[pair.truth]
    for name in ("exp_avg", "exp_avg_sq"):
        assert torch.allclose(ours[name].double(), theirs[name], rtol=1e-4, atol=1e-7)
    assert ours["step"] == theirs["step"] == 12
