"""Gradients of tables, and what is done with them."""

import pickle

import embedkernel as ek
import hypothesis.strategies as st
import numpy as np
import pytest
import reference
from hypothesis import given
from reference import FLOATS, batches, table_of


@given(batches(), st.booleans(), st.booleans(), st.booleans(), st.sampled_from(["chunked", "pairwise", "compensated"]))
def test_tokens(sizes, sparse, with_padding, by_frequency, summation):
    vocabulary, dim, ids, rng = sizes
    gradient = rng.standard_normal((*ids.shape, dim)).astype(np.float32)
    padding = int(ids.reshape(-1)[0]) if with_padding else None
    found = ek.backward(
        gradient, ids, vocabulary, sparse=sparse, padding_id=padding, scale_by_frequency=by_frequency,
        summation=summation, scale=2.0, gradient_scale=0.5,
    )
    expected = reference.dense_backward(gradient, ids, vocabulary, padding_id=padding, by_frequency=by_frequency)
    assert found.positions is None
    if sparse:
        touched = np.unique(ids[ids != padding] if with_padding else ids)
        assert set(touched) <= set(found.tokens.rows) <= set(np.unique(ids))
        assert np.all(np.diff(found.tokens.rows) > 0) and found.tokens.shape == (vocabulary, dim)
    dense = found.tokens.dense() if sparse else found.tokens
    assert dense.shape == (vocabulary, dim)
    assert np.allclose(dense, expected, rtol=1e-5, atol=1e-5)


