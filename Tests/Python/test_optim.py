"""Steps against plain NumPy in float64, by rows, dense and by the output's gradient."""

import pickle

import embedkernel as ek
import hypothesis.strategies as st
import numpy as np
import pytest
import reference
from hypothesis import given
from reference import BFLOAT16, table_of

ADAM = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}


class Reference:
    """A table of float64, and each rule's step on the rows given."""

    def __init__(self, table, rule, rate, decay=0.0):
        self.table, self.rule, self.rate, self.decay = table.astype(np.float64), rule, rate, decay
        self.first, self.second, self.steps = np.zeros_like(self.table), np.zeros_like(self.table), 0
        self.sums = np.zeros(len(table))

    def step(self, gradient, rows):
        self.steps += 1
        table, g = self.table, gradient
        if self.rule == "sgd":
            table[rows] -= self.rate * (g[rows] + self.decay * table[rows])
        elif self.rule == "momentum":
            self.first[rows] = 0.9 * self.first[rows] + g[rows]
            table[rows] -= self.rate * self.first[rows]
        elif self.rule == "adagrad":
            self.first[rows] += g[rows] ** 2
            table[rows] -= self.rate * g[rows] / (np.sqrt(self.first[rows]) + 1e-10)
        elif self.rule == "row-wise-adagrad":
            self.sums[rows] += (g[rows] ** 2).mean(1)
            table[rows] -= self.rate * g[rows] / (np.sqrt(self.sums[rows]) + 1e-8)[:, None]
        else:
            table[rows] *= 1 - self.rate * self.decay
            self.first[rows] = 0.9 * self.first[rows] + 0.1 * g[rows]
            self.second[rows] = 0.999 * self.second[rows] + 0.001 * g[rows] ** 2
            first = self.first[rows] / (1 - 0.9**self.steps)
            second = self.second[rows] / (1 - 0.999**self.steps)
            table[rows] -= self.rate * first / (np.sqrt(second) + 1e-8)


RULES = {
    "sgd": (ek.optim.SGD, {}),
    "momentum": (ek.optim.Momentum, {"untouched": "stepped"}),
    "adagrad": (ek.optim.Adagrad, {"epsilon": 1e-10}),
    "row-wise-adagrad": (ek.optim.RowWiseAdagrad, {"epsilon": 1e-8}),
    "adamw dense": (ek.optim.AdamW, {**ADAM, "weight_decay": 0.01, "untouched": "stepped"}),
    "adamw lazy": (ek.optim.AdamW, {**ADAM, "weight_decay": 0.01, "untouched": "left"}),
    "adam": (ek.optim.Adam, {**ADAM, "untouched": "stepped"}),
    "sparse-adam": (ek.optim.SparseAdam, ADAM),
}


@given(st.sampled_from(sorted(RULES)), st.sampled_from(["rows", "listed", "output", "dense"]), st.integers(0, 20))
def test_rules(name, way, seed):
    make, options = RULES[name]
    if way == "dense" and name in ("adamw lazy", "sparse-adam"):
        return
    rng = np.random.default_rng(seed)
    rows, dim = int(rng.integers(1, 20)), int(rng.integers(1, 40))
    table = table_of(rng, rows, dim)
    expected = Reference(table, name.split()[0], 0.05, options.get("weight_decay", 0.0))
    optimizer = make(table, 0.05, **options)
    for _ in range(4):
        ids = rng.integers(0, rows, (2, 3))
        gradient = rng.standard_normal((2, 3, dim)).astype(np.float32)
        dense = reference.dense_backward(gradient, ids, rows)
        if way == "rows":
            optimizer.step(ek.backward(gradient, ids, rows).tokens)
        elif way == "listed":
            optimizer.step_rows(ids.reshape(-1), gradient.reshape(-1, dim))
        elif way == "output":
            optimizer.step(gradient, ids)
        else:
            optimizer.step(dense.astype(np.float32))
        everywhere = way == "dense" or options.get("untouched") == "stepped"
        expected.step(dense, np.arange(rows) if everywhere else np.unique(ids))
    assert optimizer.steps == 4
    # Adam divides by the root of squares that may nearly cancel: their rounding is the gradient sum's.
    assert np.allclose(table, expected.table, rtol=1e-4, atol=1e-4)


