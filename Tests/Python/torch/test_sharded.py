"""A table over the ranks of torch.distributed (Gloo, two and three processes) against the layer that has it whole."""

from __future__ import annotations

import datetime
import itertools
import traceback
from pathlib import Path
from typing import Any, Callable

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from embedkernel.torch import Embedding, ShardedEmbedding

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def _worker(rank: int, ranks: int, body: Callable[[int, int], Any], folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=ranks,
        timeout=datetime.timedelta(seconds=300),
    )
    try:
        result = body(rank, ranks)
    except BaseException:
        result = traceback.format_exc()
    torch.save(result, f"{folder}/{rank}")
    dist.barrier()
    dist.destroy_process_group()


def run(ranks: int, body: Callable[[int, int], Any], folder: Path) -> list[Any]:
    """What `body` returns on each rank, each a process."""
    mp.start_processes(_worker, (ranks, body, str(folder)), nprocs=ranks, start_method="spawn")
    return [torch.load(folder / str(rank), weights_only=False) for rank in range(ranks)]


def bits(tensor: Tensor) -> Tensor:
    """For comparisons of bits, in which no two NaNs differ and 0 is not -0."""
    return tensor.contiguous().view(torch.int32 if tensor.dtype == torch.float32 else torch.int16)


def same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(bits(a), bits(b))


# The rows and columns of each rank's batch in a step; the last has nothing in the second step.
SIZES = [[(4, 9), (1, 9), (7, 9)], [(3, 5), (2, 5), (0, 5)]]


def batches(ranks: int, vocabulary: int, dim: int, dtype: torch.dtype, step: int) -> list[tuple[Tensor, Tensor]]:
    """Each rank's ids, some of them often, and the gradient of its output."""
    generator = torch.Generator().manual_seed(step)
    result = []
    for rows, columns in SIZES[step][3 - ranks :]:
        few = torch.randint(0, min(5, vocabulary), (rows, columns), generator=generator)
        many = torch.randint(0, vocabulary, (rows, columns), generator=generator)
        ids = torch.where(torch.rand((rows, columns), generator=generator) < 0.6, few, many)
        gradient = torch.randn((rows, columns, dim), generator=generator).to(dtype)
        result.append((ids.int() if step else ids, gradient))
    return result


def compare(rank: int, ranks: int) -> list[str]:
    """What differs from the layer that has the whole table."""
    wrong = []
    options = itertools.product(DTYPES, [None, 3], [False, True], [False, True], ["tokens", "ranks"])
    for dtype, padding, by_frequency, sparse, order in options:
        if order == "ranks" and by_frequency:
            continue
        name = f"{dtype} {padding} {by_frequency} {sparse} {order}"
        vocabulary, dim = 41, 19
        torch.manual_seed(7)
        whole = Embedding(vocabulary, dim, padding, scale_grad_by_freq=by_frequency, sparse=sparse, dtype=dtype)
        layer = ShardedEmbedding.from_module(whole, order=order)
        start, end = layer.bounds[rank], layer.bounds[rank + 1]
        if not same(layer.weight.detach(), whole.weight.detach()[start:end]) or not same(
            layer.whole_weight(), whole.weight.detach()
        ):
            wrong.append(f"{name}: weight")
        for step in range(2):
            every = batches(ranks, vocabulary, dim, dtype, step)
            ids, gradient = every[rank]
            layer.weight.grad = whole.weight.grad = None
            output = layer(ids)
            output.backward(gradient)
            if not same(output, whole(ids)):
                wrong.append(f"{name}: output {step}")
            # The global batch, one rank's after another.
            all_ids = torch.cat([theirs.reshape(-1) for theirs, _ in every])
            whole(all_ids).backward(torch.cat([theirs.reshape(-1, dim) for _, theirs in every]))
            got, expected = layer.weight.grad, whole.weight.grad
            assert got is not None and expected is not None
            if got.is_sparse != sparse:
                wrong.append(f"{name}: form {step}")
            if sparse:
                expected = expected.to_dense()
                # PyTorch's own sum of uncoalesced rows may have another order.
                if not torch.allclose(got.to_dense().float(), expected.float()[start:end], atol=0.1):
                    wrong.append(f"{name}: sparse gradient {step}")
            elif order == "tokens":
                if not same(got, expected[start:end]):
                    wrong.append(f"{name}: gradient {step}")
            elif not torch.allclose(
                got.float(), expected.float()[start:end], atol=1e-5 if dtype == torch.float32 else 0.1, rtol=1e-2
            ):
                wrong.append(f"{name}: gradient {step}")
    return wrong


