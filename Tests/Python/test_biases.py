"""Biases against their formulas."""

import pickle

import embedkernel as ek
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from reference import FLOATS


def t5_buckets(distance, buckets, maximum, bidirectional):
    """key - query to bucket, as the paper has it."""
    result = np.zeros_like(distance)
    if bidirectional:
        buckets //= 2
        result += (distance > 0) * buckets
        distance = np.abs(distance)
    else:
        distance = np.maximum(-distance, 0)
    exact = buckets // 2
    large = exact + (
        np.log(np.maximum(distance, 1) / exact) / np.log(maximum / exact) * (buckets - exact)
    ).astype(np.int64)
    return result + np.where(distance < exact, distance, np.minimum(large, buckets - 1))


@given(st.sampled_from([1, 2, 4, 8, 16]), st.sampled_from(FLOATS), st.booleans(), st.integers(0, 20))
def test_alibi(heads, dtype, causal, seed):
    rng = np.random.default_rng(seed)
    queries, keys, offset = (int(size) for size in rng.integers(1, 9, 3))
    offset += keys
    logits = rng.standard_normal((2, heads, queries, keys)).astype(np.float32).astype(dtype)
    slopes = 2.0 ** (-8 * np.arange(1, heads + 1) / heads)
    distance = offset + np.arange(queries)[:, None] - np.arange(keys)
    expected = logits.astype(np.float64) - slopes[:, None, None] * distance
    result = ek.ALiBi(heads).add(logits, query_offset=offset, causal=causal)
    assert result is logits
    tolerance = {2: 4e-2, 4: 1e-5}[dtype.itemsize]
    assert np.allclose(result.astype(np.float64), expected, rtol=tolerance, atol=tolerance)


def test_causal_and_masks():
    bias = ek.ALiBi(2, symmetric=True)
    written = bias.write(5, causal=True)
    assert np.array_equal(np.isinf(written[0, 0]), np.triu(np.ones((5, 5), bool), 1))
    masked = bias.write(3, key_mask=np.array([[1, 0, 1]]))
    assert np.array_equal(np.isinf(masked[0, 1]), np.array([[0, 1, 0]] * 3, bool))
    packed = bias.write(4, cumulative_lengths=[0, 1, 4])
    same = np.equal.outer([0, 1, 1, 1], [0, 1, 1, 1])
    assert np.array_equal(np.isinf(packed[0, 0]), ~same)
    out = np.empty((1, 2, 3, 4), np.float32)
    assert bias.write(3, 4, out=out) is out


@given(st.booleans(), st.sampled_from([4, 8, 32]), st.integers(0, 20))
def test_t5(bidirectional, buckets, seed):
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((buckets, 3)).astype(np.float32)
    bias = ek.T5Bias(weights, maximum_distance=20, bidirectional=bidirectional)
    queries, keys = (int(size) for size in rng.integers(1, 50, 2))
    distance = np.arange(keys) - np.arange(queries)[:, None]
    which = t5_buckets(distance, buckets, 20, bidirectional)
    assert np.allclose(bias.write(queries, keys)[0], weights[which].transpose(2, 0, 1), atol=1e-6)
    gradient = rng.standard_normal((2, 3, queries, keys)).astype(np.float32)
    expected = np.zeros((buckets, 3))
    np.add.at(expected, which, gradient.astype(np.float64).sum(0).transpose(1, 2, 0))
    assert np.allclose(bias.backward(gradient), expected, rtol=1e-4, atol=1e-4)
    bias.weights = weights * 2
    assert np.allclose(bias.write(queries, keys)[0], 2 * weights[which].transpose(2, 0, 1), atol=1e-6)


def test_pickled():
    weights = np.random.default_rng(0).standard_normal((8, 2)).astype(np.float32)
    for bias in (ek.ALiBi(4, slopes=[0.1, 0.2, 0.3, 0.4]), ek.T5Bias(weights, bidirectional=False)):
        again = pickle.loads(pickle.dumps(bias))
        assert np.array_equal(again.write(6), bias.write(6)) and repr(again) == repr(bias)


