"""A token table whose rows are divided over the ranks of `torch.distributed`.

Each rank has a range of rows and a batch of its own; the global batch is the ranks' batches one after another. Rows
and gradients travel by `torch.distributed.all_to_all_single` (Gloo on the CPU has it); gathering and summing are
EmbedKernel's. With D dim, R ranks, n tokens of this rank and u different ids among them, a rank sends in bytes,
for float32 and where rows are spread evenly:

    forward     8 (R - 1) + 8 u (R - 1)/R + 4 D u (R - 1)/R
    backward    8 (R - 1) + (8 + 4 D) n (R - 1)/R    order "tokens": the bits of one process, on any number of ranks
                8 (R - 1) + (8 + 4 D) u (R - 1)/R    order "ranks": each rank sums first, the last bits depend on R
"""

from __future__ import annotations

import zlib
from typing import Any, Optional

import torch
import torch.distributed as dist
from torch import Tensor, nn

from . import _errors
from ._embed import _embed_forward, table_gradients

_ROWS_OF_A_DRAW = 1024


def _bounds(count: int, ranks: int) -> list[int]:
    """Where each rank's rows begin, and the end: the first ranks have one more where they don't divide evenly."""
    least, more = divmod(count, ranks)
    return [rank * least + min(rank, more) for rank in range(ranks + 1)]


def _exchange(output: Tensor, input: Tensor, received: list[int], sent: list[int], group: Any) -> None:
    dist.all_to_all_single(output, input, received, sent, group=group)


class _Call:
    """Which of a batch's rows are whose."""

    def __init__(self, layer: ShardedEmbedding, ids: Tensor) -> None:
        group, ranks = layer.process_group, layer.ranks
        fault: Optional[Exception] = None
        flat = torch.empty(0, dtype=torch.long)
        # Whatever is wrong here, the other ranks wait for this one's word.
        try:
            layer._check(ids)
            flat = ids.detach().reshape(-1).long()
        except (IndexError, MemoryError, RuntimeError, TypeError, ValueError) as error:
            fault = error
        self.bounds = torch.tensor(layer.bounds)
        different, self.slots = torch.unique(flat, return_inverse=True)
        self.owners = torch.bucketize(flat, self.bounds[1:], right=True)
        ends = torch.searchsorted(different, self.bounds)
        self.asked_of = (ends[1:] - ends[:-1]).tolist()
        # What each rank asks of this one; -1 where it has a fault, and nobody sends anything.
        words = torch.tensor(self.asked_of if fault is None else [-1] * ranks)
        asked = torch.empty_like(words)
        _exchange(asked, words, [1] * ranks, [1] * ranks, group)
        self.asked_by = asked.tolist()
        if fault is not None:
            raise fault
        refused = [rank for rank, count in enumerate(self.asked_by) if count < 0]
        if refused:
            raise RuntimeError(f"rank {refused[0]} refused its batch; no rank computes")
        self.rows = different - torch.repeat_interleave(self.bounds[:-1], torch.tensor(self.asked_of))
        self.flat = flat


class _Embed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor, layer: ShardedEmbedding) -> Tensor:
        call = _Call(layer, ids)
        group, dim = layer.process_group, weight.shape[1]
        asked = torch.empty(sum(call.asked_by), dtype=torch.long)
        _exchange(asked, call.rows, call.asked_by, call.asked_of, group)
        served = _embed_forward(asked, weight, None, None, 0, 1.0)
        rows = weight.new_empty((len(call.rows), dim))
        _exchange(rows, served, call.asked_of, call.asked_by, group)
        ctx.call, ctx.layer, ctx.rows = call, layer, weight.shape[0]
        if not len(call.flat):
            return rows.new_empty((*ids.shape, dim))
        return _embed_forward(call.slots, rows, None, None, 0, layer.scale).reshape(*ids.shape, dim)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        call, layer = ctx.call, ctx.layer
        group, dim, ranks = layer.process_group, layer.embedding_dim, layer.ranks
        rows = gradients[0].reshape(-1, dim)
        if layer.order == "ranks":
            # The sum of each different id's tokens, of which there is a row in `call.rows` each.
            count = len(call.rows)
            if count:
                sums, _ = table_gradients(
                    rows.contiguous(), call.slots, None, count, 0, 0, 1.0, -1, False, False, True, False
                )
                assert sums is not None
                rows = sums
            numbers, sent = call.rows, call.asked_of
        else:
            # Tokens by owner, each owner's in the order of the batch.
            order = torch.argsort(call.owners, stable=True)
            rows = rows[order]
            numbers = call.flat[order] - call.bounds[call.owners[order]]
            sent = torch.bincount(call.owners, minlength=ranks).tolist()
        words, counts = torch.tensor(sent), torch.empty(ranks, dtype=torch.long)
        _exchange(counts, words, [1] * ranks, [1] * ranks, group)
        received = counts.tolist()
        ids = torch.empty(sum(received), dtype=torch.long)
        _exchange(ids, numbers, received, sent, group)
        arrived = rows.new_empty((len(ids), dim))
        _exchange(arrived, rows.contiguous(), received, sent, group)
        gradient, _ = table_gradients(
            arrived, ids, None, ctx.rows, 0, 0, layer.scale, layer._own_padding, layer.scale_grad_by_freq,
            layer.sparse, True, False,
        )
        return gradient, None, None


