"""Each way to read a weight whose rows are behind: dense AdamW's value, never a stale one."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import warnings
import weakref

import numpy
import pytest
import torch
from optim_runs import bound, dense, gradients, raw, sparse

from embedkernel.torch import optim
from embedkernel.torch.optim_guard import CaughtUpParameter, rows_of

V, D, STEPS = 40, 6, 12
NUMBERS = {"lr": 0.05, "weight_decay": 0.1}
F = torch.nn.functional


class Behind:
    """A weight of which some rows are behind, and what it has to be."""

    def __init__(self, tied: bool = False) -> None:
        start = torch.randn(V, D, generator=torch.Generator().manual_seed(3))
        self.module = torch.nn.Embedding(V, D, sparse=True)
        self.module.weight.data.copy_(start)
        self.weight = self.module.weight
        truth = start.double().requires_grad_()
        self.optimizer = optim.ExactLazyAdamW(self.module.parameters(), **NUMBERS)
        reference = torch.optim.AdamW([truth], **NUMBERS)
        for ids, values in gradients(7, V, D, STEPS, 10):
            self.weight.grad = sparse(ids, values, V)
            self.optimizer.step()
            truth.grad = dense(ids, values, V)
            reference.step()
        self.weight.grad = None
        self.expected = truth.detach()
        self.bound = bound(self.expected, [NUMBERS["lr"]] * STEPS)
        rows = rows_of(self.weight)
        assert rows is not None
        stale = (raw(self.weight, rows._address) - self.expected).abs().max().item()
        assert stale > 1000 * self.bound, "no row is behind: this would show nothing"

    def check(self, found: object, expected: torch.Tensor | None = None) -> None:
        if isinstance(found, numpy.ndarray):
            found = torch.from_numpy(found)
        assert isinstance(found, torch.Tensor)
        expected = self.expected if expected is None else expected
        assert found.shape == expected.shape
        difference = (found.detach().double() - expected).abs().max().item()
        assert difference <= self.bound * 8 * D, difference


def is_behind(weight: torch.Tensor) -> bool:
    """Whether a row's parameters have steps to take."""
    rows = rows_of(weight)
    assert rows is not None
    return bool((rows._counts[0] != int(rows._state["step"])).any())


def saved(weight: torch.Tensor) -> torch.Tensor:
    file = io.BytesIO()
    torch.save(weight, file)
    file.seek(0)
    return torch.load(file)


