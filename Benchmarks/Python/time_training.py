"""Training steps with embedkernel.torch beside PyTorch's own: the layer and the optimiser swapped.

    python Benchmarks/Python/time_training.py layer          forward, backward, step at GPT-2's shape
    python Benchmarks/Python/time_training.py gpt            a GPT with a sampled loss, both vocabularies
    python Benchmarks/Python/time_training.py all --rounds 9

All variants start from the same weights and see the same batches, and take turns of one step each in an
order drawn anew every round. A figure is the least time of all rounds, the median in brackets; ratios are of
the least. Prints a Markdown table, the losses beside, and exits with 1 where a bar is missed (--check).
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from embedkernel.torch import Embedding, InputEmbedding, optim

F = torch.nn.functional


class Block(nn.Module):
    """A pre-norm Transformer block, causal."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.wide, self.narrow = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, context, dim = x.shape
        heads = self.attention(self.before(x)).view(batch, context, 3, self.heads, -1)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, context, dim))
        return x + self.narrow(F.gelu(self.wide(self.between(x)), approximate="tanh"))


class GPT(nn.Module):
    """A GPT whose output table is its input table, trained against sampled negatives."""

    def __init__(self, tokens: nn.Embedding, context: int, layers: int, heads: int) -> None:
        super().__init__()
        dim = tokens.embedding_dim
        self.tokens = tokens
        self.positions = nn.Parameter(torch.randn(context, dim) * 0.02)
        self.blocks = nn.Sequential(*[Block(dim, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(dim)

    def forward(self, ids: Tensor, targets: Tensor, negatives: Tensor) -> Tensor:
        """ids and targets ``[batch, context]``, negatives ``[count]``: the mean loss."""
        hidden = self.norm(self.blocks(self.tokens(ids) + self.positions)).flatten(0, 1)
        # One lookup for both, in any variant: fewer gradients to add.
        rows = self.tokens(torch.cat([targets.flatten(), negatives]))
        true, sampled = rows[: len(hidden)], rows[len(hidden) :]
        own = (hidden * true).sum(1, keepdim=True)
        others = hidden @ sampled.T
        # A negative that is the target is no negative.
        others = others.masked_fill(targets.flatten()[:, None] == negatives, -torch.inf)
        return -torch.log_softmax(torch.cat([own, others], 1), 1)[:, 0].mean()


class Variant:
    """One way to train: `step` takes a batch and gives the loss."""

    def __init__(self, name: str, step: Callable[..., float]) -> None:
        self.name = name
        self.step = step
        self.times: list[float] = []
        self.losses: list[float] = []

    @property
    def least(self) -> float:
        return min(self.times)

    @property
    def text(self) -> str:
        return f"{self.least * 1e3:.1f} ms ({statistics.median(self.times) * 1e3:.1f})"


def take_turns(variants: list[Variant], batches: list[Any], rounds: int, seed: int = 0) -> None:
    """A step of each variant a round; the first two rounds are not counted."""
    order = random.Random(seed)
    gc.collect()
    gc.disable()
    try:
        for index in range(rounds + 2):
            batch = batches[index % len(batches)]
            for variant in order.sample(variants, len(variants)):
                start = time.perf_counter()
                loss = variant.step(*batch)
                elapsed = time.perf_counter() - start
                variant.losses.append(loss)
                if index >= 2:
                    variant.times.append(elapsed)
    finally:
        gc.enable()


# A GPT


def gpt_variant(
    name: str, vocabulary: int, table: str, rest: dict[str, Any], dim: int, context: int
) -> Variant:
    torch.manual_seed(1)
    frozen = table == "frozen"
    kind = Embedding if table == "exact" else nn.Embedding
    tokens = kind(vocabulary, dim, sparse=table == "exact")
    with torch.no_grad():
        tokens.weight.mul_(0.02)
    tokens.weight.requires_grad_(not frozen)
    model = GPT(tokens, context, layers=4, heads=8)
    others = [p for n, p in model.named_parameters() if n != "tokens.weight"]
    numbers = {"lr": 3e-4, "weight_decay": 0.01}
    if table == "dense":
        optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(model.parameters(), **numbers, **rest)
        ]
    else:
        optimizers = [torch.optim.AdamW(others, **numbers, **rest)]
        if table == "exact":
            optimizers.append(optim.ExactLazyAdamW([tokens.weight], **numbers))

    def step(ids: Tensor, targets: Tensor, negatives: Tensor) -> float:
        loss = model(ids, targets, negatives)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss.item()

    return Variant(name, step)


def time_gpt(vocabulary: int, bars: dict[str, float], rounds: int) -> bool:
    batch, context, dim, count = 8, 128, 256, 1000
    generator = torch.Generator().manual_seed(5)
    # Zipf's law, as words have it: frequent ones come again in every batch, rare ones once.
    frequency = 1 / (torch.arange(vocabulary) + 10.0)
    batches = []
    for _ in range(rounds + 2):
        ids = torch.multinomial(
            frequency, batch * (context + 1), replacement=True, generator=generator
        ).view(batch, -1)
        negatives = torch.randint(0, vocabulary, (count,), generator=generator)
        batches.append((ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), negatives))
    met = True
    print(
        f"\nA step of a GPT: vocabulary {vocabulary:,}, dim {dim}, 4 layers, {batch} x {context} tokens, "
        f"{count:,} sampled negatives, {torch.get_num_threads()} threads\n"
    )
    print(
        "| AdamW of the rest | nn.Embedding, AdamW | Embedding, ExactLazyAdamW | faster | bar "
        "| frozen table | limit | losses |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for implementation, bar in bars.items():
        rest: dict[str, Any] = {"fused": True} if implementation == "fused" else {}
        dense, exact, frozen = variants = [
            gpt_variant(name, vocabulary, name, rest, dim, context)
            for name in ("dense", "exact", "frozen")
        ]
        take_turns(variants, batches, rounds)
        ratio, limit = dense.least / exact.least, dense.least / frozen.least
        met &= ratio >= bar
        apart = max(abs(a - b) for a, b in zip(dense.losses, exact.losses))
        print(
            f"| {implementation} | {dense.text} | {exact.text} | {ratio:.2f} | {bar} | {frozen.text} | "
            f"{limit:.2f} | {dense.losses[0]:.4f} to {dense.losses[-1]:.4f}, apart by {apart:.1e}; "
            f"frozen to {frozen.losses[-1]:.4f} |",
            flush=True,
        )
        assert apart < 1e-3, "not the same losses"
        del dense, exact, frozen, variants
        gc.collect()
    return met


# The layer alone


def layer_variant(name: str, kind: str, shape: tuple[int, int, int, int]) -> Variant:
    vocabulary, _, context, dim = shape
    torch.manual_seed(1)
    numbers = {"lr": 1e-3}
    if kind in ("sparse adam", "fused"):
        tokens = nn.Embedding(vocabulary, dim, sparse=kind == "sparse adam")
        positions = nn.Parameter(torch.randn(context, dim))

        def forward(ids: Tensor) -> Tensor:
            return tokens(ids) + positions

        token_weight = tokens.weight
    else:
        layer = InputEmbedding(vocabulary, dim, context, sparse=True)
        with torch.no_grad():
            # The same numbers in the same order as above.
            torch.manual_seed(1)
            layer.tokens.weight.normal_()
            layer.positions.weight.normal_()
        positions, token_weight = layer.positions.weight, layer.tokens.weight
        forward = layer
    optimizers: list[torch.optim.Optimizer]
    if kind == "fused":
        optimizers = [torch.optim.AdamW([token_weight, positions], fused=True, **numbers)]
    else:
        tokens_optimizer: Any = {
            "sparse adam": torch.optim.SparseAdam,
            "lazy": optim.LazyAdamW,
            "exact": optim.ExactLazyAdamW,
        }[kind]
        optimizers = [
            tokens_optimizer([token_weight], **numbers),
            torch.optim.AdamW([positions], fused=True, **numbers),
        ]

    def step(ids: Tensor, gradient: Tensor) -> float:
        output = forward(ids)
        for optimizer in optimizers:
            optimizer.zero_grad()
        output.backward(gradient)
        for optimizer in optimizers:
            optimizer.step()
        return 0.0

    variant = Variant(name, step)
    variant.weight = token_weight  # type: ignore[attr-defined]
    return variant


def time_layer(rounds: int) -> bool:
    shape = vocabulary, batch, context, dim = 50_257, 8, 1024, 768
    generator = torch.Generator().manual_seed(5)
    batches = [
        (
            torch.randint(0, vocabulary, (batch, context), generator=generator),
            torch.randn(batch, context, dim, generator=generator),
        )
        for _ in range(4)
    ]
    variants = [
        layer_variant("nn.Embedding + add, SparseAdam", "sparse adam", shape),
        layer_variant("InputEmbedding, LazyAdamW", "lazy", shape),
        layer_variant("nn.Embedding + add, fused AdamW", "fused", shape),
        layer_variant("InputEmbedding, ExactLazyAdamW", "exact", shape),
    ]
    take_turns(variants, batches, rounds)
    sparse, lazy, fused, exact = variants
    weights = [variant.weight.detach() for variant in (fused, exact)]  # type: ignore[attr-defined]
    apart = (weights[0] - weights[1]).abs().max().item()
    print(
        f"\nForward, backward and step at ({vocabulary}, {batch}, {context}, {dim}), "
        f"{torch.get_num_threads()} threads\n"
    )
    print("| PyTorch | | EmbedKernel | | faster | bar |")
    print("|---|---|---|---|---|---|")
    met = True
    for theirs, ours, bar in ((sparse, lazy, 5), (fused, exact, 7)):
        ratio = theirs.least / ours.least
        met &= ratio >= bar
        print(
            f"| {theirs.name} | {theirs.text} | {ours.name} | {ours.text} | {ratio:.1f} | {bar} |",
            flush=True,
        )
    print(f"\nAfter {rounds + 2} steps no weight of the last row is more than {apart:.1e} apart.")
    assert apart < 1e-5 * (rounds + 2), "not the same weights"
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["layer", "gpt", "all"], default="all")
    parser.add_argument("--rounds", type=int, default=9, help="steps of each variant (9)")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bar is missed")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds takes a number from 1 on")
    torch.set_num_threads(arguments.threads)
    met = True
    if arguments.what in ("layer", "all"):
        met &= time_layer(arguments.rounds)
    if arguments.what in ("gpt", "all"):
        met &= time_gpt(250_000, {"foreach": 3.0, "fused": 1.5}, arguments.rounds)
        met &= time_gpt(50_257, {"foreach": 1.4, "fused": 1.15}, arguments.rounds)
    return 0 if met or not arguments.check else 1


if __name__ == "__main__":
    sys.exit(main())
