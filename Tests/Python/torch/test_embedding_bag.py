"""`EmbeddingBag` beside `torch.nn.EmbeddingBag`: results, gradients, arguments, errors, and PyTorch's own checks."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any, Optional

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import nn

import embedkernel.torch as ek

ops = torch.ops.embedkernel
CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")


@st.composite
def calls(draw: Any) -> tuple[dict[str, Any], tuple[torch.Tensor, ...], torch.dtype]:
    """Arguments of the module, those of a call, and a type."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    vocabulary, dim = draw(st.integers(1, 30)), draw(st.sampled_from([1, 3, 8, 32, 40]))
    mode = draw(st.sampled_from(["sum", "mean", "max"]))
    kind = draw(st.sampled_from(["rectangle", "offsets", "last"]))
    id_dtype = draw(st.sampled_from([torch.int32, torch.int64]))
    padding = draw(st.sampled_from([None, 0, -1, vocabulary - 1]))
    given_weights = mode == "sum" and draw(st.booleans())
    dtype = draw(st.sampled_from([torch.float32, torch.float32, torch.bfloat16, torch.float16, torch.float64]))
    options = {
        "num_embeddings": vocabulary, "embedding_dim": dim, "mode": mode, "padding_idx": padding,
        "include_last_offset": kind == "last",
        # PyTorch has not both.
        **draw(st.sampled_from([{}, {"scale_grad_by_freq": True}, {"sparse": True}] if mode != "max" else [{}])),
        "max_norm": draw(st.sampled_from([None, None, 0.5, 2.0])),
        "norm_type": draw(st.sampled_from([1.0, 2.0, 3.0])),
    }
    if kind == "rectangle":
        shape = (draw(st.integers(1, 6)), draw(st.integers(1, 9)))
        ids = torch.randint(0, vocabulary, shape, generator=generator).to(id_dtype)
        offsets = None
    else:
        lengths = torch.tensor(draw(st.lists(st.sampled_from([0, 1, 2, 5, 30]), min_size=1, max_size=7)))
        ids = torch.randint(0, vocabulary, (int(lengths.sum()),), generator=generator).to(id_dtype)
        starts = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
        offsets = (starts if kind == "last" else starts[:-1]).to(id_dtype)
    weights = torch.randn(ids.shape, generator=generator).to(dtype) if given_weights else None
    return options, (ids, offsets, weights), dtype


def pair(options: dict[str, Any], dtype: torch.dtype) -> tuple[nn.EmbeddingBag, nn.EmbeddingBag]:
    theirs = nn.EmbeddingBag(**options, dtype=dtype)
    ours = ek.EmbeddingBag(**options, dtype=dtype)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}


def assert_near(found: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> None:
    assert found.dtype is expected.dtype and found.shape == expected.shape
    if found.is_sparse:
        found = found.to_dense()
    if expected.is_sparse:
        expected = expected.to_dense()
    tolerance = TOLERANCES[dtype]
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=20 * tolerance)