WHOLE = {
    "data": lambda m: m.weight.data,
    "detach": lambda m: m.weight.detach(),
    "numpy": lambda m: m.weight.detach().numpy(),
    "numpy forced": lambda m: m.weight.numpy(force=True),
    "numpy.asarray": lambda m: numpy.asarray(m.weight.detach()),
    "tolist": lambda m: torch.tensor(m.weight.tolist()),
    "slice": lambda m: m.weight[:],
    "ellipsis": lambda m: m.weight[...],
    "mask": lambda m: m.weight[torch.ones(V, dtype=torch.bool)],
    "rows": lambda m: m.weight[torch.arange(V)],
    "rows from the end": lambda m: m.weight[torch.arange(-V, 0)],
    "list of rows": lambda m: m.weight[list(range(V))],
    "iteration": lambda m: torch.stack(list(m.weight)),
    "each row": lambda m: torch.stack([m.weight[i] for i in range(V)]),
    "each element": lambda m: torch.tensor(
        [[m.weight[i, j].item() for j in range(D)] for i in range(V)]
    ),
    "index_select": lambda m: m.weight.index_select(0, torch.arange(V)),
    "take_along_dim": lambda m: m.weight.take_along_dim(torch.arange(V)[:, None], 0),
    "gather": lambda m: m.weight.gather(0, torch.arange(V)[:, None].expand(V, D)),
    "lookup": lambda m: m(torch.arange(V)),
    "int32 lookup": lambda m: m(torch.arange(V, dtype=torch.int32)),
    "F.embedding": lambda m: F.embedding(torch.arange(V), m.weight),
    "F.embedding by name": lambda m: F.embedding(input=torch.arange(V), weight=m.weight),
    "torch.embedding": lambda m: torch.embedding(m.weight, torch.arange(V)),
    "aten.embedding": lambda m: torch.ops.aten.embedding(m.weight, torch.arange(V)),
    "F.embedding_bag": lambda m: F.embedding_bag(torch.arange(V)[:, None], m.weight),
    "linear": lambda m: F.linear(torch.eye(D), m.weight).T,
    "matmul": lambda m: m.weight @ torch.eye(D),
    "matmul from the left": lambda m: torch.eye(V) @ m.weight,
    "addmm": lambda m: torch.addmm(torch.zeros(V, D), m.weight, torch.eye(D)),
    "einsum": lambda m: torch.einsum("vd->vd", m.weight),
    "transpose": lambda m: m.weight.T.T,
    "view": lambda m: m.weight.view(-1).view(V, D),
    "as_strided": lambda m: m.weight.as_strided((V, D), (D, 1)),
    "torch.tensor": lambda m: torch.tensor(m.weight),
    "as_tensor": lambda m: torch.as_tensor(m.weight),
    "as_tensor of another type": lambda m: torch.as_tensor(m.weight, dtype=torch.float64),
    "asarray": lambda m: torch.asarray(m.weight, dtype=torch.float64),
    "new_tensor": lambda m: torch.zeros(1).new_tensor(m.weight),
    "as_subclass": lambda m: m.weight.as_subclass(torch.Tensor),
    "a parameter of it": lambda m: torch.nn.Parameter(m.weight.detach()),
    "a buffer of it": lambda m: torch.nn.Buffer(m.weight),
    "new": lambda m: m.weight.new(m.weight),
    "set_ from it": lambda m: torch.empty(0).set_(m.weight.detach()),
    "clone": lambda m: m.weight.clone(),
    "to": lambda m: m.weight.to(torch.float64),
    "half": lambda m: m.weight.double(),
    "cat": lambda m: torch.cat([m.weight]),
    "stack": lambda m: torch.stack([m.weight])[0],
    "copy_ from": lambda m: torch.empty(V, D).copy_(m.weight),
    "arithmetic": lambda m: m.weight * 1.0,
    "right operand": lambda m: 0.0 + m.weight,
    "foreach": lambda m: torch._foreach_mul([m.weight.detach()], 1.0)[0],
    "foreach itself": lambda m: torch._foreach_mul([m.weight], 1.0)[0],
    "dlpack": lambda m: torch.from_dlpack(m.weight.detach()),
    "numpy dlpack": lambda m: numpy.from_dlpack(m.weight.detach()),
    "to_dlpack": lambda m: torch.from_dlpack(torch.utils.dlpack.to_dlpack(m.weight)),
    "storage": lambda m: torch.tensor(m.weight.untyped_storage().tolist(), dtype=torch.uint8)
    .view(torch.float32)
    .view(V, D),
    "address": lambda m: raw(m.weight, m.weight.data_ptr()),
    "state_dict": lambda m: m.state_dict()["weight"],
    "state_dict with variables": lambda m: m.state_dict(keep_vars=True)["weight"] + 0,
    "deepcopy of the module": lambda m: copy.deepcopy(m).weight,
    "deepcopy of the weight": lambda m: copy.deepcopy(m.weight),
    "copy of the module": lambda m: copy.copy(m).weight + 0,
    "pickle of the module": lambda m: pickle.loads(pickle.dumps(m)).weight,
    "pickle of the weight": lambda m: pickle.loads(pickle.dumps(m.weight)),
    "save of the weight": lambda m: saved(m.weight),
    "save of the state": lambda m: saved(m.state_dict())["weight"],
    "module to another type": lambda m: m.to(torch.float64).weight,
    "share_memory_": lambda m: m.share_memory().weight.detach(),
    "parameters_to_vector": lambda m: torch.nn.utils.parameters_to_vector(m.parameters()).view(V, D),
    "functional_call": lambda m: torch.func.functional_call(
        m, dict(m.named_parameters()), (torch.arange(V),)
    ),
    "func.grad": lambda m: torch.func.grad(lambda w: (w * w).sum() / 2)(m.weight),
    "func.vjp": lambda m: torch.func.vjp(lambda w: w * 1.0, m.weight)[0],
    "func.jvp": lambda m: torch.func.jvp(lambda w: w * 1.0, (m.weight,), (torch.zeros(V, D),))[0],
    "vmap over it": lambda m: torch.vmap(lambda row: row * 1.0)(m.weight),
    "vmap inside": lambda m: torch.vmap(lambda i: m.weight[i])(torch.arange(V)),
    "checkpoint": lambda m: torch.utils.checkpoint.checkpoint(
        lambda x: x @ m.weight.T, torch.eye(D, requires_grad=True), use_reentrant=False
    ).T,
    "inference mode": lambda m: torch.inference_mode()(lambda: m.weight * 1.0)(),
    "max_norm": lambda m: F.embedding(torch.arange(V), m.weight.detach(), max_norm=1e9),
    "jit.script": lambda m: torch.jit.script(m)(torch.arange(V)),
    "jit.trace": lambda m: torch.jit.trace(m, (torch.arange(3),))(torch.arange(V)),
    "export": lambda m: torch.export.export(m, (torch.arange(V),)).module()(torch.arange(V)),
    "repr": lambda m: eval("torch." + repr(m.weight).split("\n", 1)[1]),
}