def test_refusals():
    logits = np.zeros((1, 2, 3, 3), np.float32)
    with pytest.raises(ValueError):
        ek.ALiBi(0)
    with pytest.raises(ValueError, match="slopes has 1"):
        ek.ALiBi(2, slopes=[1.0])
    with pytest.raises(ValueError):
        ek.ALiBi(3).add(logits)
    with pytest.raises(ValueError, match="logits has shape"):
        ek.ALiBi(2).add(logits[0].copy())
    with pytest.raises(ValueError):
        ek.T5Bias(np.zeros(4, np.float32))
    bias = ek.T5Bias(np.zeros((8, 2), np.float32))
    with pytest.raises(ValueError):
        bias.weights = np.zeros((7, 2), np.float32)
    logits.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        ek.ALiBi(2).add(logits)


# Schemes with parameters


def distances(queries, keys, offset):
    return offset + np.arange(queries)[:, None] - np.arange(keys)


def kerple(weights, kernel, n):
    p, a = (np.maximum(0.01, row.astype(np.float64))[:, None, None] for row in weights)
    if kernel == "power":
        return -a * np.abs(n) ** np.minimum(2, p)
    return -p * np.log1p(a * np.abs(n))


def fire(weights, heads, width, threshold, epsilon, queries, n):
    weights = weights.astype(np.float64)
    w1, b1, rest = weights[:width], weights[width : 2 * width], weights[2 * width :]
    w2, b2 = rest[: heads * width].reshape(heads, width), rest[heads * width : -2]
    c, limit = abs(weights[-2]), abs(weights[-1] * threshold)
    x = np.log1p(c * np.maximum(0, n)) / (np.log1p(c * np.maximum(queries, limit))[:, None] + epsilon)
    hidden = np.maximum(0, w1 * x[..., None] + b1)
    return np.einsum("hw,qkw->hqk", w2, hidden) + b2[:, None, None]


def swin(weights, rows, columns):
    row, column = np.divmod(np.arange(rows * columns), columns)
    place = (row[:, None] - row + rows - 1) * (2 * columns - 1) + column[:, None] - column + columns - 1
    return weights.astype(np.float64)[place].transpose(2, 0, 1)


@given(st.sampled_from(["logarithmic", "power"]), st.integers(1, 5), st.booleans(), st.integers(0, 20))
def test_kerple(kernel, heads, causal, seed):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.1, 1.5, (2, heads)).astype(np.float32)
    bias = ek.KERPLE(weights, kernel=kernel)
    written = bias.write(6, 9, query_offset=3)
    assert np.allclose(written[0], kerple(weights, kernel, distances(6, 9, 3)), rtol=1e-5, atol=1e-5)
    check_training(bias, rng, lambda weights: kerple(weights, kernel, distances(5, 5, 0)), causal)


@given(st.integers(1, 4), st.integers(1, 9), st.integers(0, 20))
def test_fire(heads, width, seed):
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal(2 * width + heads * width + heads + 2).astype(np.float32)
    bias = ek.FIRE(weights, heads, width=width, initial_threshold=4.0, epsilon=0.1)
    n = distances(6, 9, 3)
    expected = fire(weights, heads, width, 4.0, 0.1, 3 + np.arange(6), n)
    assert np.allclose(bias.write(6, 9, query_offset=3)[0], expected, rtol=1e-4, atol=1e-4)
    check_training(
        bias, rng, lambda weights: fire(weights, heads, width, 4.0, 0.1, np.arange(5), distances(5, 5, 0)), True)


def test_sandwich():
    n = distances(6, 9, 3)
    frequencies = 100.0 ** (-2 * np.arange(1, 5) / 8)
    cosines = (np.cos(n[..., None] * frequencies) - 1).sum(-1)
    expected = cosines * 3 / (8 * np.arange(1, 4))[:, None, None]
    bias = ek.Sandwich(3, dim=8, base=100.0)
    assert np.allclose(bias.write(6, 9, query_offset=3)[0], expected, atol=1e-5)
    again = pickle.loads(pickle.dumps(bias))
    assert repr(again) == repr(bias) and np.array_equal(again.write(4), bias.write(4))


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 20))
def test_swin(rows, columns, heads, seed):
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal(((2 * rows - 1) * (2 * columns - 1), heads)).astype(np.float32)
    bias = ek.SwinBias(weights, rows, columns)
    assert np.allclose(bias.write(rows * columns)[0], swin(weights, rows, columns), atol=1e-6)
    check_training(bias, rng, lambda weights: swin(weights, rows, columns), False)


