"""The optimisers beside torch's own, over random arguments: many steps, schedulers, groups, resuming."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optim_runs import SCHEDULERS, UNIT, Pair, bound, dense, gradients, sparse

from embedkernel.torch import optim

SLOW = settings(max_examples=15, deadline=None, derandomize=True)


@SLOW
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 60),
    dim=st.sampled_from([1, 3, 8, 17, 64, 70]),
    steps=st.integers(1, 40),
    count=st.integers(0, 20),
    scheduler=st.sampled_from(sorted(SCHEDULERS)),
    forms=st.lists(
        st.sampled_from(["sparse", "sparse", "sparse", "coalesced", "dense", "none"]),
        min_size=1,
        max_size=5,
    ),
    decay=st.sampled_from([0.0, 0.01, 0.3]),
    betas=st.sampled_from([(0.9, 0.999), (0.0, 0.99), (0.5, 0.9), (0.95, 0.98), (0.0, 0.0)]),
    eps=st.sampled_from([1e-8, 1e-3]),
    maximize=st.booleans(),
    reads=st.booleans(),
)
def test_exact_lazy_is_adamw(
    seed: int,
    rows: int,
    dim: int,
    steps: int,
    count: int,
    scheduler: str,
    forms: list[str],
    decay: float,
    betas: tuple[float, float],
    eps: float,
    maximize: bool,
    reads: bool,
) -> None:
    numbers = {
        "lr": 0.02,
        "betas": betas,
        "eps": eps,
        "weight_decay": decay,
        "maximize": maximize,
    }
    pair = Pair(optim.ExactLazyAdamW, torch.optim.AdamW, numbers, scheduler, steps, rows, dim, seed)
    for step, (ids, values) in enumerate(gradients(seed, rows, dim, steps, count)):
        form = forms[step % len(forms)]
        if form == "none":
            pair.weight.grad = pair.truth.grad = None
            pair.ours.step()
            pair.theirs.step()
            continue
        pair.step(ids, values, form)
        if reads and step % 3 == 0:
            pair.weight[torch.arange(min(3, rows))].sum()
    pair.check()


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_long_gaps(decay: float) -> None:
    """Rows that miss hundreds of steps, more than the sums of terms have."""
    numbers = {"lr": 1e-3, "weight_decay": decay}
    pair = Pair(optim.ExactLazyAdamW, torch.optim.AdamW, numbers, "cosine", 1500)
    rare = torch.arange(30)
    for step, (ids, values) in enumerate(gradients(2, 30, 5, 1500, 4, used=0.1)):
        if step in (0, 1, 500, 1400):
            ids, values = rare, torch.randn(30, 5, generator=torch.Generator().manual_seed(step))
        pair.step(ids, values)
    pair.check()


def test_past_the_history_of_rates() -> None:
    """Rows are never further behind than rates are remembered."""
    numbers = {"lr": 1e-3, "weight_decay": 0.01}
    pair = Pair(optim.ExactLazyAdamW, torch.optim.AdamW, numbers, "none", 1, rows=6, dim=2)
    generator = torch.Generator().manual_seed(1)
    for step in range(16_500):
        ids = torch.tensor([step % 5 if step < 10 else 0])
        pair.step(ids, torch.randn(1, 2, generator=generator))
    assert pair.difference() <= bound(pair.truth.detach(), [1e-3] * 2000)


def test_torch_in_float32_strays_further() -> None:
    """What our bound is worth: the same run by torch in float32, which the same formula bounds."""
    numbers = {"lr": 0.02, "weight_decay": 0.1}
    pair = Pair(optim.ExactLazyAdamW, torch.optim.AdamW, numbers, "cosine", 200)
    single = torch.nn.Parameter(pair.weight.detach().clone())
    theirs = torch.optim.AdamW([single], **numbers)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, 200)
    for ids, values in gradients(4, 30, 5, 200, 8):
        pair.step(ids, values)
        single.grad = dense(ids, values, 30).float()
        theirs.step()
        schedule.step()
    strays = (single.detach().double() - pair.truth.detach()).abs().max().item()
    assert pair.difference() < strays / 2
    assert strays <= bound(pair.truth.detach(), pair.rates, strays=True)


@SLOW
@given(
    seed=st.integers(0, 10_000),
    dim=st.sampled_from([1, 5, 16, 33]),
    scheduler=st.sampled_from(sorted(SCHEDULERS)),
    forms=st.lists(st.sampled_from(["sparse", "coalesced", "dense"]), min_size=1, max_size=4),
    decay=st.sampled_from([0.0, 0.1]),
    maximize=st.booleans(),
)
def test_lazy_is_adamw_on_named_rows(
    seed: int, dim: int, scheduler: str, forms: list[str], decay: float, maximize: bool
) -> None:
    rows, steps = 20, 15
    numbers = {"lr": 0.02, "weight_decay": decay, "maximize": maximize}
    pair = Pair(optim.LazyAdamW, torch.optim.AdamW, numbers, scheduler, steps, rows, dim, seed)
    state = pair.theirs.state
    for step, (ids, values) in enumerate(gradients(seed, rows, dim, steps, 6)):
        before = pair.truth.detach().clone()
        kept = {k: v.clone() for k, v in state[pair.truth].items()}
        form = forms[step % len(forms)]
        pair.step(ids, values, form)
        if form == "dense":
            continue
        alone = torch.ones(rows, dtype=torch.bool).index_fill_(0, ids, False)
        with torch.no_grad():
            pair.truth[alone] = before[alone]
        for name in ("exp_avg", "exp_avg_sq"):
            held = kept.get(name, torch.zeros_like(pair.truth))
            state[pair.truth][name][alone] = held[alone]
    pair.check()


@SLOW
@given(
    seed=st.integers(0, 10_000),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    nesterov=st.booleans(),
    decay=st.sampled_from([0.0, 0.1]),
    scheduler=st.sampled_from(["none", "cosine", "step"]),
    forms=st.lists(st.sampled_from(["sparse", "coalesced", "dense"]), min_size=1, max_size=4),
    maximize=st.booleans(),
    stepped=st.booleans(),
)
def test_sgd(
    seed: int,
    momentum: float,
    nesterov: bool,
    decay: float,
    scheduler: str,
    forms: list[str],
    maximize: bool,
    stepped: bool,
) -> None:
    rows, dim, steps = 20, 5, 12
    numbers = {
        "lr": 0.02,
        "momentum": momentum,
        "nesterov": nesterov and momentum > 0,
        "weight_decay": decay,
        "maximize": maximize,
    }
    pair = Pair(
        lambda p, **n: optim.SGD(p, **n, untouched="stepped" if stepped else "left"),
        torch.optim.SGD,
        numbers,
        scheduler,
        steps,
        rows,
        dim,
        seed,
    )
    for step, (ids, values) in enumerate(gradients(seed, rows, dim, steps, 6)):
        before = pair.truth.detach().clone()
        buffer = pair.theirs.state[pair.truth].get("momentum_buffer")
        kept = torch.zeros_like(before) if buffer is None else buffer.clone()
        form = forms[step % len(forms)]
        pair.step(ids, values, form)
        if form == "dense" or stepped:
            continue
        alone = torch.ones(rows, dtype=torch.bool).index_fill_(0, ids, False)
        with torch.no_grad():
            pair.truth[alone] = before[alone]
            if momentum > 0:
                pair.theirs.state[pair.truth]["momentum_buffer"][alone] = kept[alone]
    size = max(1.0, pair.truth.detach().abs().max().item())
    # A step rounds gradient, momentum, product and difference.
    assert pair.difference() <= UNIT * size * 8 * steps


@SLOW
@given(
    seed=st.integers(0, 10_000),
    dim=st.sampled_from([1, 5, 16, 40]),
    decay=st.sampled_from([0.0, 0.1]),
    start=st.sampled_from([0.0, 0.5]),
    forms=st.lists(st.sampled_from(["sparse", "coalesced", "dense"]), min_size=1, max_size=4),
    maximize=st.booleans(),
)
def test_row_wise_adagrad(
    seed: int, dim: int, decay: float, start: float, forms: list[str], maximize: bool
) -> None:
    rows, steps = 20, 12
    weight = torch.nn.Parameter(
        torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed))
    )
    truth = weight.detach().double()
    sums = torch.full((rows, 1), start, dtype=torch.float64)
    optimizer = optim.RowWiseAdagrad(
        [weight],
        lr=0.1,
        weight_decay=decay,
        initial_accumulator_value=start,
        eps=1e-6,
        maximize=maximize,
    )
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.5)
    for step, (ids, values) in enumerate(gradients(seed, rows, dim, steps, 6)):
        form = forms[step % len(forms)]
        gradient = dense(ids, values, rows)
        weight.grad = gradient.float() if form == "dense" else sparse(ids, values, rows)
        rate = optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()
        d = (-gradient if maximize else gradient) + decay * truth
        touched = torch.zeros(rows, 1, dtype=torch.bool).index_fill_(0, ids, True)
        touched |= form == "dense"
        d = torch.where(touched, d, torch.zeros_like(d))
        sums += d.square().mean(1, keepdim=True)
        truth -= rate * d / (sums.sqrt() + 1e-6)
    difference = (weight.detach().double() - truth).abs().max().item()
    assert difference <= UNIT * max(1.0, truth.abs().max().item()) * 64 * steps
    assert optimizer.state[weight]["sum"].shape == (rows,)