@given(calls())
def test_results_and_gradients(call: Any) -> None:
    options, (ids, offsets, weights), dtype = call
    if dtype is torch.float16 and options["max_norm"] is not None:
        options["max_norm"] = None  # PyTorch has none for float16 on the CPU.
    ours, theirs = pair(options, dtype)
    by_frequency = theirs.scale_grad_by_freq
    # On the CPU, PyTorch divides the n-th different row's gradient by the frequency of the n-th id in order: here
    # what its documentation says is computed by hand.
    theirs.scale_grad_by_freq = False
    results = []
    for module in (ours, theirs):
        own = None if weights is None else weights.clone().requires_grad_()
        output = module(ids, offsets, own)
        torch.manual_seed(3)
        upstream = torch.randn(output.shape).to(dtype)
        output.backward(upstream)
        results.append((output, module.weight, module.weight.grad, None if own is None else own.grad))
    (output, weight, grad, own_grad), (expected, their_weight, their_grad, their_own) = results
    assert_near(output, expected, dtype)
    assert_near(weight, their_weight, dtype)
    assert grad.is_sparse == their_grad.is_sparse
    if by_frequency and dtype is not torch.float64:  # Which is PyTorch's own.
        counts = torch.bincount(ids.reshape(-1), minlength=len(their_grad)).clamp(min=1)
        their_grad = (their_grad.double() / counts[:, None]).to(dtype)
    elif by_frequency:
        return
    # PyTorch sums 16-bit gradients in 16 bits.
    assert_near(grad, their_grad, torch.bfloat16 if dtype is torch.float16 else dtype)
    if own_grad is not None:
        assert_near(own_grad, their_own, dtype)
    if options["max_norm"] is None:  # Else a row may be scaled once more, by a rounding error.
        with torch.no_grad():
            assert torch.equal(ours(ids, offsets, weights), output)


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_sparse_gradients_by_frequency(mode: str) -> None:
    ids, offsets = torch.tensor([1, 1, 3, 0, 2, 1]), torch.tensor([0, 3, 3])
    gradients = []
    for sparse in (False, True):
        module = ek.EmbeddingBag(5, 3, mode=mode, scale_grad_by_freq=True, sparse=sparse, padding_idx=2)
        module(ids, offsets).sum().backward()
        gradients.append(module.weight.grad)
    assert gradients[1].is_sparse and torch.equal(gradients[1].to_dense(), gradients[0])


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_empty_bags_give_zeros(mode: str) -> None:
    ours, theirs = pair({"num_embeddings": 5, "embedding_dim": 3, "mode": mode, "padding_idx": 2}, torch.float32)
    ids, offsets = torch.tensor([1, 2, 2, 2]), torch.tensor([0, 0, 2, 4])
    assert torch.equal(ours(ids, offsets), theirs(ids, offsets))
    assert not ours(ids, offsets)[[0, 2, 3]].any()
    none = torch.zeros(0, dtype=torch.int64)
    assert torch.equal(ours(none, torch.tensor([0, 0])), torch.zeros(2, 3))
    ours(none, torch.tensor([0, 0])).sum().backward()
    assert not ours.weight.grad.any()
    # No bags at all have gradients too.
    for layer in (ours, theirs):
        layer.weight.grad = None
        layer(torch.zeros((0, 3), dtype=torch.int64)).sum().backward()
    assert torch.equal(ours.weight.grad, theirs.weight.grad)


def test_offsets_that_end_before_the_ids() -> None:
    options = {"num_embeddings": 5, "embedding_dim": 3, "mode": "sum", "include_last_offset": True}
    ours, theirs = pair(options, torch.float32)
    ids, offsets = torch.tensor([1, 2, 3, 4]), torch.tensor([0, 1, 3])
    weights = torch.rand(4).requires_grad_()
    torch.testing.assert_close(ours(ids, offsets, weights), theirs(ids, offsets, weights))
    # PyTorch's gradients of the ids after the last bag are those of memory that nobody wrote.
    ours(ids, offsets, weights).sum().backward()
    table = torch.zeros(5, 3)
    table[1:4] = weights.detach()[:3, None]
    assert torch.equal(ours.weight.grad, table)
    torch.testing.assert_close(weights.grad, torch.cat([ours.weight.detach()[1:4].sum(1), torch.zeros(1)]))


def test_equal_numbers_of_a_maximum_share_no_gradient() -> None:
    ours, theirs = pair({"num_embeddings": 3, "embedding_dim": 2, "mode": "max"}, torch.float32)
    with torch.no_grad():
        ours.weight.fill_(1)
        theirs.weight.fill_(1)
    for module in (ours, theirs):
        module(torch.tensor([[2, 0, 2]])).sum().backward()
    assert torch.equal(ours.weight.grad, theirs.weight.grad)


def test_attributes_and_state() -> None:
    ours = ek.EmbeddingBag(7, 4, mode="sum", padding_idx=-2, include_last_offset=True)
    theirs = nn.EmbeddingBag(7, 4, mode="sum", padding_idx=-2, include_last_offset=True)
    assert isinstance(ours, nn.EmbeddingBag) and ours.extra_repr() == theirs.extra_repr()
    assert ours.padding_idx == theirs.padding_idx == 5 and not ours.weight[5].any()
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours.weight, theirs.weight)
    frozen = ek.EmbeddingBag.from_pretrained(torch.eye(3), mode="mean")
    assert type(frozen) is ek.EmbeddingBag and not frozen.weight.requires_grad
    assert torch.equal(frozen(torch.tensor([[0, 1]])), torch.tensor([[0.5, 0.5, 0]]))
    for again in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert torch.equal(again.weight, ours.weight) and again.weight is not ours.weight


def test_replaces_modules() -> None:
    bag = nn.EmbeddingBag(5, 2, mode="max")
    model = nn.ModuleDict({"a": bag, "b": nn.Sequential(bag, nn.Embedding(3, 2))})
    assert ek.replace_embeddings(model) == 3
    assert type(model["a"]) is ek.EmbeddingBag and model["a"] is model["b"][0]
    assert model["a"].weight is bag.weight and model["a"].mode == "max"