class ShardedEmbedding(nn.Module):
    """`torch.nn.Embedding` with its rows divided over the ranks of a process group, contiguous and evenly.

    All ranks call forward and backward in the same order, each with a batch of its own, which may be empty.
    Outputs, and with `order="tokens"` gradients, have the bits that `embedkernel.torch.Embedding` has on the
    ranks' batches one after another, whatever the number of ranks.

    Arguments:
        num_embeddings: The rows of the whole table, at least one a rank.
        embedding_dim: The floats of a row.
        padding_idx: An id whose row is drawn as zeros and gets no gradient.
        scale: Multiplies rows.
        scale_grad_by_freq: Divides a row's gradient by how often its id is in the global batch; for order "tokens", as
            a row's owner is told of no more than the ranks' sums by the other.
        sparse: Makes the gradient of `weight` a sparse tensor.
        order: "tokens" sends each token's gradient to the row's owner, who sums; "ranks" sums at the sender first,
            which sends less and whose last bits depend on the ranks.
        seed: Of the drawn rows, which do not depend on the ranks; None takes rank 0's from PyTorch's generator.
        process_group: The ranks; None for all.
        dtype: float32, float16 or bfloat16.

    `weight` is this rank's rows, `bounds[rank]:bounds[rank + 1]` of the table. Gradients are sums over the ranks'
    losses, not means. `DistributedDataParallel` must leave the parameter alone, as ranks have different rows.

    Raises ValueError on all ranks where they differ in an argument. For an id outside the table the rank that has it
    raises an IndexError with row, position and id, and the others a RuntimeError that names the rank.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: Optional[int] = None, *, scale: float = 1.0,
        scale_grad_by_freq: bool = False, sparse: bool = False, order: str = "tokens", seed: Optional[int] = None,
        process_group: Any = None, dtype: Optional[torch.dtype] = None, _weight: Optional[Tensor] = None,
    ) -> None:
        super().__init__()
        dtype = dtype or (torch.get_default_dtype() if _weight is None else _weight.dtype)
        self.process_group = process_group
        self.rank, self.ranks = dist.get_rank(process_group), dist.get_world_size(process_group)
        self._agree(
            num_embeddings=num_embeddings, embedding_dim=embedding_dim, padding_idx=padding_idx, scale=scale,
            scale_grad_by_freq=scale_grad_by_freq, sparse=sparse, order=order, seed=seed, dtype=dtype,
            given=_weight is not None,
        )
        if num_embeddings < self.ranks or embedding_dim < 1:
            raise ValueError(
                f"a table of {num_embeddings} by {embedding_dim} has no row for each of {self.ranks} ranks"
            )
        self.scale_grad_by_freq, self.order = scale_grad_by_freq, order
        self._check_order()
        if dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise ValueError(f"dtype must be float32, float16 or bfloat16, not {dtype}")
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"padding_idx must be within the {num_embeddings} rows, not {padding_idx}")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.scale, self.sparse = scale, sparse
        self.bounds = _bounds(num_embeddings, self.ranks)
        start, end = self.bounds[self.rank], self.bounds[self.rank + 1]
        if _weight is not None:
            own = _weight.detach()[start:end].clone()
        else:
            own = torch.empty((end - start, embedding_dim), dtype=dtype)
            self._draw(own, self._shared_seed() if seed is None else seed)
        self.weight = nn.Parameter(own)

    @property
    def _own_padding(self) -> int:
        """The padding's row among this rank's; -1 where it has none."""
        start, end = self.bounds[self.rank], self.bounds[self.rank + 1]
        return self.padding_idx - start if self.padding_idx is not None and start <= self.padding_idx < end else -1

    def _agree(self, **facts: Any) -> None:
        all_facts: list[Any] = [None] * self.ranks
        dist.all_gather_object(all_facts, facts, group=self.process_group)
        for name in facts:
            values = [theirs[name] for theirs in all_facts]
            if any(value != values[0] for value in values):
                raise ValueError(f"ranks disagree on {name}: {values}")

    def _shared_seed(self) -> int:
        """Rank 0's next number, of 62 bits."""
        seeds: list[Any] = [None] * self.ranks
        dist.all_gather_object(seeds, int(torch.randint(1 << 62, ()).item()), group=self.process_group)
        return int(seeds[0])

    def _draw(self, own: Tensor, seed: int) -> None:
        """Draws this rank's rows, each block of the table from a generator of its own."""
        start, end = self.bounds[self.rank], self.bounds[self.rank + 1]
        for first in range(start - start % _ROWS_OF_A_DRAW, end, _ROWS_OF_A_DRAW):
            number = first // _ROWS_OF_A_DRAW
            generator = torch.Generator().manual_seed((seed + number * 0x9E3779B97F4A7C15) % (1 << 63))
            block = torch.empty((_ROWS_OF_A_DRAW, self.embedding_dim)).normal_(generator=generator)
            low, high = max(first, start), min(first + _ROWS_OF_A_DRAW, end)
            own[low - start : high - start] = block[low - first : high - first]
        if self._own_padding >= 0:
            own[self._own_padding] = 0

    def _check_order(self) -> None:
        if self.order not in ("tokens", "ranks"):
            raise ValueError(f"order must be 'tokens' or 'ranks', not {self.order!r}")
        if self.scale_grad_by_freq and self.order == "ranks":
            raise ValueError("scale_grad_by_freq needs order 'tokens': sums by rank do not tell how often an id was there")

    def _check(self, ids: Tensor) -> None:
        self._check_order()
        if not isinstance(ids, Tensor):
            raise TypeError(f"ids must be a tensor, not {type(ids).__name__}")
        if ids.dtype not in (torch.int32, torch.int64) or ids.device.type != "cpu":
            raise RuntimeError(f"ids must be int32 or int64 on the CPU, not {ids.dtype} on {ids.device}")
        outside = ((ids < 0) | (ids >= self.num_embeddings)).reshape(-1).nonzero()
        if len(outside):
            place = int(outside[0])
            width = ids.shape[-1] if ids.dim() else 1
            raise IndexError(
                f"token id {int(ids.reshape(-1)[place])} at row {place // width}, position {place % width} is outside "
                f"the vocabulary of {self.num_embeddings}"
            )

    def forward(self, input: Tensor) -> Tensor:
        """Gathers the rows of this rank's batch, (...) of int32 or int64, to (..., embedding_dim)."""
        try:
            result: Tensor = _Embed.apply(self.weight, input, self)  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            _errors.reraise(error)
            raise
        return result

    def whole_weight(self) -> Tensor:
        """The whole table, on every rank. All ranks call."""
        dim = self.embedding_dim
        sizes = [end - start for start, end in zip(self.bounds, self.bounds[1:])]
        whole = self.weight.new_empty((self.num_embeddings, dim))
        own = self.weight.detach()
        _exchange(whole, own.repeat(self.ranks, 1), sizes, [len(own)] * self.ranks, self.process_group)
        return whole

    def extra_repr(self) -> str:
        start, end = self.bounds[self.rank], self.bounds[self.rank + 1]
        return f"{self.num_embeddings}, {self.embedding_dim}, rows {start}:{end} of rank {self.rank} of {self.ranks}"

    @classmethod
    def from_module(cls, module: nn.Embedding, *, order: str = "tokens", process_group: Any = None) -> ShardedEmbedding:
        """Divides a layer that every rank has whole: each keeps a copy of its rows.

        Raises ValueError where ranks have different rows, or for a `max_norm`.
        """
        if module.max_norm is not None:
            raise ValueError("max_norm is not for a table over ranks")
        ranks = dist.get_world_size(process_group)
        weight = module.weight.detach()
        sums: list[Any] = [None] * ranks
        dist.all_gather_object(sums, _check_sum(weight), group=process_group)
        if any(value != sums[0] for value in sums):
            raise ValueError(f"ranks disagree on the check sum of the weight: {sums}")
        return cls(
            module.num_embeddings, module.embedding_dim, module.padding_idx,
            scale_grad_by_freq=module.scale_grad_by_freq, sparse=module.sparse, order=order,
            process_group=process_group, _weight=weight,
        )


def _check_sum(weight: Tensor) -> int:
    """The CRC-32 of all rows."""
    sum = 0
    for rows in weight.contiguous().view(torch.uint8).split(1 << 14):
        sum = zlib.crc32(rows.numpy().tobytes(), sum)
    return sum


__all__ = ["ShardedEmbedding"]