@pytest.mark.parametrize("way", WHOLE)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*torch.jit.*")
def test_every_way_to_read(way: str) -> None:
    behind = Behind()
    torch.set_printoptions(precision=10, threshold=10_000)
    try:
        behind.check(WHOLE[way](behind.module))
    finally:
        torch.set_printoptions(profile="default")
    assert numpy.isfinite(behind.weight.detach().numpy()).all()


def test_parts() -> None:
    behind = Behind()
    behind.check(behind.weight[35], behind.expected[35])
    behind = Behind()
    behind.check(behind.weight[30:39:2, 1], behind.expected[30:39:2, 1])
    behind = Behind()
    ids = torch.tensor([[39, 0], [39, 21]])
    behind.check(behind.module(ids), behind.expected[ids])
    # The other rows still are behind, and follow.
    behind.check(behind.weight * 1.0)
    behind = Behind()
    behind.check(behind.weight.sum(), behind.expected.sum())
    assert behind.weight[2, 3].item() == pytest.approx(behind.expected[2, 3].item(), abs=1e-6)


@pytest.mark.parametrize("fullgraph", [True, False])
@pytest.mark.parametrize("way", ["lookup", "linear"])
def test_compiled(way: str, fullgraph: bool) -> None:
    """A graph of torch's own functions breaks where a weight is read: its value, or an error."""
    behind = Behind()
    reader = WHOLE[way]
    torch._dynamo.reset()
    try:
        compiled = torch.compile(lambda: reader(behind.module), backend="eager", fullgraph=fullgraph)
        found = compiled()
    except torch._dynamo.exc.Unsupported:
        assert fullgraph
        return
    behind.check(found)


def test_compiled_before_it_was_lazy() -> None:
    torch._dynamo.reset()
    module = torch.nn.Embedding(V, D, sparse=True)
    optimizer = optim.ExactLazyAdamW(module.parameters(), **NUMBERS)
    compiled = torch.compile(lambda x: F.linear(x, module.weight), backend="eager")
    compiled(torch.eye(D))
    for ids, values in gradients(7, V, D, STEPS, 10):
        module.weight.grad = sparse(ids, values, V)
        optimizer.step()
    found = compiled(torch.eye(D)).T.detach()
    assert torch.equal(found, module.weight.detach())


WRITES = {
    "copy_": lambda w: w.copy_(torch.ones(V, D)),
    "fill_": lambda w: w.fill_(1.0),
    "init": lambda w: torch.nn.init.ones_(w),
    "data": lambda w: w.data.fill_(1.0),
    "setitem": lambda w: w.__setitem__(slice(None), 1.0),
    "out": lambda w: torch.ones(V, D, out=w),
    "new memory": lambda w: setattr(w, "data", torch.ones(V, D)),
    "numpy": lambda w: w.detach().numpy().fill(1.0),
    "load": lambda w: torch.nn.Module.load_state_dict(
        owner(w), {"weight": torch.ones(V, D)}
    ),
    "assigned": lambda w: w.set_(torch.ones(V, D)),
}


def owner(weight: torch.nn.Parameter) -> torch.nn.Module:
    module = torch.nn.Module()
    module.weight = weight
    return module