def test_caught_up_equals_dense(rng):
    start = table_of(rng, 30, 16)
    dense_table, lazy_table = start.copy(), ek.Table(start.copy())
    options = {"learning_rate": 0.01, "weight_decay": 0.1}
    dense = ek.optim.AdamW(dense_table, untouched="stepped", **options)
    lazy = ek.optim.AdamW(lazy_table, untouched="caught-up", **options)
    for step in range(25):
        dense.learning_rate = lazy.learning_rate = 0.01 / (1 + step)
        ids = rng.integers(0, 30, 4)
        gradient = table_of(rng, 4, 16)
        dense.step(gradient, ids)
        lazy.step(gradient, ids)
        asked = rng.integers(0, 30, 3)
        assert np.allclose(lazy_table.embed(asked), dense_table[asked], atol=1e-6)
    assert np.allclose(lazy_table.numpy(), dense_table, atol=1e-6)
    assert np.allclose(np.asarray(lazy_table), dense_table, atol=1e-6)


def test_caught_up_needs_a_table(rng):
    with pytest.raises(TypeError, match="stale"):
        ek.optim.AdamW(table_of(rng, 3, 4), untouched="caught-up")
    with pytest.raises(ValueError):
        ek.optim.SGD(ek.Table(table_of(rng, 3, 4)), untouched="caught-up")


@pytest.mark.parametrize("name", sorted(RULES))
def test_state_goes_on(name, rng):
    make, options = RULES[name]
    table = table_of(rng, 12, 8)
    steps = [(rng.integers(0, 12, 5), table_of(rng, 5, 8)) for _ in range(6)]
    whole = make(table.copy(), 0.05, **options)
    for ids, gradient in steps:
        whole.step(gradient, ids)
    first = make(table, 0.05, **options)
    for ids, gradient in steps[:3]:
        first.step(gradient, ids)
    second = make(table, 1.0, **options)
    second.load_state_dict(first.state_dict())
    pickled = pickle.loads(pickle.dumps(first))
    for ids, gradient in steps[3:]:
        second.step(gradient, ids)
        pickled.step(gradient, ids)
    assert second.steps == 6 and second.learning_rate == 0.05
    assert np.array_equal(table, whole.table.numpy())
    assert np.array_equal(pickled.table.numpy(), table)


def test_bfloat16(rng):
    table = table_of(rng, 12, 8, BFLOAT16)
    optimizer = ek.optim.AdamW(table, 0.05, untouched="left")
    expected = Reference(table, "adamw", 0.05, 0.01)
    for _ in range(5):
        ids, gradient = rng.integers(0, 12, 4), table_of(rng, 4, 8)
        optimizer.step(gradient, ids)
        expected.step(reference.dense_backward(gradient, ids, 12), np.unique(ids))
    assert np.allclose(table.astype(np.float32), expected.table, rtol=1e-2, atol=2e-2)


@pytest.mark.parametrize("dtype", reference.FLOATS[1:])
@pytest.mark.parametrize("name", sorted(RULES))
def test_tables_of_sixteen_bits_are_their_masters_rounded(name, dtype, rng):
    make, options = RULES[name]
    table = table_of(rng, 12, 8, dtype)
    floats = table.astype(np.float32)
    narrow, wide = make(table, 0.05, **options), make(floats, 0.05, **options)
    for _ in range(5):
        ids, gradient = rng.integers(0, 12, 4), table_of(rng, 4, 8)
        narrow.step(gradient, ids)
        wide.step(gradient, ids)
        # To nearest even, as NumPy rounds.
        assert np.array_equal(table, floats.astype(dtype))


def test_past_the_largest_float16(rng):
    table = np.full((2, 3), 65_000, np.float16)
    optimizer = ek.optim.SGD(table, 1.0)
    optimizer.step(np.full((2, 3), -1_000, np.float32))
    assert np.isinf(table).all()
    # The masters keep what the table has no room for.
    optimizer.step(np.full((2, 3), 2_000, np.float32))
    assert np.array_equal(table, np.full((2, 3), 64_000, np.float16))


