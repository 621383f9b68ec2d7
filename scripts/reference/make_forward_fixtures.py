#!/usr/bin/env python3
"""Writes the reference arrays of the forward path, by PyTorch and NumPy.

    python -m venv .venv && .venv/bin/pip install -r scripts/requirements/fixtures.txt
    .venv/bin/python scripts/reference/make_forward_fixtures.py

Tests/EmbedKernelTests/Fixtures/forward/ gets:

cases.json         embeddings: ids, tables and the exact fp32 output, compared bit for bit
sinusoidal.json    sinusoidal position tables, correctly rounded to fp32
philox.json        Philox 4x32-10 vectors, counters and keys as unsigned 32-bit integers

Arrays are .npy files named in the JSON, relative to it: `ids` [batch, context] int32 or int64,
`tokens` [vocabulary, dim], `positions` [maximumContext, dim], `expected` [batch, context, dim].
The rest is in the JSON itself, lists flat in C order, and left out where a case has none:

scale              token rows are multiplied by this fp32 number, then the position is added
offset             the first position of every sequence
positionIDs        [batch, context], the position of every token
mask               [batch, context], 1 for a token and 0 for padding; a token's position is the number
                   of tokens before it, padding has position 0
cumulativeLengths  documents in the flattened [batch * context]; positions restart at each
paddingID          a token whose row is zero; its position is added like any other's
"""

import json
import math
import platform
from pathlib import Path

import mpmath
import numpy as np
import torch
from torch import nn

FIXTURES = Path(__file__).resolve().parents[2] / "Tests/EmbedKernelTests/Fixtures/forward"
SEED = 20_240_607
MADE_BY = {
    "python": platform.python_version(),
    "numpy": np.__version__,
    "torch": torch.__version__,
    "mpmath": mpmath.__version__,
    "seed": SEED,
}


def save(name: str, array) -> str:
    """Saves an array once; cases that share a table name the same file."""
    array = np.ascontiguousarray(array)
    path = FIXTURES / f"{name}.npy"
    if path.exists():
        assert np.array_equal(np.load(path), array, equal_nan=True), f"{name} has two contents"
    np.save(path, array)
    return path.name


class Cases:
    """The embeddings that PyTorch computes, and the record of each."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(SEED)
        self.tables: dict[str, torch.Tensor] = {}
        self.records: list[dict] = []

    def table(self, name: str, rows: int, dim: int) -> torch.Tensor:
        """Normal values, as torch's `nn.Embedding` draws them; the same for the same name."""
        if name not in self.tables:
            self.tables[name] = torch.randn(rows, dim, generator=self.generator)
        assert self.tables[name].shape == (rows, dim), name
        return self.tables[name]

    def ids(self, batch: int, context: int, vocabulary: int) -> torch.Tensor:
        return torch.randint(0, vocabulary, (batch, context), generator=self.generator)

    def add(
        self,
        name: str,
        ids: torch.Tensor,
        tokens: torch.Tensor,
        tokens_name: str,
        positions: torch.Tensor | None = None,
        positions_name: str | None = None,
        position_ids: torch.Tensor | None = None,
        scale: float | None = None,
        padding_id: int | None = None,
        id_type: type = np.int64,
        **fields,
    ) -> None:
        """Runs the case. `position_ids` says where each token stands; `fields` how the record
        tells it, when not by a sequence that starts at 0."""
        batch, context = ids.shape
        vocabulary, dim = tokens.shape
        with torch.no_grad():
            embedding = nn.Embedding.from_pretrained(tokens, padding_idx=padding_id)
            output = embedding(ids)
            if scale is not None:
                scale = float(np.float32(scale))
                output = output * scale
            if positions is not None:
                if position_ids is None:
                    position_ids = torch.arange(context)
                output = output + nn.Embedding.from_pretrained(positions)(position_ids)
        assert output.dtype == torch.float32 and output.shape == (batch, context, dim)

        # The same sum by NumPy, one rounding an operation: torch fused nothing.
        check = tokens.numpy()[ids.numpy()]
        if scale is not None:
            check = check * np.float32(scale)
        if positions is not None:
            with np.errstate(over="ignore"):
                check = check + positions.numpy()[position_ids.numpy()]
        assert np.array_equal(check.view(np.uint32), output.numpy().view(np.uint32)), name

        record = {
            "name": name,
            "ids": save(f"{name}-ids", ids.numpy().astype(id_type)),
            "tokens": save(f"tokens-{tokens_name}", tokens.numpy()),
            "expected": save(f"{name}-expected", output.numpy()),
            "batch": batch,
            "context": context,
            "dim": dim,
            "vocabulary": vocabulary,
        }
        if positions is not None:
            record["positions"] = save(f"positions-{positions_name}", positions.numpy())
            record["maximumContext"] = positions.shape[0]
        if scale is not None:
            record["scale"] = scale
        if padding_id is not None:
            record["paddingID"] = padding_id
        self.records.append(record | fields)