@pytest.mark.parametrize(
    "ids, offsets, weights, options",
    [
        (torch.tensor([1, 2]), None, None, {}),
        (torch.tensor([[1, 2]]), torch.tensor([0]), None, {}),
        (torch.tensor([[[1]]]), None, None, {}),
        (torch.tensor([1, 2]), torch.tensor([[0]]), None, {}),
        (torch.tensor([1, 2]), torch.tensor([1]), None, {}),
        (torch.tensor([1, 2]), torch.tensor([0, 3]), None, {}),
        (torch.tensor([[1, 2]]), None, torch.ones(2), {"mode": "sum"}),
        (torch.tensor([[1, 2]]), None, None, {"mode": "max", "sparse": True}),
        (torch.tensor([[1, 2]]), None, None, {"mode": "max", "scale_grad_by_freq": True}),
    ],
)
def test_what_pytorch_refuses_is_refused(ids: Any, offsets: Any, weights: Any, options: dict[str, Any]) -> None:
    ours, theirs = pair({"num_embeddings": 5, "embedding_dim": 3, **options}, torch.float32)
    with pytest.raises((ValueError, RuntimeError)):
        theirs(ids, offsets, weights)
    with pytest.raises(ValueError):
        ours(ids, offsets, weights)


def test_other_refusals() -> None:
    module = ek.EmbeddingBag(5, 3, mode="mean")
    with pytest.raises(NotImplementedError, match="per_sample_weights"):
        module(torch.tensor([[1]]), None, torch.ones(1, 1))
    with pytest.raises(IndexError, match="5"):
        module(torch.tensor([1, 5]), torch.tensor([0]))
    with pytest.raises(ValueError, match="offset 2"):
        module(torch.tensor([1, 2]), torch.tensor([0, 2, 1]))
    with pytest.raises(RuntimeError, match="int32 or int64"):
        module(torch.tensor([[1.0]]))
    with pytest.raises(RuntimeError, match="per_sample_weights must be of the type"):
        ek.EmbeddingBag(5, 3, mode="sum")(torch.tensor([[1]]), None, torch.ones(1, 1, dtype=torch.float64))
    with pytest.raises(ValueError, match="mode"):
        ek.embedding_bag(torch.tensor([[1]]), torch.ones(5, 3), mode="median")
    with pytest.raises(ValueError, match="padding_idx"):
        ek.embedding_bag(torch.tensor([[1]]), torch.ones(5, 3), padding_idx=5)


def test_what_goes_through_pytorch() -> None:
    ids = torch.tensor([[1, 2], [0, 0]])
    table = torch.randn(3, 8)[:, ::2]
    assert torch.equal(ek.embedding_bag(ids, table), nn.functional.embedding_bag(ids, table))
    doubled = torch.randn(3, 4, dtype=torch.float64)
    assert torch.equal(ek.embedding_bag(ids, doubled), nn.functional.embedding_bag(ids, doubled))


# PyTorch's checks


def samples(pool: int) -> list[tuple[Any, ...]]:
    torch.manual_seed(1)
    ids, offsets = torch.randint(0, 7, (9,)), torch.tensor([0, 2, 2, 5])
    made: list[tuple[Any, ...]] = []
    for dtype in (torch.float32, torch.bfloat16):
        table = torch.randn(7, 6).to(dtype).requires_grad_()
        weights = torch.randn(9).to(dtype).requires_grad_() if pool == 0 else None
        made += [
            (ids, table, offsets, None, pool, 3),
            (ids.int(), table, torch.tensor([0, 4, 9]).int(), None, pool, -1, True),
            (ids.reshape(3, 3), table, None, weights and weights.detach().reshape(3, 3).requires_grad_(), pool),
        ] if weights is None else [
            (ids, table, offsets, weights, pool, 3),
            (ids, table.detach(), offsets, weights, pool),
            (ids.reshape(3, 3), table, None, weights.detach().reshape(3, 3).requires_grad_(), pool, -1, False, True),
        ]
    return made


@pytest.mark.parametrize("pool", [0, 1, 2])
@pytest.mark.parametrize("sample", range(6))
def test_opcheck(pool: int, sample: int) -> None:
    torch.library.opcheck(ops.bag.default, samples(pool)[sample], test_utils=CHECKS)


def eighths(*shape: int) -> torch.Tensor:
    return (torch.randint(-8, 9, shape) / 8).requires_grad_()


