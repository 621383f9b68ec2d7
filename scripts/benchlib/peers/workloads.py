"""The shapes and ids that all are timed on: those of embed-benchmarks, to the last id.

V vocabulary, B batch, T context, D dim. A call takes the next of eight batches of ids, so that large
shapes read rows from memory.
"""

import dataclasses

import numpy as np

BATCHES = 8
SEED = 2_025
MASK = (1 << 64) - 1


@dataclasses.dataclass(frozen=True)
class Workload:
    vocabulary: int
    batch: int
    context: int
    dim: int

    @property
    def name(self):
        return f"V{self.vocabulary}_B{self.batch}_T{self.context}_D{self.dim}"

    @property
    def title(self):
        return f"{self.vocabulary}, {self.batch}, {self.context}, {self.dim}"

    @property
    def output_bytes(self):
        return self.batch * self.context * self.dim * 4

    def ids(self):
        """[BATCHES, batch, context], int32."""
        count = BATCHES * self.batch * self.context
        return draw(count, self.vocabulary, SEED).reshape(BATCHES, self.batch, self.context)

    def tables(self):
        """The token table and the position rows, uniform in -1...1."""
        random = np.random.default_rng(1)
        shapes = (self.vocabulary, self.dim), (self.context, self.dim)
        return [random.random(shape, dtype=np.float32) * 2 - 1 for shape in shapes]

    def gradient(self):
        """An output gradient [batch, context, dim]."""
        random = np.random.default_rng(3)
        return random.random((self.batch, self.context, self.dim), dtype=np.float32) * 2 - 1


WORKLOADS = {
    "seed": Workload(50_257, 8, 4, 256),
    "gpt2": Workload(50_257, 8, 1_024, 768),
    "large": Workload(50_257, 4, 2_048, 1_024),
}


def splitmix64(first, count):
    """The outputs `first..<first + count` of SplitMix64 from the seed, 0 being the first."""
    with np.errstate(over="ignore"):
        steps = np.arange(first + 1, first + count + 1, dtype=np.uint64)
        z = np.uint64(SEED) + steps * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def draw(count, bound, seed):
    """What Swift's `Int32.random(in: 0..<bound, using:)` draws: the upper half of 32 bits times the
    bound, a draw being taken again where the lower half is below 2^32 mod bound (Lemire)."""
    assert seed == SEED
    found, used = np.empty(0, dtype=np.int32), 0
    again = (1 << 32) % bound
    while len(found) < count:
        missing = count - len(found)
        words = splitmix64(used, missing) & np.uint64(0xFFFFFFFF)
        used += missing
        products = words * np.uint64(bound)
        kept = (products & np.uint64(0xFFFFFFFF)) >= np.uint64(again)
        found = np.concatenate([found, (products[kept] >> np.uint64(32)).astype(np.int32)])
    return found