def check_training(bias, rng, formula, causal):
    """The gradient against differences of the formula, and that new weights are taken and kept."""
    weights = bias.weights
    values = formula(weights)
    upstream = rng.standard_normal((2, *values.shape)).astype(np.float32)
    seen = np.tril(np.ones(values.shape[1:])) if causal else np.ones(values.shape[1:])
    found = bias.backward(upstream, causal=causal)
    assert found.shape == weights.shape
    summed = (upstream.astype(np.float64).sum(0) * seen)

    def loss(weights):
        return (formula(weights) * summed).sum()

    flat = weights.reshape(-1).astype(np.float64)
    for i in rng.choice(flat.size, min(4, flat.size), replace=False):
        step = 1e-5
        high, low = flat.copy(), flat.copy()
        high[i] += step
        low[i] -= step
        difference = (loss(high.reshape(weights.shape)) - loss(low.reshape(weights.shape))) / (2 * step)
        # A kink of the formula may lie between the two.
        second = (loss(high.reshape(weights.shape)) - 2 * loss(weights.astype(np.float64)) +
                  loss(low.reshape(weights.shape))) / step
        if abs(second) < 1e-2:
            assert found.reshape(-1)[i] == pytest.approx(difference, rel=2e-3, abs=2e-3)
    doubled = bias.backward(upstream, out=found.copy(), causal=causal)
    assert np.allclose(doubled, 2 * found, rtol=1e-4, atol=1e-4)
    size = values.shape[-1]
    bias.weights = weights * np.float32(1.25)
    assert np.allclose(bias.write(size)[0], formula(weights * np.float32(1.25)), rtol=1e-4, atol=1e-4)
    again = pickle.loads(pickle.dumps(bias))
    assert repr(again) == repr(bias) and np.array_equal(again.write(size), bias.write(size))


def test_schemes_that_are_refused():
    for wrong in (
        lambda: ek.KERPLE(np.ones((3, 2), np.float32)),
        lambda: ek.KERPLE(np.ones((2, 2), np.float32), kernel="cubic"),
        lambda: ek.FIRE(np.ones(3, np.float32), 2, width=4),
        lambda: ek.FIRE(np.ones(2 * 4 + 2 * 4 + 2 + 2, np.float32), 2, width=4, initial_threshold=0.0),
        lambda: ek.FIRE(np.full(2 * 4 + 2 * 4 + 2 + 2, np.nan, np.float32), 2, width=4),
        lambda: ek.FIRE(np.ones(0, np.float32), 0, width=4),
        lambda: ek.Sandwich(0),
        lambda: ek.Sandwich(2, dim=7),
        lambda: ek.Sandwich(2, base=-1.0),
        lambda: ek.SwinBias(np.ones((9, 2), np.float32), 2, 3),
        lambda: ek.SwinBias(np.ones((9, 2), np.float32), 0, 2),
    ):
        with pytest.raises(ValueError):
            wrong()
    with pytest.raises(TypeError):
        ek.KERPLE(np.ones((2, 2)))
    # Weights that are refused leave the old ones.
    bias = ek.FIRE(np.ones(2 * 4 + 2 * 4 + 2 + 2, np.float32), 2, width=4)
    before = bias.write(3)
    with pytest.raises(ValueError, match="finite"):
        bias.weights = np.full_like(bias.weights, np.inf)
    assert np.array_equal(bias.write(3), before)
    with pytest.raises(ValueError, match="head"):
        bias.write(3, out=np.empty((1, 3, 3, 3), np.float32))
    with pytest.raises(ValueError, match="weights|unsupported|parameters"):
        ek._core.bias_backward(
            ek.ALiBi(2)._handle, np.ones((1, 2, 3, 3), np.float32), np.ones((2, 2), np.float32))