def gradcheck(check: Any, function: Any, *inputs: Optional[torch.Tensor]) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*double precision.*")
        assert check(function, inputs, eps=0.25, atol=1e-5, rtol=1e-5, fast_mode=False)


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_gradcheck(mode: str, twice: bool) -> None:
    ids, offsets = torch.tensor([1, 1, 3, 0, 2, 1]), torch.tensor([0, 3, 3])
    check = torch.autograd.gradgradcheck if twice else torch.autograd.gradcheck
    gradcheck(check, lambda table: ek.embedding_bag(ids, table, offsets, mode=mode), eighths(5, 4))
    if mode == "sum":
        # Linear in each of the two.
        table, weights = eighths(5, 4), eighths(6)
        call = lambda t, w: ek.embedding_bag(ids, t, offsets, mode="sum", per_sample_weights=w)  # noqa: E731
        gradcheck(check, lambda t: call(t, weights.detach()), table)
        gradcheck(check, lambda w: call(table.detach(), w), weights)
        gradcheck(torch.autograd.gradgradcheck, call, table, weights)


@pytest.mark.parametrize("twice", [False, True])
def test_gradcheck_of_a_maximum(twice: bool) -> None:
    ids, offsets = torch.tensor([1, 1, 3, 0, 2, 4]), torch.tensor([0, 3, 3])
    # Numbers that a step of 1/4 leaves in their order.
    table = torch.randperm(20).reshape(5, 4).float().requires_grad_()
    check = torch.autograd.gradgradcheck if twice else torch.autograd.gradcheck
    gradcheck(check, lambda t: ek.embedding_bag(ids, t, offsets, mode="max"), table)


@pytest.mark.parametrize("options", [
    {"scale_grad_by_freq": True, "mode": "sum", "padding_idx": 2}, {"mode": "mean", "padding_idx": 1},
    {"mode": "max", "padding_idx": 0}, {"mode": "sum", "include_last_offset": True},
])
def test_gradients_that_are_differentiated_are_the_same(options: dict[str, Any]) -> None:
    ids, offsets = torch.tensor([1, 1, 3, 0, 2, 1]), torch.tensor([0, 3, 3, 5])
    table = torch.randn(5, 4, requires_grad=True)
    weights = torch.randn(6, requires_grad=True) if options["mode"] == "sum" else None
    inputs = [table] if weights is None else [table, weights]
    output = ek.embedding_bag(ids, table, offsets, per_sample_weights=weights, **options)
    upstream = torch.randn(output.shape)
    plain = torch.autograd.grad(output, inputs, upstream, retain_graph=True)
    tracked = torch.autograd.grad(output, inputs, upstream.requires_grad_(), create_graph=True)
    for found, expected in zip(tracked, plain):
        torch.testing.assert_close(found.detach(), expected)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("kind", ["rectangle", "offsets", "last"])
def test_compiles_without_a_break(mode: str, kind: str) -> None:
    torch._dynamo.reset()
    module = ek.EmbeddingBag(9, 8, mode=mode, padding_idx=2, include_last_offset=kind == "last")
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    for size in (6, 12):
        ids = torch.randint(0, 9, (size,))
        offsets = {"rectangle": None, "offsets": torch.tensor([0, 2, 2]), "last": torch.tensor([0, 2, size])}[kind]
        if kind == "rectangle":
            ids = ids.reshape(-1, 3)
        weights = torch.rand(ids.shape) if mode == "sum" else None
        results = []
        for call in (compiled, module):
            module.weight.grad = None
            output = call(ids, offsets, weights)
            output.square().sum().backward()
            results.append((output, module.weight.grad))
        for found, expected in zip(*results):
            torch.testing.assert_close(found, expected)


def test_transforms_go_through_pytorch() -> None:
    table, ids = torch.randn(5, 3), torch.randint(0, 5, (4, 2))
    gradient = torch.func.grad(lambda t: ek.embedding_bag(ids, t, mode="sum").sum())(table)
    expected = torch.zeros(5, 3).index_add(0, ids.reshape(-1), torch.ones(8, 3))
    torch.testing.assert_close(gradient, expected)


def test_rows_left_behind_are_brought_up() -> None:
    weight = nn.Parameter(torch.randn(9, 4))
    dense = nn.Parameter(weight.detach().clone())
    optimizers = [ek.optim.ExactLazyAdamW([weight], lr=0.1), torch.optim.AdamW([dense], lr=0.1)]
    for _ in range(3):
        for parameter, optimizer in zip((weight, dense), optimizers):
            rows = torch.zeros(9, 4)
            rows[4] = 1
            parameter.grad = rows.to_sparse(1) if parameter is weight else rows
            optimizer.step()
    ids = torch.tensor([[1, 2], [4, 0]])
    with torch.no_grad():
        torch.testing.assert_close(
            ek.embedding_bag(ids, weight, mode="sum"), nn.functional.embedding_bag(ids, dense, mode="sum"))
