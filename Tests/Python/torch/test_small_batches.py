"""Small batches in eager code go past PyTorch's dispatcher: with the results, gradients and errors of the operator,
and not where something wants to see operators."""

import copy
import threading

import embedkernel._core as core
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import embedkernel.torch as ek

VOCABULARY, DIM = 11, 6


def quick(ids, tokens, positions=None):
    """What goes past the dispatcher; None where it does not."""
    return core.tensors_embed(ids, tokens, positions, None, 0, 1.0, -1, False, False)


def tables(dtype=torch.float32, context=3):
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randn(VOCABULARY, DIM, generator=generator).to(dtype)
    return nn.Parameter(tokens), nn.Parameter(torch.randn(context, DIM, generator=generator).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("id_dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 2, 3)])
def test_results_and_gradients_are_the_operators(dtype, id_dtype, shape):
    tokens, positions = tables(dtype)
    ids = torch.randint(0, VOCABULARY, shape, generator=torch.Generator().manual_seed(1)).to(id_dtype)
    output = quick(ids, tokens, positions)
    expected = torch.ops.embedkernel.embed_forward(ids, tokens.detach(), positions.detach())
    assert output.grad_fn is not None and output.dtype is dtype and output.is_contiguous()
    assert torch.equal(output, expected)
    upstream = torch.randn(expected.shape).to(dtype)
    output.backward(upstream)
    found = tokens.grad, positions.grad
    tokens.grad = positions.grad = None
    torch.ops.embedkernel.embed(ids, tokens, positions).backward(upstream)
    assert torch.equal(found[0], tokens.grad) and torch.equal(found[1], positions.grad)


def test_without_gradients_there_is_no_graph():
    tokens, positions = tables()
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        assert not quick(ids, tokens, positions).requires_grad
    assert not quick(ids, tokens.detach(), positions.detach()).requires_grad
    # One of two tables is enough.
    assert quick(ids, tokens.detach(), positions).requires_grad
    with torch.inference_mode():
        assert quick(ids, tokens, positions).is_inference()


def test_an_output_is_an_ordinary_tensor():
    tokens, positions = tables()
    ids = torch.tensor([[1, 2, 3]])
    output = quick(ids, tokens.detach(), positions.detach())
    kept = output.clone()
    # What came before stays what it is when its memory could be taken again.
    for _ in range(5):
        other = quick(torch.tensor([[4, 5, 6]]), tokens.detach(), positions.detach())
    assert torch.equal(output, kept) and not torch.equal(output, other)
    assert torch.equal(copy.deepcopy(output), kept)
    assert output.data_ptr() % 64 == 0
    output.mul_(2)
    assert torch.equal(output, kept * 2)
    view = output[0, 1]
    del output
    assert torch.equal(view, kept[0, 1] * 2)


def test_changed_ids_are_noticed():
    tokens, _ = tables()
    ids = torch.tensor([1, 2, 3])
    output = quick(ids, tokens)
    ids.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_a_graph_is_used_once_or_kept():
    tokens, positions = tables()
    ids = torch.tensor([[1, 1, 3]])
    output = quick(ids, tokens, positions)
    output.sum().backward(retain_graph=True)
    output.sum().backward()
    assert tokens.grad[1].eq(4).all() and positions.grad.eq(2).all()
    with pytest.raises(RuntimeError, match="a second time"):
        output.sum().backward()


def test_second_derivatives():
    tokens, positions = (table.double().float().requires_grad_() for table in tables())
    ids = torch.tensor([[1, 1, 3]])
    tokens = nn.Parameter(tokens.detach())
    (gradient,) = torch.autograd.grad(quick(ids, tokens).pow(3).sum(), tokens, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), tokens)
    expected = torch.zeros_like(tokens)
    expected[1], expected[3] = 12 * tokens[1].detach(), 6 * tokens[3].detach()
    torch.testing.assert_close(second, expected)


class Seen(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.names.append(str(function))
        return function(*arguments, **(keywords or {}))


def test_whatever_wants_to_see_operators_does():
    tokens, positions = tables()
    ids = torch.tensor([[1, 2, 3]])
    frozen = tokens.detach()
    with Seen() as seen:
        assert quick(ids, frozen) is None
        ek.embed(ids, frozen)
    assert "embedkernel.embed_forward.default" in seen.names

    class Function(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, arguments=(), keywords=None):
            names.append(getattr(function, "__name__", str(function)))
            return function(*arguments, **(keywords or {}))

    names = []
    with Function():
        assert quick(ids, frozen) is None
    with torch.autograd.profiler.profile() as profile:
        assert quick(ids, frozen) is None
        ek.embed(ids, frozen)
    assert any("embedkernel::embed_forward" in event.name for event in profile.function_events)
    assert torch.equal(torch.func.vmap(lambda row: ek.embed(row, frozen))(ids), frozen[ids])
    traced = torch.jit.trace(lambda row: ek.embed(row, frozen), (ids,), check_trace=False)
    assert torch.equal(traced(torch.tensor([[7, 8]])), frozen[torch.tensor([[7, 8]])])
    with torch.autograd.forward_ad.dual_level():
        tangent = torch.ones_like(frozen)
        dual = torch.autograd.forward_ad.make_dual(frozen, tangent)
        output = torch.autograd.forward_ad.unpack_dual(ek.embed(ids, dual))
        assert output.tangent is not None and output.tangent.eq(1).all()


class Own(torch.Tensor):
    pass


@pytest.mark.parametrize(
    "ids, tokens, positions",
    [
        (torch.tensor([1.0]), torch.zeros(3, 2), None),
        (torch.tensor([3]), torch.zeros(3, 2), None),
        (torch.tensor([-1]), torch.zeros(3, 2), None),
        (torch.tensor([1]), torch.zeros(3, 2, dtype=torch.float64), None),
        (torch.tensor([1]), torch.zeros(2, 3).t(), None),
        (torch.tensor([[1, 0], [1, 2]]).t(), torch.zeros(3, 2), None),
        (torch.tensor([1]), torch.zeros(3, 2), torch.zeros(3, 1)),
        (torch.tensor([1, 1]), torch.zeros(3, 2), torch.zeros(1, 2)),
        (torch.tensor([1]), torch.zeros(3, 2), torch.zeros(1, 2, dtype=torch.float16)),
        (torch.tensor([1]), torch.zeros(3, 2, 1), None),
        (torch.zeros(0, dtype=torch.int64), torch.zeros(3, 2), None),
        (torch.tensor([1]), torch.zeros(3, 2, device="meta"), None),
        (torch.tensor([1]), torch.zeros(3, 2).to_sparse(), None),
        (torch.tensor([1]), torch.zeros(3, 2).as_subclass(Own), None),
        (torch.tensor([1]), torch._neg_view(torch.ones(3, 2)), None),
        (torch.zeros(70_000, dtype=torch.int64), torch.zeros(3, 2), None),
        (1, torch.zeros(3, 2), None),
        (torch.tensor([1]), None, None),
    ],
)
def test_what_it_does_not_serve_it_leaves_alone(ids, tokens, positions):
    assert quick(ids, tokens, positions) is None


def test_a_negated_view_is_read_as_it_is_seen():
    table = torch.arange(6.0).reshape(3, 2)
    assert torch.equal(ek.embed(torch.tensor([1]), torch._neg_view(table)), -table[1:2])


def test_errors_are_the_operators():
    tokens, positions = tables()
    with pytest.raises(IndexError, match="row 0, position 1.*11|11.*row 0, position 1"):
        ek.embed(torch.tensor([[0, 11, 2]]), tokens, positions)
    with pytest.raises(RuntimeError, match="int32 or int64"):
        ek.embed(torch.tensor([0.5]), tokens)


def test_arguments_are_checked():
    with pytest.raises(TypeError):
        core.tensors_embed(torch.tensor([1]))
    with pytest.raises(TypeError):
        core.tensors_forward(None)


def test_threads_share_it():
    tokens, positions = (table.detach() for table in tables())
    failures = []

    def run(seed):
        generator = torch.Generator().manual_seed(seed)
        for _ in range(2_000):
            rows = int(torch.randint(1, 9, (), generator=generator))
            ids = torch.randint(0, VOCABULARY, (rows, 3), generator=generator)
            if not torch.equal(ek.embed(ids, tokens, positions), tokens[ids] + positions):
                failures.append(ids)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_weight_with_rows_behind_is_the_operators():
    weight = nn.Parameter(torch.randn(VOCABULARY, DIM))
    dense = nn.Parameter(weight.detach().clone())
    optimizers = [ek.optim.ExactLazyAdamW([weight], lr=0.1), torch.optim.AdamW([dense], lr=0.1)]
    other = torch.randn(VOCABULARY, DIM)
    ids = torch.tensor([1, 2])
    for _ in range(3):
        for parameter, optimizer in zip((weight, dense), optimizers):
            parameter.grad = None
            rows = torch.zeros(VOCABULARY, DIM)
            rows[4] = 1
            parameter.grad = rows.to_sparse(1) if parameter is weight else rows
            optimizer.step()
    # While some weight has rows behind, every read asks.
    assert quick(ids, other) is None
    torch.testing.assert_close(ek.embed(ids, weight), dense.detach()[ids])