def positions_from_mask(mask: torch.Tensor) -> torch.Tensor:
    """Tokens before each token; 0 for padding: the `position_ids` of generation in Hugging Face
    transformers 5.24. Older versions place padding at 1; attention ignores those places."""
    positions = mask.cumsum(dim=1) - 1
    return positions.masked_fill(mask == 0, 0)


def positions_from_lengths(cumulative: list[int], shape: torch.Size) -> torch.Tensor:
    """Positions that restart at each document: the `position_ids` of Hugging Face transformers'
    `DataCollatorWithFlattening`."""
    documents = [torch.arange(end - start) for start, end in zip(cumulative, cumulative[1:])]
    return torch.cat(documents).reshape(shape)


def forward_cases() -> list[dict]:
    cases = Cases()

    # The seed's shapes, [8, 4] ids to [8, 4, 256].
    tokens, positions = cases.table("seed", 40, 256), cases.table("seed-positions", 4, 256)
    cases.add("seed", cases.ids(8, 4, 40), tokens, "seed", positions, "seed")

    # Widths below, at and past a vector, odd ones included.
    for dim, vocabulary, maximum, batch, context in [
        (1, 101, 16, 3, 5),
        (7, 101, 16, 3, 5),
        (16, 101, 16, 2, 16),
        (64, 101, 16, 2, 3),
        (257, 23, 6, 2, 3),
    ]:
        tokens = cases.table(f"{dim}", vocabulary, dim)
        positions = cases.table(f"{dim}-positions", maximum, dim)
        ids = cases.ids(batch, context, vocabulary)
        # The first and the last row are picked in every case.
        ids[0, 0], ids[-1, -1] = 0, vocabulary - 1
        table = (tokens, f"{dim}", positions, f"{dim}")
        cases.add(f"learned-{dim}", ids, *table, id_type=np.int32)
        cases.add(f"none-{dim}", ids, *table[:2])
        cases.add(f"scaled-{dim}", ids, *table, scale=math.sqrt(dim))
    tokens, positions = cases.table("16", 101, 16), cases.table("16-positions", 16, 16)
    table = (tokens, "16", positions, "16")
    cases.add("scaled-none", cases.ids(2, 3, 101), *table[:2], scale=math.sqrt(3))

    # One sample, one token, nothing.
    cases.add("one-token", cases.ids(1, 1, 101), *table)
    cases.add("one-sample", cases.ids(1, 16, 101), *table)
    cases.add("empty-batch", cases.ids(0, 4, 101), *table)
    cases.add("empty-context", cases.ids(2, 0, 101), *table)
    cases.add("repeated", torch.full((2, 5), 100), *table, id_type=np.int32)

    # Decoding with a cache: one new token a sequence, or several.
    for context, offset in [(1, 0), (1, 15), (4, 12), (5, 3)]:
        cases.add(
            f"offset-{offset}-{context}", cases.ids(3, context, 101), *table,
            position_ids=torch.arange(offset, offset + context), offset=offset)

    # Explicit positions: out of order, repeated, both ends.
    position_ids = cases.ids(3, 6, 16)
    position_ids[0, 0], position_ids[1, 2], position_ids[2, 5] = 15, 0, 15
    cases.add(
        "position-ids", cases.ids(3, 6, 101), *table, position_ids=position_ids,
        positionIDs=position_ids.flatten().tolist())

    # Packed documents, single tokens among them; with two rows no document spans both.
    for batch, context, cumulative in [
        (1, 16, [0, 16]),
        (1, 12, [0, 5, 6, 7, 12]),
        (2, 8, [0, 3, 8, 9, 16]),
    ]:
        ids = cases.ids(batch, context, 101)
        cases.add(
            f"packed-{batch}-{len(cumulative) - 1}", ids, *table,
            position_ids=positions_from_lengths(cumulative, ids.shape),
            cumulativeLengths=cumulative)

    # Left padding: none, some, all but one token, padding alone.
    mask = torch.tensor(
        [[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], dtype=torch.int64)
    ids = cases.ids(4, 5, 101)
    cases.add(
        "left-padding", ids, *table, position_ids=positions_from_mask(mask),
        mask=mask.flatten().tolist())

    # A padding token: its row is zero, as nn.Embedding makes it.
    padding_id = 2
    padded = nn.Embedding(101, 16, padding_idx=padding_id).weight.detach().clone()
    padded = torch.where(padded == 0, padded, tokens)
    assert (padded[padding_id] == 0).all() and (padded[3] == tokens[3]).all()
    ids = ids.masked_fill(mask == 0, padding_id)
    cases.add("padding-id", ids, padded, "padded", *table[2:], padding_id=padding_id)
    cases.add(
        "padding-id-left", ids, padded, "padded", *table[2:], padding_id=padding_id,
        position_ids=positions_from_mask(mask), mask=mask.flatten().tolist(), scale=4.0)

    # Signed zeros, subnormals, and sums that round to a subnormal, zero or infinity.
    extremes = torch.tensor(
        [0.0, -0.0, 1e-45, -1e-45, 1.1754942e-38, 1.1754944e-38, 3.4028235e38, -3.4028235e38])
    tokens = extremes.repeat(8, 1)
    positions = extremes.reshape(8, 1).repeat(1, 8)
    ids = torch.arange(8).reshape(1, 8)
    cases.add("extremes", ids, tokens, "extremes", positions, "extremes")
    return cases.records


def sinusoid(position: int, column: int, dim: int, layout: str, exponents: str) -> np.float32:
    """The table's entry, computed to 60 digits and rounded once."""
    half = dim // 2
    if layout == "interleaved":
        pair, is_cosine = divmod(column, 2)
    else:
        is_cosine, pair = divmod(column, half)
    with mpmath.workdps(60):
        exponent = mpmath.mpf(2 * pair) / dim
        if exponents == "endpoints":
            exponent = mpmath.mpf(pair) / (half - 1)
        angle = position * mpmath.mpf(10_000) ** -exponent
        value = mpmath.cos(angle) if is_cosine else mpmath.sin(angle)
        # Nearest fp32 by its definition: no double rounding by way of fp64.
        near = np.float32(float(value))
        candidates = [np.nextafter(near, np.float32(s)) for s in (-2, 2)] + [near]
        return min(candidates, key=lambda c: abs(mpmath.mpf(float(c)) - value))


def float64_table(positions, dim: int, layout: str, exponents: str) -> np.ndarray:
    """The same table as double arithmetic gives it."""
    columns = np.arange(dim)
    pair = columns // 2 if layout == "interleaved" else columns % (dim // 2)
    cosine = columns % 2 == 1 if layout == "interleaved" else columns >= dim // 2
    exponent = pair / (dim // 2 - 1) if exponents == "endpoints" else 2 * pair / dim
    angles = np.array(positions, dtype=np.float64)[:, None] * 10_000.0**-exponent
    return np.where(cosine, np.cos(angles), np.sin(angles)).astype(np.float32)


def sinusoidal_tables() -> list[dict]:
    """`exponents` is "pairs" for 2i/dim (Vaswani et al. 2017), "endpoints" for i/(dim/2 - 1), whose
    last wavelength is exactly 10000 (tensor2tensor, fairseq)."""
    positions = list(range(12)) + [100, 511, 1_023, 4_095, 65_537, 131_071, 524_288, 999_999, 1_000_000]
    records = []
    for layout, exponents, dim in [
        ("interleaved", "pairs", 8),
        ("interleaved", "pairs", 64),
        ("interleaved", "pairs", 7),
        ("concatenated", "pairs", 8),
        ("concatenated", "pairs", 64),
        ("concatenated", "endpoints", 8),
        ("concatenated", "endpoints", 64),
    ]:
        name = f"sinusoidal-{layout}-{exponents}-{dim}"
        table = np.array(
            [[sinusoid(p, c, dim, layout, exponents) for c in range(dim)] for p in positions],
            dtype=np.float32)
        double = float64_table(positions, dim, layout, exponents)
        error = np.abs(double.astype(np.float64) - table.astype(np.float64))
        # An angle of up to a million radians in fp64 is 1e-10 off, far below half an fp32 ulp at 1.
        assert error.max() <= 2.0**-24, (name, error.max())
        records.append({
            "name": name,
            "layout": layout,
            "exponents": exponents,
            "base": 10_000,
            "dim": dim,
            "positionIDs": positions,
            "table": save(name, table),
            "differingInFloat64": int((double != table).sum()),
        })
    return records


def philox(counter: list[int], key: list[int], bits: int, rounds: int = 10) -> list[int]:
    """Philox with four words of 32 or 64 bits, from the paper's description (Salmon et al. 2011)."""
    multipliers, weyl = {
        32: ((0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)),
        64: ((0xD2E7470EE14C6C93, 0xCA5A826395121157), (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)),
    }[bits]
    mask = (1 << bits) - 1
    c, k = list(counter), list(key)
    for _ in range(rounds):
        first, second = multipliers[0] * c[0], multipliers[1] * c[2]
        c = [
            (second >> bits) ^ c[1] ^ k[0], second & mask,
            (first >> bits) ^ c[3] ^ k[1], first & mask,
        ]
        k = [(word + step) & mask for word, step in zip(k, weyl)]
    return c


def philox_vectors() -> list[dict]:
    # The known answers of Random123 (its file kat_vectors, lines "philox4x32 10").
    published = [
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ]
    words = lambda text: [int(word, 16) for word in text.split()]
    records = []
    for counter, key, expected in published:
        counter, key, expected = words(counter), words(key), words(expected)
        assert philox(counter, key, bits=32) == expected
        records.append({"source": "published", "counter": counter, "key": key, "expected": expected})

    # The same function at 64 bits against NumPy's generator, which counts up before each block.
    generator = np.random.Generator(np.random.PCG64(SEED))
    for _ in range(16):
        counter, key = generator.integers(1 << 63, size=4), generator.integers(1 << 63, size=2)
        stream = np.random.Philox(counter=counter.astype(np.uint64), key=key.astype(np.uint64))
        counter = [int(word) for word in counter]
        counter[0] += 1
        blocks = philox(counter, [int(word) for word in key], bits=64)
        assert blocks == [int(word) for word in stream.random_raw(4)]

    for _ in range(16):
        counter = [int(word) for word in generator.integers(1 << 32, size=4)]
        key = [int(word) for word in generator.integers(1 << 32, size=2)]
        expected = philox(counter, key, bits=32)
        records.append({"source": "computed", "counter": counter, "key": key, "expected": expected})
    return records


def main() -> None:
    FIXTURES.mkdir(parents=True, exist_ok=True)
    for old in FIXTURES.iterdir():
        old.unlink()
    for name, key, records in [
        ("cases", "cases", forward_cases()),
        ("sinusoidal", "tables", sinusoidal_tables()),
        ("philox", "vectors", philox_vectors()),
    ]:
        # A record a line, so that a change shows as one.
        lines = ",\n".join("  " + json.dumps(record) for record in records)
        text = f'{{\n "madeBy": {json.dumps(MADE_BY)},\n "{key}": [\n{lines}\n ]\n}}\n'
        assert json.loads(text)[key] == records
        (FIXTURES / f"{name}.json").write_text(text)
        print(f"{name}: {len(records)}")
    files = list(FIXTURES.iterdir())
    print(f"{len(files)} files, {sum(file.stat().st_size for file in files)} bytes in {FIXTURES}")


if __name__ == "__main__":
    main()
