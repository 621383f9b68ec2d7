"""ALiBi and T5's buckets against their formulas."""

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