@given(batches(), st.booleans())
def test_positions(sizes, sparse):
    vocabulary, dim, ids, rng = sizes
    context = ids.shape[-1]
    gradient = rng.standard_normal((*ids.shape, dim)).astype(np.float32)
    found = ek.backward(gradient, ids, vocabulary, sparse=sparse, maximum=context + 3, offset=2)
    expected = np.zeros((context + 3, dim))
    expected[2 : 2 + context] = gradient.reshape(-1, context, dim).astype(np.float64).sum(0)
    assert np.allclose(found.positions, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", FLOATS[1:])
@pytest.mark.parametrize("sparse", [False, True])
def test_gradients_of_16_bits_are_widened(dtype, sparse, rng):
    ids = rng.integers(0, 9, (3, 4))
    gradient = rng.standard_normal((3, 4, 5)).astype(np.float32).astype(dtype)
    found = ek.backward(gradient, ids, 9, sparse=sparse, maximum=4)
    expected = ek.backward(gradient.astype(np.float32), ids, 9, sparse=sparse, maximum=4)
    if sparse:
        assert np.array_equal(found.tokens.rows, expected.tokens.rows)
        assert np.array_equal(found.tokens.values, expected.tokens.values)
    else:
        assert np.array_equal(found.tokens, expected.tokens)
    assert np.array_equal(found.positions, expected.positions) and found.positions.dtype == np.float32
    empty = ek.backward(gradient[:0], ids[:0], 9, sparse=False)
    assert not empty.tokens.any()
    with pytest.raises(TypeError, match="float64"):
        ek.backward(gradient.astype(np.float64), ids, 9)


def test_into_arrays(rng):
    ids, gradient = rng.integers(0, 9, (3, 4)), table_of(rng, 12, 5).reshape(3, 4, 5)
    fresh = ek.backward(gradient, ids, 9, sparse=False, maximum=4)
    tokens, positions = np.ones((9, 5), np.float32), np.ones((4, 5), np.float32)
    found = ek.backward(gradient, ids, 9, token_out=tokens, position_out=positions)
    assert found.tokens is tokens and found.positions is positions
    assert np.array_equal(tokens, fresh.tokens) and np.array_equal(positions, fresh.positions)
    ek.backward(gradient, ids, 9, token_out=tokens, position_out=positions, accumulate=True)
    assert np.allclose(tokens, 2 * fresh.tokens, rtol=1e-5, atol=1e-6)
    assert np.allclose(positions, 2 * fresh.positions, rtol=1e-5, atol=1e-6)
    empty = ek.backward(np.empty((0, 5), np.float32), np.empty(0, np.int64), 9, token_out=tokens)
    assert empty.tokens is tokens and not tokens.any()
    assert ek.backward(np.empty((0, 5), np.float32), np.empty(0, np.int64), 9).tokens.rows.size == 0


def test_row_gradient(rng):
    ids, gradient = np.array([4, 1, 4]), table_of(rng, 3, 5)
    rows = ek.backward(gradient, ids, 6).tokens
    assert rows.rows.tolist() == [1, 4] and rows.rows.dtype == np.int64
    assert np.isclose(rows.norm(), np.linalg.norm(rows.values.astype(np.float64)))
    again = pickle.loads(pickle.dumps(rows))
    assert np.array_equal(again.rows, rows.rows) and np.array_equal(again.values, rows.values)
    out = np.ones((6, 5), np.float32)
    assert rows.dense(out) is out and np.array_equal(out, rows.dense())
    with pytest.raises(ValueError):
        rows.dense(np.ones((5, 5), np.float32))


def test_refusals(rng):
    ids, gradient = np.zeros((2, 3), np.int64), table_of(rng, 6, 4).reshape(2, 3, 4)
    with pytest.raises(ValueError, match=r"output_gradient has shape \(2, 4\): expected \(2, 3, \?\)"):
        ek.backward(gradient[:, 0].copy(), ids, 9)
    with pytest.raises(TypeError):
        ek.backward(gradient.astype(np.float64), ids, 9)
    for vocabulary in (0, -1):
        with pytest.raises(ValueError):
            ek.backward(gradient, ids, vocabulary)
    with pytest.raises(ValueError, match="padding_id is 9"):
        ek.backward(gradient, ids, 9, padding_id=9)
    with pytest.raises(ek.OutOfRangeError) as caught:
        ek.backward(gradient, ids + [[0, 0, 0], [0, 0, 9]], 9)
    assert (caught.value.row, caught.value.position, caught.value.id) == (1, 2, 9)
    with pytest.raises(ValueError, match="overlap"):
        ek.backward(gradient, ids, 6, token_out=gradient.reshape(6, 4))


@given(st.sampled_from(FLOATS), st.sampled_from([0.5, 1.0, 2.0, 3.0, np.inf]), st.integers(0, 9))
def test_renormalize(dtype, order, seed):
    rng = np.random.default_rng(seed)
    table = table_of(rng, 9, 20, dtype)
    ids = rng.integers(0, 9, 6)
    before = table.astype(np.float64)
    norms = np.linalg.norm(before, ord=order, axis=1)
    limit = float(np.median(norms))
    changed = ek.renormalize(table, ids, limit, order=order)
    touched = np.unique(ids)
    over = touched[norms[touched] > limit]
    assert abs(changed - len(over)) <= (0 if dtype == np.float32 else 1)
    expected = before.copy()
    expected[over] *= (limit / (norms[over] + 1e-7))[:, None]
    tolerance = {4: 1e-5, 2: 1e-2}[dtype.itemsize]
    assert np.allclose(table.astype(np.float64), expected, rtol=tolerance, atol=tolerance)
    with pytest.raises(IndexError):
        ek.renormalize(table, [9], limit)
    with pytest.raises(ValueError):
        ek.renormalize(table, [1], -1.0)


def test_tied_head(rng):
    hidden, table = table_of(rng, 5, 8), table_of(rng, 11, 8)
    logits = ek.tied_logits(hidden, table, scale=0.5)
    assert np.allclose(logits, 0.5 * hidden @ table.T, atol=1e-5)
    gradient = table_of(rng, 5, 11)
    rows, sums = ek.tied_backward(gradient, hidden, table, scale=0.5)
    assert np.allclose(rows, 0.5 * gradient @ table, atol=1e-5)
    assert np.allclose(sums, 0.5 * gradient.T @ hidden, atol=1e-5)
    twice = sums.copy()
    assert ek.tied_backward(gradient, hidden, table, scale=0.5, table_out=twice)[1] is twice
    assert np.allclose(twice, 2 * sums, atol=1e-5)
    with pytest.raises(ValueError):
        ek.tied_logits(hidden, table[:, :7].copy())
    with pytest.raises(ValueError, match="C-contiguous"):
        ek.tied_logits(hidden, np.asfortranarray(table))


@given(st.sampled_from(FLOATS), st.sampled_from(FLOATS), st.integers(0, 50))
def test_convert(source, target, seed):
    rng = np.random.default_rng(seed)
    array = (rng.standard_normal((3, seed)) * 100).astype(source)
    result = ek.convert(array, target.name)
    assert result.dtype == target and np.array_equal(result, array.astype(np.float32).astype(target))