@pytest.mark.parametrize("way", WRITES)
def test_written_from_outside(way: str) -> None:
    """What is written stays: no missed step is taken on top of it, and later ones start from it."""
    behind = Behind()
    with torch.no_grad():
        WRITES[way](behind.weight)
    assert torch.equal(behind.weight.detach(), torch.ones(V, D))
    before = behind.optimizer.state_dict()["state"][0]
    truth = torch.ones(V, D, dtype=torch.float64).requires_grad_()
    reference = torch.optim.AdamW([truth], **NUMBERS)
    truth.grad = torch.zeros(V, D, dtype=torch.float64)
    reference.step()
    with torch.no_grad():
        truth.fill_(1.0)
    for name in ("step", "exp_avg", "exp_avg_sq"):
        reference.state[truth][name].copy_(before[name])
    del before
    for ids, values in gradients(11, V, D, 3, 4):
        behind.weight.grad = sparse(ids, values, V)
        truth.grad = dense(ids, values, V)
        behind.optimizer.step()
        reference.step()
    behind.check(behind.weight.detach(), truth.detach())


def test_of_another_type_for_a_while() -> None:
    """No step is taken meanwhile; afterwards the run goes on."""
    behind = Behind()
    behind.module.to(torch.float64)
    behind.check(behind.weight * 1.0)
    behind.weight.grad = torch.ones(V, D, dtype=torch.float64)
    with pytest.raises(ValueError, match="not of torch.float64"):
        behind.optimizer.step()
    behind.weight.grad = None
    behind.module.to(torch.float32)
    behind.check(behind.weight * 1.0)
    ids, values = next(gradients(11, V, D, 1, 4))
    before = behind.weight.detach().clone()
    behind.weight.grad = sparse(ids, values, V)
    behind.optimizer.step()
    assert not torch.equal(behind.weight[ids], before[ids])


def test_a_weight_of_another_shape_is_refused() -> None:
    behind = Behind()
    behind.weight.grad = None
    behind.weight.data = torch.ones(V + 1, D)
    behind.weight.grad = torch.ones(V + 1, D)
    with pytest.raises(ValueError, match="elements"):
        behind.optimizer.step()
    assert torch.equal(behind.weight.detach(), torch.ones(V + 1, D))


def test_frozen_for_a_while() -> None:
    behind = Behind()
    behind.weight.requires_grad_(False)
    behind.check(behind.module(torch.arange(V)))
    behind.weight.requires_grad_(True)
    ids, values = next(gradients(11, V, D, 1, 4))
    behind.weight.grad = sparse(ids, values, V)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        behind.optimizer.step()


def test_nothing_is_left_of_it() -> None:
    """Weight, state and optimiser are freed when nobody has them."""
    behind = Behind()
    gone = weakref.ref(behind.weight)
    state = weakref.ref(behind.optimizer.state[behind.weight]["exp_avg"])
    del behind
    gc.collect()
    assert gone() is None and state() is None


def test_one_row_written_from_outside() -> None:
    behind = Behind()
    with torch.no_grad():
        behind.weight[39] = 5.0
    behind.expected[39] = 5.0
    behind.check(behind.weight * 1.0)


def test_an_alias_is_kept_up_to_date() -> None:
    behind = Behind()
    alias = behind.weight.data
    truth = behind.expected
    for ids, values in gradients(11, V, D, 3, 4):
        behind.weight.grad = sparse(ids, values, V)
        with pytest.warns(UserWarning, match="holds the memory") if ids is not None else None:
            behind.optimizer.step()
        break
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for ids, values in gradients(12, V, D, 5, 4):
            behind.weight.grad = sparse(ids, values, V)
            behind.optimizer.step()
            rows = rows_of(behind.weight)
            assert rows is not None
            read = raw(behind.weight, rows._address)
            assert torch.equal(alias.double(), read)
            assert torch.equal(behind.weight.double(), read)
    assert not torch.equal(alias.double(), truth)