def drawn(rank: int, ranks: int) -> tuple[Tensor, ...]:
    """A table of a seed, one of rank 0's generator, and a step of training."""
    torch.manual_seed(rank)
    seeded = ShardedEmbedding(2_500, 6, padding_idx=-1, seed=5).whole_weight()
    own = ShardedEmbedding(30, 6).whole_weight()
    layer = ShardedEmbedding(100, 6, scale=0.5, seed=6)
    before = layer.whole_weight()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    ids = torch.arange(60).reshape(6, 10) * 7 % 100
    share = ids[6 * rank // ranks : 6 * (rank + 1) // ranks]
    layer(share).square().sum().backward()
    optimizer.step()
    return seeded, own, before, layer.whole_weight()


def faults(rank: int, ranks: int) -> dict[str, str]:
    """The errors of ranks that don't go together."""
    found = {}

    def note(name: str, body: Callable[[], Any]) -> None:
        try:
            body()
            found[name] = "none"
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            found[name] = f"{type(error).__name__}: {error}"

    note("dim", lambda: ShardedEmbedding(10, 4 + (rank == 1)))
    note("seed", lambda: ShardedEmbedding(10, 4, seed=rank))
    note("rows", lambda: ShardedEmbedding(1, 4))
    note("order", lambda: ShardedEmbedding(10, 4, order="any"))
    note("frequency", lambda: ShardedEmbedding(10, 4, scale_grad_by_freq=True, order="ranks"))
    note("dtype", lambda: ShardedEmbedding(10, 4, dtype=torch.float64))
    note("padding", lambda: ShardedEmbedding(10, 4, padding_idx=10))
    torch.manual_seed(rank)
    note("weight", lambda: ShardedEmbedding.from_module(torch.nn.Embedding(10, 4)))
    layer = ShardedEmbedding(10, 4)
    for name, id in [("large", 10), ("negative", -1)]:
        ids = torch.zeros(2, 3, dtype=torch.long)
        if rank == 1:
            ids[1, 2] = id
        note(name, lambda: layer(ids))
    note("float", lambda: layer(torch.zeros(2, 3, dtype=torch.float32 if rank == 1 else torch.long)))
    note("list", lambda: layer([[0, 1]] if rank == 1 else torch.zeros(2, 3, dtype=torch.long)))
    # It still serves.
    note("after", lambda: layer(torch.zeros(2, 3, dtype=torch.long)).sum().backward())
    return found


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_bits_of_the_whole_layer(ranks: int, tmp_path: Path) -> None:
    assert run(ranks, compare, tmp_path) == [[]] * ranks


def test_drawn_tables_do_not_depend_on_the_ranks(tmp_path: Path) -> None:
    results = []
    for ranks in (2, 3):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        results += run(ranks, drawn, folder)
    assert all(not isinstance(result, str) for result in results), results
    for result in results[1:]:
        assert all(same(a, b) for a, b in zip(result, results[0]))
    seeded, own, before, stepped = results[0]
    assert seeded[-1].eq(0).all() and 0.95 < float(seeded.std()) < 1.05
    assert len(seeded.unique()) > 14_000 and float(own.std()) > 0.8
    # Each of 60 rows by the slope of a quarter of its square: twice that, times the rate.
    expected = before.clone()
    expected[torch.arange(60) * 7 % 100] *= 1 - 0.1 * 2 * 0.25
    assert torch.allclose(stepped, expected, rtol=1e-6, atol=0)


def test_faults_of_one_rank_reach_all(tmp_path: Path) -> None:
    first, second = run(2, faults, tmp_path)
    assert "ranks disagree on embedding_dim: [4, 5]" in first["dim"] and first["dim"] == second["dim"]
    assert "ranks disagree on seed: [0, 1]" in first["seed"]
    for name in ("rows", "order", "frequency", "dtype", "padding"):
        assert first[name].startswith("ValueError") and first[name] == second[name]
    assert "ranks disagree on the check sum of the weight" in first["weight"]
    for name, id in [("large", "10"), ("negative", "-1")]:
        assert second[name].startswith("IndexError") and f"token id {id} at row 1, position 2" in second[name]
        assert "rank 1 refused" in first[name]
    assert "int32 or int64" in second["float"] and "rank 1 refused" in first["float"]
    assert second["list"].startswith("TypeError: ids must be a tensor, not list") and "rank 1 refused" in first["list"]
    assert first["after"] == second["after"] == "none"
