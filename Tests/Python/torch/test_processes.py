"""Threads, forks, shared memory and DataLoader workers, as with `torch.nn.Embedding`."""

from __future__ import annotations

import multiprocessing
import threading
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from embedkernel.torch import Embedding, RotaryEmbedding

SHAPE = (8, 256)  # With dim 128 a megabyte: several threads, and a buffer of the pool.


class Embedded(Dataset[torch.Tensor]):
    """A dataset whose items are embedded by the worker."""

    def __init__(self, layer: nn.Embedding) -> None:
        self.layer = layer

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> torch.Tensor:
        with torch.no_grad():
            return self.layer(torch.full(SHAPE, index))


def _write_row(layer: nn.Embedding, row: int) -> None:
    with torch.no_grad():
        layer.weight[row] = float(row)


def _sum(layer: nn.Embedding, ids: torch.Tensor) -> float:
    # NumPy's sum: PyTorch's own, on several threads, hangs in a fork whose parent has used them.
    return float(layer(ids).detach().numpy().sum(dtype="float64"))


def _answer(layer: nn.Embedding, ids: torch.Tensor, answers: Any) -> None:
    answers.put(_sum(layer, ids))


@pytest.mark.parametrize("workers", [0, 2])
def test_dataloader_workers(workers: int) -> None:
    layer = Embedding(10, 128)
    layer(torch.zeros(SHAPE, dtype=torch.int64))  # The parent's helper threads are running.
    loader = DataLoader(Embedded(layer), batch_size=1, num_workers=workers, multiprocessing_context="fork" if workers else None)
    for index, batch in enumerate(loader):
        assert torch.equal(batch[0], layer.weight.detach()[index].expand(*SHAPE, 128))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_shared_weights(method: str) -> None:
    layer = Embedding(10, 128)
    assert layer.share_memory() is layer and layer.weight.is_shared()
    context = multiprocessing.get_context(method)
    process = context.Process(target=_write_row, args=(layer, 3))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert layer(torch.tensor([3])).eq(3).all()


def test_a_fork_computes() -> None:
    layer = Embedding(10, 128)
    ids = torch.randint(0, 10, SHAPE)
    expected = _sum(layer, ids)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    processes = [context.Process(target=_answer, args=(layer, ids, answers)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert [answers.get() for _ in processes] == [expected] * 3


def test_threads_compute_at_once() -> None:
    layer = Embedding(50, 64)
    rotary = RotaryEmbedding.plain(64)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            generator = torch.Generator().manual_seed(seed)
            for _ in range(50):
                ids = torch.randint(0, 50, (4, 128), generator=generator)
                out = layer(ids)
                assert torch.equal(out, layer.weight[ids])
                (gradient,) = torch.autograd.grad(out.sum(), layer.weight)
                assert torch.equal(gradient[:, 0], torch.bincount(ids.flatten(), minlength=50).float())
                rotary(out.detach().view(4, 128, 1, 64), heads_first=False)
        except BaseException as failure:  # noqa: BLE001
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def test_results_do_not_depend_on_threads() -> None:
    layer = Embedding(1000, 96)
    ids, gradient = torch.randint(0, 1000, (16, 256)), torch.randn(16, 256, 96)
    before = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            out = layer(ids)
            results.append((out.detach().clone(), torch.autograd.grad(out, layer.weight, gradient)[0]))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(*pair) for pair in zip(*results))


def test_buffers_are_reused_and_outlive_what_made_them() -> None:
    layer = Embedding(100, 256)
    ids = torch.randint(0, 100, (8, 512))
    with torch.no_grad():
        first = layer(ids)
        address = first.data_ptr()
        kept = first[0].clone()
        view = first[0]
        del first
        # A view keeps the buffer: the next output stands elsewhere.
        second = layer(ids.flip(0))
        assert second.data_ptr() != address and torch.equal(view, kept)
        del view, second
        addresses = set()
        for _ in range(8):
            out = layer(ids)
            addresses.add(out.data_ptr())
            del out
        assert len(addresses) <= 2
        del layer
    assert address % 64 == 0
