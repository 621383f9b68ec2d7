"""`Embedding` beside `torch.nn.Embedding`: each behaviour that PyTorch documents, over random arguments."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any, Optional

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from embedkernel.torch import Embedding, replace_embeddings

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]

rows = st.integers(1, 40)
dims = st.integers(1, 70)
shapes = st.lists(st.integers(0, 5), min_size=0, max_size=4).map(tuple)
id_types = st.sampled_from([torch.int64, torch.int32])


def pair(vocabulary: int, dim: int, **options: Any) -> tuple[nn.Embedding, Embedding]:
    """The original and ours, with equal weights."""
    original = nn.Embedding(vocabulary, dim, **options)
    ours = Embedding(vocabulary, dim, **options)
    with torch.no_grad():
        ours.weight.copy_(original.weight)
    return original, ours


def ids(shape: tuple[int, ...], vocabulary: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    return torch.randint(0, vocabulary, shape, dtype=dtype)


@given(rows, dims, shapes, id_types, st.sampled_from(DTYPES))
def test_forward_is_the_same(vocabulary: int, dim: int, shape: tuple[int, ...], kind: torch.dtype, dtype: torch.dtype) -> None:
    original, ours = pair(vocabulary, dim, dtype=dtype)
    chosen = ids(shape, vocabulary, kind)
    expected, found = original(chosen), ours(chosen)
    assert found.shape == expected.shape and found.dtype == expected.dtype
    assert torch.equal(found, expected)
    assert found.is_contiguous() and found.requires_grad


@given(
    rows, dims, shapes, id_types, st.sampled_from(DTYPES), st.one_of(st.none(), st.integers(-40, 39)),
    st.booleans(), st.booleans(),
)
def test_gradient_is_the_same(
    vocabulary: int, dim: int, shape: tuple[int, ...], kind: torch.dtype, dtype: torch.dtype, padding: Optional[int],
    by_frequency: bool, sparse: bool,
) -> None:
    assume(padding is None or -vocabulary <= padding < vocabulary)
    assume(not (by_frequency and sparse))  # PyTorch has no such pair; ours is tested below.
    assume(not (sparse and padding is not None and shape == ()))  # PyTorch fails on it.
    original, ours = pair(
        vocabulary, dim, padding_idx=padding, scale_grad_by_freq=by_frequency, sparse=sparse, dtype=dtype
    )
    chosen = ids(shape, vocabulary, kind)
    # Small integers: sums are exact in every type, whatever their order.
    gradient = torch.randint(-3, 4, (*shape, dim)).to(dtype)
    original(chosen).backward(gradient)
    ours(chosen).backward(gradient)
    assert ours.weight.grad.is_sparse == sparse
    assert ours.weight.grad.dtype == dtype
    expected, found = original.weight.grad.to_dense(), ours.weight.grad.to_dense()
    if by_frequency:
        # A division, which PyTorch makes of each summand and we of the sum.
        tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}[dtype]
        assert torch.allclose(found, expected, rtol=tolerance, atol=tolerance)
    else:
        assert torch.equal(found, expected)
    if padding is not None:
        assert not found[padding].any()


@given(rows, dims, shapes)
def test_sparse_gradient_by_frequency_is_the_dense_one(vocabulary: int, dim: int, shape: tuple[int, ...]) -> None:
    original, ours = pair(vocabulary, dim, scale_grad_by_freq=True)
    ours.sparse = True
    chosen = ids(shape, vocabulary)
    gradient = torch.randn(*shape, dim)
    (expected,) = torch.autograd.grad(original(chosen), original.weight, gradient)
    (found,) = torch.autograd.grad(ours(chosen), ours.weight, gradient)
    assert found.is_coalesced()
    assert torch.allclose(found.to_dense(), expected, rtol=1e-5, atol=1e-6)


@given(
    rows, dims, shapes, st.floats(0.0, 4.0, width=32), st.sampled_from([1.0, 2.0, 3.0, 0.5, float("inf")]),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
)
def test_max_norm_renormalises_in_place(
    vocabulary: int, dim: int, shape: tuple[int, ...], max_norm: float, order: float, dtype: torch.dtype
) -> None:
    original, ours = pair(vocabulary, dim, max_norm=max_norm, norm_type=order, dtype=dtype)
    chosen = ids(shape, vocabulary)
    before = ours.weight.detach().clone()
    expected, found = original(chosen), ours(chosen)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}[dtype]
    assert torch.allclose(found, expected, rtol=tolerance, atol=tolerance)
    assert torch.allclose(ours.weight, original.weight, rtol=tolerance, atol=tolerance)
    untouched = torch.ones(vocabulary, dtype=torch.bool)
    untouched[chosen.flatten()] = False
    assert torch.equal(ours.weight[untouched], before[untouched])


def test_max_norm_counts_as_a_change_in_place() -> None:
    for layer in pair(6, 4, max_norm=0.5):
        before = layer.weight._version
        product = layer.weight * layer.weight
        layer(torch.tensor([1, 2]))
        assert layer.weight._version > before
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            product.sum().backward()


@pytest.mark.parametrize("bad", [-1, 7, 2**31, -(2**40), 2**62])
@pytest.mark.parametrize("needs_gradient", [False, True])
def test_an_unknown_id_names_its_place(bad: int, needs_gradient: bool) -> None:
    original, ours = pair(7, 5)
    chosen = torch.zeros(3, 4, dtype=torch.int64)
    chosen[2, 1] = bad
    with torch.set_grad_enabled(needs_gradient):
        with pytest.raises(IndexError):
            original(chosen)
        with pytest.raises(IndexError) as caught:
            ours(chosen)
    message = str(caught.value)
    for fact in (str(bad), "row 2", "position 1", "7"):
        assert fact in message, message


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int16, torch.uint8, torch.bool])
def test_ids_of_another_type_are_refused(dtype: torch.dtype) -> None:
    for layer in pair(7, 5):
        with pytest.raises((RuntimeError, IndexError)) as caught:
            layer(torch.ones(2, 2).to(dtype))
    assert "int32" in str(caught.value) or "Int" in str(caught.value)


def test_ids_need_not_be_contiguous() -> None:
    original, ours = pair(50, 33)
    wide = ids((8, 12), 50)
    for chosen in (wide.t(), wide[:, ::3], wide[::2, 1:7], wide[0].expand(5, 12)):
        assert torch.equal(ours(chosen), original(chosen))


def test_weights_may_be_views_of_any_layout() -> None:
    whole = torch.randn(20, 48, requires_grad=True)
    chosen = ids((4, 6), 20)
    for weight in (whole, whole[3:], whole[:, :16], whole[::2], torch.randn(48, 20, requires_grad=True).t()):
        limit = weight.shape[0]
        picked = chosen % limit
        layer = Embedding(limit, weight.shape[1], _weight=weight.detach())
        assert torch.equal(layer(picked), nn.functional.embedding(picked, weight))
        out = torch.func.functional_call(layer, {"weight": weight}, (picked,))
        base = whole if weight._base is whole or weight is whole else (weight._base if weight._base is not None else weight)
        expected = torch.autograd.grad(nn.functional.embedding(picked, weight).square().sum(), base)[0]
        found = torch.autograd.grad(out.square().sum(), base)[0]
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_constructor_takes_what_the_original_takes() -> None:
    weight = torch.randn(5, 3)
    for make in (nn.Embedding, Embedding):
        layer = make(5, 3, 1, 2.0, 3.0, True, False, weight, True, None, None)
        assert layer.padding_idx == 1 and layer.max_norm == 2.0 and layer.norm_type == 3.0
        assert layer.scale_grad_by_freq and not layer.sparse and not layer.weight.requires_grad
        assert layer.weight.data_ptr() == weight.data_ptr()
        assert make(5, 3, padding_idx=-2).padding_idx == 3
        assert not make(5, 3, padding_idx=2).weight[2].any()
        for wrong in (5, -6):
            with pytest.raises(AssertionError):
                make(5, 3, padding_idx=wrong)
        with pytest.raises(AssertionError):
            make(4, 3, _weight=weight)
    assert repr(Embedding(5, 3, 1, 2.0, 3.0, True, True)) == repr(nn.Embedding(5, 3, 1, 2.0, 3.0, True, True))


def test_the_same_seed_draws_the_same_weight() -> None:
    torch.manual_seed(3)
    original = nn.Embedding(9, 4)
    torch.manual_seed(3)
    assert torch.equal(Embedding(9, 4).weight, original.weight)


def test_from_pretrained() -> None:
    weight = torch.randn(6, 4)
    for make in (nn.Embedding, Embedding):
        layer = make.from_pretrained(weight, freeze=True, padding_idx=2, max_norm=1.5, norm_type=1.0)
        assert type(layer) is make and not layer.weight.requires_grad
        assert (layer.padding_idx, layer.max_norm, layer.norm_type) == (2, 1.5, 1.0)
        assert make.from_pretrained(weight, freeze=False).weight.requires_grad
        with pytest.raises(AssertionError):
            make.from_pretrained(torch.randn(3))
    chosen = ids((3, 3), 6)
    assert torch.equal(Embedding.from_pretrained(weight)(chosen), weight[chosen])


def test_state_dicts_go_both_ways() -> None:
    original, ours = nn.Embedding(6, 4), Embedding(6, 4)
    assert list(ours.state_dict()) == list(original.state_dict()) == ["weight"]
    ours.load_state_dict(original.state_dict())
    assert torch.equal(ours.weight, original.weight)
    with torch.no_grad():
        ours.weight.mul_(2)
    original.load_state_dict(ours.state_dict())
    assert torch.equal(ours.weight, original.weight)
    file = io.BytesIO()
    torch.save(ours.state_dict(), file)
    file.seek(0)
    original.load_state_dict(torch.load(file, weights_only=True))
    with pytest.raises(RuntimeError, match="size mismatch"):
        ours.load_state_dict(nn.Embedding(5, 4).state_dict())


def test_it_is_an_embedding_to_other_libraries() -> None:
    ours = Embedding(5, 3)
    assert isinstance(ours, nn.Embedding)
    made = Embedding.from_module(original := nn.Embedding(5, 3, padding_idx=2, sparse=True))
    assert made.weight is original.weight and made.padding_idx == 2 and made.sparse


def test_replacing_those_of_a_model() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(7, 4, padding_idx=0)
            self.blocks = nn.ModuleList([nn.Embedding(5, 4), nn.Linear(4, 7)])
            self.same = self.words
            self.blocks[1].weight = self.words.weight

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.blocks[1](self.words(ids) + self.same(ids) + self.blocks[0](ids % 5))

    model = Model()
    chosen = ids((3, 4), 7)
    expected, keys = model(chosen), list(model.state_dict())
    assert replace_embeddings(model) == 3
    assert type(model.words) is type(model.blocks[0]) is Embedding and model.same is model.words
    assert model.words.weight is model.blocks[1].weight and list(model.state_dict()) == keys
    assert torch.equal(model(chosen), expected)
    assert replace_embeddings(model) == 0


def test_copies_and_pickles() -> None:
    layer = Embedding(7, 4, padding_idx=1, max_norm=2.0, sparse=True)
    chosen = ids((3, 2), 7)
    expected = layer(chosen)
    for copied in (copy.deepcopy(layer), copy.copy(layer), pickle.loads(pickle.dumps(layer))):
        assert type(copied) is Embedding
        assert torch.equal(copied(chosen), expected)
        assert repr(copied) == repr(layer)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(chosen), expected)


def test_conversions_of_type_and_device() -> None:
    layer = Embedding(7, 4)
    chosen = ids((3, 2), 7)
    for dtype in DTYPES:
        moved = copy.deepcopy(layer).to(dtype)
        assert torch.equal(moved(chosen), moved.weight[chosen])
    meta = Embedding(7, 4, device="meta")
    assert meta(chosen.to("meta")).shape == (3, 2, 4) and meta(chosen.to("meta")).device.type == "meta"
    assert meta.to_empty(device="cpu")(chosen).shape == (3, 2, 4)


def test_grad_modes() -> None:
    original, ours = pair(7, 4)
    chosen = ids((3, 2), 7)
    with torch.no_grad():
        assert not ours(chosen).requires_grad
    with torch.inference_mode():
        found = ours(chosen)
        assert found.is_inference() == original(chosen).is_inference() is True
    frozen = Embedding.from_pretrained(original.weight.detach())
    assert not frozen(chosen).requires_grad
    inference = None
    with torch.inference_mode():
        inference = Embedding(7, 4)
    assert inference(chosen).shape == (3, 2, 4)


def test_autocast_leaves_the_type() -> None:
    original, ours = pair(7, 4)
    chosen = ids((3, 2), 7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ours(chosen).dtype == original(chosen).dtype
        ours(chosen).sum().backward()
    assert ours.weight.grad.dtype == torch.float32


def test_gradients_accumulate_and_are_freed() -> None:
    for sparse in (False, True):
        original, ours = pair(7, 4, sparse=sparse)
        for _ in range(3):
            chosen, weight = ids((3, 2), 7), torch.randn(3, 2, 4)
            for layer in (original, ours):
                (layer(chosen) * weight).sum().backward()
        found, expected = ours.weight.grad.to_dense(), original.weight.grad.to_dense()
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)
        ours.zero_grad(set_to_none=True)
        assert ours.weight.grad is None


def test_expanded_and_permuted_gradients() -> None:
    original, ours = pair(9, 6)
    chosen = ids((3, 5), 9)
    for layer in (original, ours):
        layer(chosen).sum().backward()
        layer(chosen).permute(2, 0, 1).square().sum().backward()
    assert torch.allclose(ours.weight.grad, original.weight.grad, rtol=1e-5, atol=1e-6)


def test_second_derivatives() -> None:
    original, ours = pair(9, 6)
    chosen = ids((3, 5), 9)
    weight = torch.randn(3, 5, 6)

    def penalty(layer: nn.Embedding) -> torch.Tensor:
        out = (layer(chosen) ** 3 * weight).sum()
        (gradient,) = torch.autograd.grad(out, layer.weight, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), layer.weight)[0]

    assert torch.allclose(penalty(ours), penalty(original), rtol=1e-4, atol=1e-4)


def test_hooks_are_called() -> None:
    ours = Embedding(9, 6)
    seen: list[str] = []
    ours.register_forward_pre_hook(lambda module, inputs: seen.append("before"))
    ours.register_forward_hook(lambda module, inputs, output: seen.append("after"))
    ours.register_full_backward_hook(lambda module, inputs, outputs: seen.append("backward"))
    ours.weight.register_hook(lambda gradient: seen.append("weight") or gradient * 2)
    ours.weight.register_post_accumulate_grad_hook(lambda parameter: seen.append("accumulated"))
    ours(torch.tensor([1, 1])).sum().backward()
    assert seen[:2] == ["before", "after"] and set(seen[2:]) == {"backward", "weight", "accumulated"}
    assert ours.weight.grad[1].eq(4).all()


def test_functional_call_and_transforms() -> None:
    original, ours = pair(9, 6)
    chosen = ids((3, 5), 9)
    other = {"weight": torch.randn(9, 6)}
    call = torch.func.functional_call
    assert torch.equal(call(ours, other, (chosen,)), call(original, other, (chosen,)))

    def loss(layer: nn.Embedding, weights: dict[str, torch.Tensor]) -> torch.Tensor:
        return call(layer, weights, (chosen,)).square().sum()

    for transform in (torch.func.grad, torch.func.jacrev, torch.func.jacfwd):
        found = transform(lambda w: loss(ours, w))(other)["weight"]
        expected = transform(lambda w: loss(original, w))(other)["weight"]
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)
    stacked = torch.randn(4, 9, 6)
    mapped = [torch.vmap(lambda w: call(layer, {"weight": w}, (chosen,)))(stacked) for layer in (ours, original)]
    assert torch.equal(*mapped)
    assert torch.equal(torch.vmap(ours)(chosen), original(chosen))


def test_forward_mode_keeps_the_tangent() -> None:
    import torch.autograd.forward_ad as forward

    ours = Embedding(9, 6)
    chosen, tangent = ids((3, 5), 9), torch.randn(9, 6)
    with forward.dual_level():
        dual = forward.make_dual(ours.weight.detach(), tangent)
        out = torch.func.functional_call(ours, {"weight": dual}, (chosen,))
        assert torch.equal(forward.unpack_dual(out).tangent, tangent[chosen])


def test_parametrised_weights() -> None:
    from torch.nn.utils import parametrize

    class Doubled(nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight * 2

    ours = Embedding(9, 6)
    plain = ours.weight.detach().clone()
    parametrize.register_parametrization(ours, "weight", Doubled())
    chosen = ids((3, 5), 9)
    assert torch.equal(ours(chosen), plain[chosen] * 2)
    ours(chosen).sum().backward()
    assert ours.parametrizations.weight.original.grad.abs().sum() == 2 * 15 * 6


def test_optimisers_of_torch_step_it() -> None:
    for sparse, make in ((False, torch.optim.AdamW), (True, torch.optim.SparseAdam), (True, torch.optim.SGD), (False, torch.optim.Adagrad)):
        original, ours = pair(9, 6, sparse=sparse)
        steppers = [make(layer.parameters(), lr=0.1) for layer in (original, ours)]
        for _ in range(4):
            chosen, weight = ids((3, 5), 9), torch.randn(3, 5, 6)
            for layer, stepper in zip((original, ours), steppers):
                stepper.zero_grad()
                (layer(chosen) * weight).sum().backward()
                stepper.step()
        assert torch.allclose(ours.weight, original.weight, rtol=1e-4, atol=1e-5)


def test_a_large_gradient_is_as_exact_as_the_sum_in_double() -> None:
    layer = Embedding(3, 8)
    chosen, gradient = ids((64, 128), 3), torch.randn(64, 128, 8)
    layer(chosen).backward(gradient)
    expected = torch.zeros(3, 8, dtype=torch.float64).index_add_(0, chosen.flatten(), gradient.double().reshape(-1, 8))
    assert (layer.weight.grad - expected).abs().max() < 64 * 2**-24 * gradient.abs().sum(dim=(0, 1)).max() / 3


def test_half_gradients_are_rounded_once() -> None:
    layer = Embedding(2, 4, dtype=torch.bfloat16)
    chosen = torch.zeros(1000, dtype=torch.int64)
    gradient = torch.full((1000, 4), 1.0, dtype=torch.bfloat16)
    layer(chosen).backward(gradient)
    # In bfloat16 a running sum of ones stays at 256.
    assert layer.weight.grad[0].eq(1000).all()