@pytest.mark.parametrize(
    "holder",
    [
        lambda m: m.weight.detach().numpy(),
        lambda m: m.state_dict(),
        lambda m: m.weight[3:5],
        lambda m: m.weight.untyped_storage(),
        lambda m: torch.utils.dlpack.to_dlpack(m.weight),
        lambda m: torch.jit.script(m),
        lambda m: m.share_memory(),
    ],
    ids=["numpy", "state dict", "view", "storage", "dlpack", "script", "shared"],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit.*", "ignore::DeprecationWarning")
def test_what_holds_the_memory_is_noticed(holder: object) -> None:
    behind = Behind()
    held = holder(behind.module)  # type: ignore[operator]
    ids, values = next(gradients(11, V, D, 1, 4))
    behind.weight.grad = sparse(ids, values, V)
    with pytest.warns(UserWarning, match="holds the memory"):
        behind.optimizer.step()
    assert not is_behind(behind.weight)
    del held


def test_what_a_loop_holds_leaves_rows_lazy() -> None:
    """The loss, its graph, the gradient and a copy of the weight are no aliases of it."""
    module = torch.nn.Embedding(V, D, sparse=True)
    optimizer = optim.ExactLazyAdamW(module.parameters(), **NUMBERS)
    kept = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in range(4):
            copied = copy.deepcopy(module)
            output = module(torch.tensor([step, 7, 7]))
            loss = output.square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            kept.append((output, loss, module.weight.grad, copied))
    assert is_behind(module.weight)


def test_other_tensors_bring_nothing_up() -> None:
    """What torch makes of anything but the weight leaves its rows lazy."""
    behind = Behind()
    torch.tensor([1, 2, 3])
    torch.tensor([[1.0] * 1000] * 10)
    torch.as_tensor(numpy.ones(3))
    torch.asarray([torch.ones(()), torch.ones(())])
    torch.zeros(3).new_tensor([1.0]).set_(torch.ones(2))
    assert behind.weight.shape == (V, D) and behind.weight.grad is None and len(behind.weight) == V
    assert is_behind(behind.weight)


def test_the_weight_stays_itself() -> None:
    behind = Behind()
    assert isinstance(behind.weight, torch.nn.Parameter)
    assert isinstance(behind.weight, CaughtUpParameter)
    assert list(behind.module.parameters()) == [behind.weight]
    assert type(copy.deepcopy(behind.weight)) is torch.nn.Parameter
    assert type(pickle.loads(pickle.dumps(behind.weight))) is torch.nn.Parameter
    assert behind.weight.shape == (V, D) and behind.weight.requires_grad
    assert type(behind.weight.detach()) is torch.Tensor


def test_a_parameter_of_the_parameter_is_refused() -> None:
    with pytest.raises(RuntimeError, match="CaughtUpParameter"):
        torch.nn.Parameter(Behind().weight)


def test_without_its_optimiser() -> None:
    """The optimiser may be gone before the weight is read."""
    behind = Behind()
    del behind.optimizer
    behind.check(behind.weight * 1.0)


def test_two_optimisers_of_one_weight() -> None:
    """Each finds the other's steps taken, as two dense ones would."""
    weight = torch.nn.Parameter(torch.ones(V, D))
    truth = torch.ones(V, D, dtype=torch.float64).requires_grad_()
    ours = [optim.ExactLazyAdamW([weight], lr=0.01), optim.ExactLazyAdamW([weight], lr=0.03)]
    theirs = [torch.optim.AdamW([truth], lr=0.01), torch.optim.AdamW([truth], lr=0.03)]
    for step, (ids, values) in enumerate(gradients(5, V, D, 9, 6)):
        weight.grad = sparse(ids, values, V)
        truth.grad = dense(ids, values, V)
        ours[step % 2].step()
        theirs[step % 2].step()
    difference = (weight.detach().double() - truth.detach()).abs().max().item()
    assert difference <= bound(truth.detach(), [0.03] * 9) * 4


def test_a_dense_optimiser_beside_it() -> None:
    """torch's own optimiser of the same weight steps what is up to date."""
    behind = Behind()
    truth = behind.expected.clone().requires_grad_()
    for fused in (False, True):
        theirs = torch.optim.AdamW([behind.weight], lr=0.01, fused=fused)
        reference = torch.optim.AdamW([truth], lr=0.01)
        behind.weight.grad = torch.full((V, D), 0.5)
        truth.grad = torch.full((V, D), 0.5, dtype=torch.float64)
        theirs.step()
        reference.step()
    behind.check(behind.weight.detach(), truth.detach())