@pytest.mark.parametrize("name", ["adamw dense", "adamw lazy", "adam", "sparse-adam"])
def test_moments_of_bfloat16(name, rng):
    """Held to the bound that the documentation states, of 60 steps with gradients of one sign."""
    make, options = RULES[name]
    table = table_of(rng, 6, 32)
    expected = Reference(table, name.split()[0], 0.01, options.get("weight_decay", 0.0))
    optimizer = make(table, 0.01, moment_dtype="bfloat16", **options)
    again = make(expected.table.astype(np.float32), 0.01, moment_dtype="bfloat16", **options)
    ids = np.arange(6)
    for _ in range(60):
        gradient = (1 + 0.2 * rng.random((6, 32))).astype(np.float32)
        optimizer.step(gradient, ids)
        again.step(gradient, ids)
        expected.step(gradient.astype(np.float64), ids)
    # Rounding is a function of the steps alone.
    assert np.array_equal(table, again.table.numpy())
    # A step's length is off by the first moment's deviation and half of the second's: each rounding has a
    # standard deviation of at most 2^-8 of the moment, and the second keeps that of all steps so far. Errors of
    # a step last: the first's 1 / (1 - beta1) steps, the second's all of them.
    deviation = np.sqrt(sum((2**-8 * min(10, 60 - k)) ** 2 + (2**-9 * (60 - k)) ** 2 for k in range(60)))
    error = np.abs(table - expected.table) / 0.01
    assert error.max() < 6 * deviation
    assert abs((table - expected.table).mean()) / 0.01 < 6 * deviation / np.sqrt(table.size)
    assert not np.array_equal(table, expected.table.astype(np.float32))


def test_moment_types(rng):
    state = ek.optim.AdamW(table_of(rng, 6, 8), moment_dtype="bfloat16").state_dict()
    arrays = [value for value in state.values() if isinstance(value, np.ndarray) and value.shape == (6, 8)]
    assert len(arrays) == 2 and all(array.dtype == BFLOAT16 for array in arrays)
    for dtype, word in (("float16", "f16"), ("float64", "moment_dtype"), ("", "moment_dtype")):
        with pytest.raises(ValueError, match=word):
            ek.optim.AdamW(table_of(rng, 6, 8), moment_dtype=dtype)
    with pytest.raises(TypeError, match="moment_dtype"):
        ek.optim.SGD(table_of(rng, 6, 8), moment_dtype="bfloat16")


def test_frozen_row_and_scale(rng):
    table = table_of(rng, 5, 4)
    before = table.copy()
    ids, gradient = np.array([0, 1]), table_of(rng, 2, 4)
    ek.optim.SGD(table, 1.0, frozen_row=0).step(gradient, ids, scale=0.5)
    assert np.array_equal(table[0], before[0])
    assert np.allclose(table[1], before[1] - 0.5 * gradient[1], atol=1e-6)


def test_refusals(rng):
    table = table_of(rng, 5, 4)
    optimizer = ek.optim.SGD(table, 0.1)
    before = table.copy()
    gradient = table_of(rng, 2, 4)
    with pytest.raises(ek.OutOfRangeError):
        optimizer.step(gradient, [1, 5])
    with pytest.raises(ValueError, match="gradient has shape"):
        optimizer.step(gradient, [1, 2, 3])
    with pytest.raises(ValueError, match="gradient has shape"):
        optimizer.step(gradient)
    with pytest.raises(ValueError, match="of a table"):
        optimizer.step(ek.RowGradient(np.array([1]), gradient[:1], (6, 4)))
    with pytest.raises(ValueError):
        optimizer.load_state_dict({"exp_avg": before})
    assert np.array_equal(table, before)
    table.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        ek.optim.SGD(table)
    with pytest.raises(TypeError):
        ek.optim.SGD(before.astype(np.float64))
    with pytest.raises(TypeError):
        ek.optim.Optimizer(before, 0.1)
    for options in ({"learning_rate": -1.0}, {"learning_rate": float("nan")}, {"untouched": "maybe"}):
        with pytest.raises(ValueError):
            ek.optim.SGD(before, **options)


def test_the_table_lives_as_long_as_its_optimizer(rng):
    optimizer = ek.optim.SGD(table_of(rng, 1000, 512), 0.1)
    optimizer.step(np.ones((1, 512), np.float32), [3])
    view = optimizer.table.numpy()
    del optimizer
    assert np.isfinite(view).all() and view.shape == (1000, 512)
