"""The optimisers beside torch's own, over random arguments: many steps, schedulers, groups, resuming."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optim_runs import UNIT, bound, dense, gradients, sparse

from embedkernel.torch import optim

SLOW = settings(max_examples=15, deadline=None, derandomize=True)

SCHEDULERS = {
    "none": None,
    "cosine": lambda o, n: torch.optim.lr_scheduler.CosineAnnealingLR(o, n),
    "step": lambda o, n: torch.optim.lr_scheduler.StepLR(o, 3, 0.5),
    "exponential": lambda o, n: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
    "lambda": lambda o, n: torch.optim.lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t)),
    "warm restarts": lambda o, n: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 4),
    "one cycle": lambda o, n: torch.optim.lr_scheduler.OneCycleLR(
        o, 0.05, total_steps=n + 1, cycle_momentum=False
    ),
    "one cycle of betas": lambda o, n: torch.optim.lr_scheduler.OneCycleLR(
        o, 0.05, total_steps=n + 1
    ),
    "cyclic to zero": lambda o, n: torch.optim.lr_scheduler.CyclicLR(
        o, 0.0, 0.05, step_size_up=3, cycle_momentum=False
    ),
    "warmup": lambda o, n: torch.optim.lr_scheduler.SequentialLR(
        o,
        [
            torch.optim.lr_scheduler.LinearLR(o, 0.1, total_iters=4),
            torch.optim.lr_scheduler.CosineAnnealingLR(o, n),
        ],
        [4],
    ),
}


class Pair:
    """One weight under an optimiser of ours, one in float64 under torch's."""

    def __init__(
        self,
        ours: Any,
        theirs: Any,
        numbers: dict[str, Any],
        scheduler: str,
        steps: int,
        rows: int = 30,
        dim: int = 5,
        seed: int = 0,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        start = torch.randn(rows, dim, generator=generator)
        self.rows = rows
        self.weight = torch.nn.Parameter(start.clone())
        self.truth = torch.nn.Parameter(start.double())
        self.ours = ours([self.weight], **numbers)
        self.theirs = theirs([self.truth], **numbers)
        make = SCHEDULERS[scheduler]
        self.schedules = [] if make is None else [make(o, steps) for o in (self.ours, self.theirs)]
        self.rates: list[float] = []

    def step(self, ids: torch.Tensor, values: torch.Tensor, form: str = "sparse") -> None:
        if form == "dense":
            self.weight.grad = dense(ids, values, self.rows).float()
        else:
            self.weight.grad = sparse(ids, values, self.rows, form == "coalesced")
        self.truth.grad = dense(ids, values, self.rows)
        self.rates.append(float(self.ours.param_groups[0]["lr"]))
        assert self.rates[-1] == float(self.theirs.param_groups[0]["lr"])
        self.ours.step()
        self.theirs.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for schedule in self.schedules:
                schedule.step()

    def difference(self) -> float:
        return (self.weight.detach().double() - self.truth.detach()).abs().max().item()

    def check(self) -> None:
        assert self.difference() <= bound(self.truth.detach(), self.rates)


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


# Gradients

ALL = [
    lambda p: optim.ExactLazyAdamW(p, lr=0.01),
    lambda p: optim.LazyAdamW(p, lr=0.01),
    lambda p: optim.SGD(p, lr=0.01, momentum=0.9),
    lambda p: optim.RowWiseAdagrad(p, lr=0.01),
]
IDS = ["exact", "lazy", "sgd", "adagrad"]
each = pytest.mark.parametrize("make", ALL, ids=IDS)


def model(seed: int = 0) -> torch.nn.Embedding:
    torch.manual_seed(seed)
    return torch.nn.Embedding(20, 4, sparse=True)


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


# Arguments


@pytest.mark.parametrize("kind", [optim.ExactLazyAdamW, optim.LazyAdamW, optim.SGD])
@pytest.mark.parametrize("name", ["foreach", "fused", "differentiable", "capturable", "amsgrad"])
def test_refused_arguments(kind: Any, name: str) -> None:
    weight = torch.nn.Parameter(torch.zeros(3, 2))
    if kind is optim.SGD and name in ("capturable", "amsgrad"):
        return
    with pytest.raises(ValueError, match=f"{kind.__name__} does not take {name}=True"):
        kind([weight], **{name: True})
    kind([weight], **{name: False})
    optimizer = kind([weight])
    with pytest.raises(ValueError, match=name):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1, 1))], name: True})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("kind", "numbers", "message"),
    [
        (optim.LazyAdamW, {"lr": -1.0}, "Invalid learning rate: -1.0"),
        (optim.LazyAdamW, {"lr": float("nan")}, "Invalid learning rate: nan"),
        (optim.LazyAdamW, {"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
        (optim.LazyAdamW, {"betas": (0.9, -0.1)}, "Invalid beta parameter at index 1: -0.1"),
        (optim.LazyAdamW, {"eps": -1e-8}, "Invalid epsilon value: -1e-08"),
        (optim.LazyAdamW, {"weight_decay": -1.0}, "Invalid weight_decay value: -1.0"),
        (optim.ExactLazyAdamW, {"lr": 1.0, "weight_decay": 2.0}, "Invalid weight_decay value"),
        (optim.ExactLazyAdamW, {"betas": (0.99, 0.9)}, "Invalid betas"),
        (optim.SGD, {"momentum": 1.0}, "Invalid momentum value: 1.0"),
        (optim.SGD, {"dampening": 0.1}, "does not take dampening=0.1"),
        (optim.SGD, {"nesterov": True}, "Nesterov momentum requires a momentum"),
        (optim.SGD, {"untouched": "gone"}, "Invalid untouched rows: 'gone'"),
        (optim.RowWiseAdagrad, {"initial_accumulator_value": -1.0}, "initial_accumulator_value"),
    ],
)
def test_numbers_that_cannot_be(kind: Any, numbers: dict[str, Any], message: str) -> None:
    weight = torch.nn.Parameter(torch.zeros(3, 2))
    with pytest.raises(ValueError, match=message):
        kind([weight], **numbers)


def test_a_rate_that_becomes_impossible() -> None:
    weight = torch.nn.Parameter(torch.zeros(3, 2))
    optimizer = optim.ExactLazyAdamW([weight])
    weight.grad = torch.ones(3, 2)
    optimizer.param_groups[0]["lr"] = float("nan")
    with pytest.raises(ValueError, match="Invalid learning rate: nan"):
        optimizer.step()
    optimizer.param_groups[0]["lr"] = torch.tensor(0.5)
    optimizer.step()
    assert weight[0, 0].item() == pytest.approx(-0.5)


@each
def test_parameters_that_cannot_be(make: Any) -> None:
    for data, message in [
        (torch.zeros(3, 2, dtype=torch.float64), "torch.float32, not of torch.float64"),
        (torch.zeros(3, 2, dtype=torch.bfloat16), "not of torch.bfloat16"),
        (torch.zeros(2, 3).T, "contiguous"),
        (torch.zeros(3, 2, device="meta"), "on the CPU, not on meta"),
    ]:
        with pytest.raises(ValueError, match=message):
            make([torch.nn.Parameter(data)])
    with pytest.raises(ValueError, match="empty parameter list"):
        make([])
    with pytest.raises(TypeError):
        make([1])


# As an optimiser of torch


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


# State


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


def test_a_graph_does_not_outlive_a_step() -> None:
    """A step writes the weight, which a graph that still needs it is told."""
    embedding = model()
    optimizer = optim.ExactLazyAdamW(embedding.parameters())
    hidden = torch.nn.functional.linear(torch.ones(2, 4, requires_grad=True), embedding.weight)
    embedding(torch.tensor([1])).sum().backward()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        hidden.sum().backward()
